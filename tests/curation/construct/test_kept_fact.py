"""A rewritten answer keeps side, number, negation and unit, and adds nothing, or is refused."""

from __future__ import annotations

import pytest

from curation.construct.kept_fact import keeps_fact
from curation.construct.verify import asked_question

SIZE = "How large is the mass?"
LEFT = "What is seen in the left lung?"
PLANE = "Which plane is shown?\nA. axial\nB. coronal"


@pytest.mark.parametrize(
    ("question", "gold", "text"),
    [
        (LEFT, "effusion", "The image shows an effusion in the left lung."),
        (SIZE, "3 cm", "The mass measures 3 cm."),
        (SIZE, "3 cm", "The mass measures 30 mm."),
        ("Is there a fracture?", "yes", "Yes, there is a fracture."),
        ("Is there a fracture?", "no", "No, there is no fracture."),
        ("Is there a fracture?", "no", "There is no fracture."),
        (PLANE, "B", "The image was taken in the coronal plane."),
        ("What modality is this?", "ct", "This is a CT scan."),
        ("图中可见什么？", "胸腔积液", "图中可见胸腔积液。"),
        ("左肺有胸腔积液吗？", "是", "是的，左肺有胸腔积液。"),
    ],
)
def test_a_sentence_that_says_the_same_is_right(question, gold, text):
    assert keeps_fact(text, asked_question(question, gold)).outcome == "right"


@pytest.mark.parametrize(
    ("question", "gold", "text"),
    [
        (LEFT, "effusion", "The image shows an effusion in the right lung."),
        (LEFT, "effusion", "There is no effusion in the left lung."),
        (LEFT, "no effusion", "There is an effusion in the left lung."),
        (SIZE, "3 cm", "The mass measures 3 mm."),
        (SIZE, "3 cm", "The mass measures 4 cm."),
        ("Is there a fracture?", "yes", "Yes, there is no fracture."),
        ("Is there a fracture?", "no", "No, there is a fracture."),
        ("Is the left lung clear?", "yes", "Yes, the right lung is clear."),
        (PLANE, "B", "The image was taken in the axial plane."),
        ("What modality is this?", "ct", "This is an MRI scan."),
        ("左肺有胸腔积液吗？", "是", "是的，右肺有胸腔积液。"),
    ],
)
def test_another_side_number_unit_negation_or_option_is_wrong(question, gold, text):
    assert keeps_fact(text, asked_question(question, gold)).outcome == "wrong"


@pytest.mark.parametrize(
    ("question", "gold", "text"),
    [
        (LEFT, "effusion", "There is an effusion with cardiomegaly in the left lung."),
        (LEFT, "effusion", "Something is seen in the left lung."),
        (LEFT, "no effusion, left mass", "There is no mass, and an effusion on the left."),
        ("Is there no fracture?", "yes", "Yes, there is no fracture."),
        (LEFT, "effusion", "I cannot answer that."),
        (LEFT, "effusion", ""),
        ("มีอะไร", "น้ำ", "ภาพนี้แสดงน้ำในปอดซ้าย"),
    ],
)
def test_what_says_more_or_cannot_be_read_is_undecided(question, gold, text):
    assert keeps_fact(text, asked_question(question, gold)).outcome != "right"
