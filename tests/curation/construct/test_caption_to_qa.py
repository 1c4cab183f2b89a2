"""Questions of a caption: each answer is verified by reading the caption again."""

from __future__ import annotations

import json

import pytest

from curation.construct.caption_questions import CaptionQuestion, read_questions
from curation.construct.construct import construct
from medsift.manifest import read
from medsift.options import split_options
from tests.curation.construct.conftest import recipe_for, write_run
from tests.curation.construct.teacher_server import completion, pictures_in, text_of

CAPTION = "Axial CT of the chest with a pleural effusion on the left and a nodule of 8 mm."
PLANES = ["axial", "coronal", "sagittal", "oblique"]
ASKED = [
    {"question": "Which plane is shown?", "options": PLANES, "answer": "axial"},
    {"question": "What is seen on the left?", "options": [], "answer": "pleural effusion"},
    {"question": "Is there a pleural effusion?", "answer": "yes"},
    {"question": "Is there a fracture?", "answer": "yes"},
    {"question": "How large is the nodule?", "answer": "9 mm"},
    {"question": "According to the caption, how large is the nodule?", "answer": "8 mm"},
    {"question": "Where is the pleural effusion on the left?", "answer": "left"},
    {"question": "Which plane is shown?", "answer": "axial"},
    {"question": "Which plane?", "options": ["axial", "Axial", "coronal"], "answer": "axial"},
    {"question": "Which plane?", "options": ["coronal", "sagittal"], "answer": "axial"},
    {"question": "Wo ist der Erguss auf dem Bild zu sehen?", "answer": "left"},
    {"question": "What is on the left side of this?", "answer": "nodule"},
    "not an object",
    {"question": 4, "answer": "x"},
]
READ = {
    "Which plane is shown?": "axial",
    "What is seen on the left?": "a pleural effusion",
    "Is there a pleural effusion?": "yes",
    "Is there a fracture?": "no",
    "What is on the left side of this?": "a pleural effusion",
}
FAULTS = [
    *(None, None, None),
    *("caption_wrong", "not_in_caption", "names_caption", "answer_in_question", "asked_twice"),
    *("options_unfit", "options_unfit", "other_language", "caption_undecided"),
]


def captioned(number=0, caption=CAPTION):
    turns = [("user", f"Describe case {number}."), ("assistant", caption)]
    return {"turns": turns, "pictures": 1, "modality": "ct", "task_type": "caption"}


def read_or_ask(body):
    words = text_of(body)
    if words.startswith("Text: "):
        [said] = [said for question, said in READ.items() if question in words]
        return completion(f"The text says so.\nAnswer: {said}")
    if "JSON" in words:
        return completion(f"Here they are:\n```json\n{json.dumps(ASKED)}\n```")
    return completion("I see nothing.\nAnswer: none")


@pytest.fixture
def run(tmp_path):
    other = captioned(1) | {"task_type": "vqa"}
    return write_run(tmp_path / "run", [captioned(), other])


def settings(run, server, **more):
    given = {"kinds": ("caption_to_qa",), "questions": 20, "attempts": 1, "accepted": 9}
    return recipe_for(run, server, **(given | more))


def table(run, sql):
    return read(run / "manifest.duckdb", sql).to_pylist()


def test_each_question_has_its_own_fate(run, serve):
    server = serve(read_or_ask)
    result = construct(settings(run, server))
    lines = table(run, "FROM traces WHERE number IS NOT NULL ORDER BY number")
    assert [line["reason"] for line in lines] == FAULTS
    assert [line["action"] for line in lines[:3]] == ["kept"] * 3
    assert {line["verdict_by"] for line in lines[:3]} == {"caption"}
    [other] = table(run, "FROM traces WHERE number IS NULL")
    assert (other["action"], other["reason"]) == ("dropped", "no_caption")
    facts = result.facts
    assert (facts["samples"], facts["kept"], facts["dropped"]) == (2, 1, 1)
    texts = [body for body in server.requests if text_of(body).startswith("Text: ")]
    assert texts
    assert not any(pictures_in(body) for body in texts)


def test_new_samples_ask_the_question_and_options_are_shuffled_by_seed(run, serve):
    result = construct(settings(run, serve(read_or_ask)))
    lines = [json.loads(line) for line in result.samples.read_text().splitlines()]
    choice, opened, closed = lines
    stem, options = split_options(choice["messages"][0]["content"])
    assert stem.endswith("Which plane is shown?")
    assert sorted(options) == sorted(PLANES)
    assert options["ABCD".index(choice["messages"][-1]["content"])] == "axial"
    assert opened["messages"][-1]["content"] == "pleural effusion"
    assert closed["messages"][-1]["content"] == "yes"
    assert {line["derived_from"] for line in lines} == {lines[0]["derived_from"]}
    assert not any("task_type" in line for line in lines)
    firsts = [
        CaptionQuestion("?", tuple(PLANES), "axial").listed(0, str(n)).options.index("axial")
        for n in range(400)
    ]
    assert all(60 < firsts.count(place) < 140 for place in range(4))


def test_questions_that_words_alone_answer_are_kept_to_their_share(run, serve):
    def rule(body):
        blind = not pictures_in(body) and not text_of(body).startswith("Text: ")
        right = "yes" if "Is there" in text_of(body) else "axial"
        return completion(f"A guess.\nAnswer: {right}") if blind else read_or_ask(body)

    construct(settings(run, serve(rule), blind={"attempts": 2, "share": 0.0}))
    lines = table(run, "FROM traces WHERE number < 3 ORDER BY number")
    assert [line["reason"] for line in lines] == ["text_solvable", None, "text_solvable"]
    assert [line["text_solvable"] for line in lines] == [True, False, True]


def test_another_model_reads_the_caption_where_a_judge_is_named(run, serve):
    reader = serve(read_or_ask)
    teacher = serve(read_or_ask)
    construct(settings(run, teacher, judge={"url": reader.url, "model": "judge-7b"}))
    assert reader.requests
    assert not any(text_of(body).startswith("Text: ") for body in teacher.requests)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"question": "Which plane', "malformed"),
        ("I cannot do that.", "malformed"),
        ("[]", "no_questions"),
        ("[1, 2, null]", "no_questions"),
        ("[" * 5000, "malformed"),
        ('[{"question": "Is it?", "answer": NaN}]', "malformed"),
    ],
)
def test_a_reply_without_questions_is_one_fate(run, serve, text, reason):
    server = serve(lambda body: completion(text))
    construct(settings(run, server, attempts=2))
    [line] = table(run, "FROM traces WHERE reason <> 'no_caption'")
    assert (line["action"], line["reason"]) == ("dropped", reason)
    assert len(server.requests) == 2


def test_calls_are_projected_with_the_readings_and_the_blind_attempts(run, serve):
    server = serve(read_or_ask)
    recipe = settings(run, server, accepted=2)
    projection = construct(recipe, dry_run=True).projection
    assert not server.requests
    construct(recipe)
    assert projection.samples == 1
    assert projection.fewest <= len(server.requests) <= projection.most
    assert projection.fewest <= projection.expected <= projection.most
    alone = construct(recipe_for(run, server, kinds=("quality",)), dry_run=True).projection
    assert (alone.fewest, alone.most) == (4, 8)


def test_the_same_recipe_again_asks_nothing(run, serve):
    server = serve(read_or_ask)
    construct(settings(run, server))
    asked, before = len(server.requests), table(run, "FROM traces ORDER BY ALL")
    construct(settings(run, server))
    assert len(server.requests) == asked
    assert table(run, "FROM traces ORDER BY ALL") == before


@pytest.mark.parametrize("answer", ["B", "(b)", "B. coronal", "coronal", "Coronal."])
def test_an_answer_may_be_a_letter_or_the_option(answer):
    listed = [f"{letter}. {plane}" for letter, plane in zip("ABCD", PLANES, strict=True)]
    item = {"question": "Which plane?", "options": listed, "answer": answer}
    [one] = read_questions(json.dumps([item])) or []
    assert one.options == tuple(PLANES)
    assert one.options["ABCD".index(one.gold)] == "coronal"
