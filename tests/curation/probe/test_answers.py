"""Which answers a probe asks about, and what it leaves out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from curation.probe.answers import NO_CLASS, answer_classes


def samples(*rows: tuple[str, str | None, str | None], turns: int = 1) -> pa.Table:
    message = [{"role": "assistant", "content": ""}] * turns
    questions, answers, kinds = zip(*rows, strict=True)
    return pa.table(
        {
            "question": questions,
            "answer": answers,
            "answer_type": pa.array(kinds, pa.string()),
            "messages": [message] * len(rows),
        }
    )


def classes_of(table: pa.Table, groups: list[int] | None = None, least: int = 2):
    group = np.array(range(table.num_rows) if groups is None else groups)
    found = answer_classes(table, group, least)
    return [None if label == NO_CLASS else found.classes[label] for label in found.label], found


def test_an_answer_is_a_class_by_the_groups_that_give_it_not_by_its_rows() -> None:
    table = samples(("a", "CT", None), ("b", "ct", None), ("c", "MRI", None), ("d", "MRI", None))
    classes, answers = classes_of(table, [0, 1, 2, 2])
    assert classes == ["ct", "ct", None, None]
    assert answers.reason == ["", "", "rare answer", "rare answer"]
    assert answers.usable.tolist() == [0, 1]


def test_closed_answers_count_by_their_first_word_and_letters_by_their_option() -> None:
    table = samples(
        ("Effusion?", "Yes, on the left", "closed"),
        ("Mass?", "yes", "closed"),
        ("Which side? (A) left (B) right", "B", "choice"),
        ("Which side? A) right B) left", "(A) right", "choice"),
        ("On which side?", "left", None),
        ("Where?", "left", None),
    )
    classes, answers = classes_of(table)
    assert classes == ["yes", "yes", "right", "right", "left", "left"]
    sides = [answers.classes.index("left"), answers.classes.index("right")]
    assert np.flatnonzero(answers.offered[2]).tolist() == sides
    assert answers.offered[0].all()


def test_a_question_with_one_known_option_is_not_asked_since_any_training_would_answer_it() -> None:
    table = samples(
        ("Mass?", "yes", "closed"),
        ("Effusion?", "yes", "closed"),
        ("Which side? (A) left (B) right", "B", "choice"),
        ("Which side? A) right B) left", "(A) right", "choice"),
    )
    classes, answers = classes_of(table)
    assert classes == ["yes", "yes", None, None]
    assert answers.reason == ["", "", "one option alone", "one option alone"]


def test_what_cannot_be_asked_about_has_its_reason() -> None:
    _, answers = classes_of(samples(("a", None, None), ("b", "", None)))
    assert answers.reason == ["no answer", "no answer"]
    _, answers = classes_of(samples(("a", "ct", None), ("b", "ct", None), turns=2))
    assert answers.reason == ["several turns"] * 2


def test_the_order_of_rows_names_no_other_classes() -> None:
    rows = [(str(n), answer, None) for n, answer in enumerate(["b", "a", "c", "a", "b", "c"])]
    _, forward = classes_of(samples(*rows))
    _, backward = classes_of(samples(*reversed(rows)))
    assert forward.classes == backward.classes == ["a", "b", "c"]
    assert forward.label.tolist() == backward.label[::-1].tolist()
