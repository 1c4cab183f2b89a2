from __future__ import annotations

import functools
import io
from collections.abc import Iterable, Sequence
from typing import Any

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from curation.dedup import (
    DedupConfig,
    DedupResult,
    SemanticConfig,
    deduplicate,
)
from medsift import records
from medsift.storage.vectors import ContentVectors
from medsift.text import contrast, normalise_answer, normalise_question
from tests.expect import raises_code

Line = dict[str, Any]


def scan(seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 255, (20, 20), dtype=np.uint8))
    return small.resize((200, 200), Image.Resampling.BICUBIC)


def encoded(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("L")


@functools.cache
def pictures() -> pa.Table:
    """Images a, copy (of a), mirror (of a), b: two lines for a, as for two equal files."""
    shown = {"a": scan(1), "copy": encoded(scan(1)), "mirror": ImageOps.mirror(scan(1))}
    shown["b"] = scan(2)
    lines = [
        {
            "image_id": name,
            "byte_hash": f"{name}{file}",
            "ref": f"{name}{file}",
            "phash": str(imagehash.phash(image)),
            "thumb": image.resize((64, 64), Image.Resampling.BOX).tobytes(),
        }
        for name, image in shown.items()
        for file in ("1", "2")
    ]
    return pa.Table.from_pylist(lines, schema=records.IMAGES)


def image_vectors() -> ContentVectors:
    # All alike: every two images are candidates, pixels alone decide.
    return ContentVectors(["a", "b", "copy", "mirror"], np.tile(np.eye(1, 8, dtype="f4"), (4, 1)))


OFFERED = ("(A) left (B) right", "(A) right (B) left")
MEANINGS = [
    ["Is there a lesion?", "Is a lesion present?", "is there a LESION"],
    ["Is there a lesion on the left?", "Is there a lesion on the right?"],
    ["What is shown?"],
    ["a dark spot in the lobe", "a spot, dark, in the lobe", "A dark spot in the lobe."],
    ["a spot 3 mm wide", "a spot 4 mm wide"],
    ["yes", "Yes."],
    ["no"],
    [f"{asked} {offered}" for asked in ("Which side?", "What side?") for offered in OFFERED],
]


def text_vectors(samples: pa.Table) -> ContentVectors:
    """Vectors: texts of one line of `MEANINGS` at cosine 0.99, all others far apart."""
    texts = {turn["content"] for talk in samples["messages"].to_pylist() for turn in talk}
    listed = sorted({records.canonical_text(text) for text in texts})
    ids = [records.text_id(text) for text in listed]
    matrix = np.stack([text_vector(text) for text in listed]) if listed else np.zeros((0, 64), "f4")
    return ContentVectors(ids, matrix)


def text_vector(text: str) -> np.ndarray:
    for line, meaning in enumerate(MEANINGS):
        if text in meaning:
            own = np.zeros(64)
            own[line], own[16 + line * 4 + meaning.index(text)] = 1.0, 0.1
            return (own / np.linalg.norm(own)).astype(np.float32)
    random = np.random.default_rng(int(records.text_id(text)[:8], 16))
    noise = random.normal(size=64)
    return (noise / np.linalg.norm(noise)).astype(np.float32)


def talk(*turns: str) -> list[dict[str, str]]:
    roles = ["user", "assistant"] * (len(turns) // 2)
    return [{"role": r, "content": c} for r, c in zip(roles, turns, strict=True)]


def line(row: str, images: Sequence[str], *turns: str, **tags: str | None) -> Line:
    messages = talk(*turns)
    return {
        "sample_id": records.sample_id(images, messages),
        "row_id": row,
        "source": "s",
        "question": turns[0],
        "answer": turns[-1],
        "messages": messages,
        "refs": list(images),
        "images": list(images),
        **tags,
    }


def table(lines: Iterable[Line]) -> pa.Table:
    return pa.Table.from_pylist(list(lines), schema=records.SAMPLES)


def run(lines: Iterable[Line], config: DedupConfig | None = None) -> DedupResult:
    samples = table(lines)
    chosen = config or DedupConfig()
    return deduplicate(samples, pictures(), image_vectors(), text_vectors(samples), chosen)


def fates(result: DedupResult) -> dict[str, tuple[str, str]]:
    return {d["row_id"]: (d["reason"], d["witness"]) for d in result.decisions.to_pylist()}


LESION, LESION2, LESION3 = MEANINGS[0]
LEFT, RIGHT = MEANINGS[1]
SPOT, SPOT2, SPOT3 = MEANINGS[3]


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ((["a"], LESION, "yes"), (["a"], LESION, "yes"), "exact_copy"),
        ((["a"], LESION, "yes"), (["a"], LESION3, "Yes."), "same_sample"),
        ((["a"], LESION, "yes"), (["copy"], LESION, "yes"), "image_copy"),
        ((["a"], LESION, "yes"), (["a"], LESION2, "yes"), "paraphrase"),
        ((["a"], LESION, "yes"), (["copy"], LESION2, "yes"), "paraphrase"),
        ((["a"], LESION, SPOT), (["a"], LESION, SPOT2), "paraphrase"),
        ((["a", "b"], LESION, "yes"), (["copy", "b"], LESION, "yes"), "image_copy"),
        ((["a"], LESION, "yes", LEFT, "no"), (["a"], LESION2, "yes", LEFT, "no"), "paraphrase"),
        (([], f"Describe it. {LESION}", SPOT), ([], f"Describe it: {LESION}", SPOT), "near_text"),
        ((["a"], LESION, "yes"), (["a"], LESION, "no"), None),
        ((["a"], LESION, "yes"), (["a"], "What is shown?", "yes"), None),
        ((["a"], LEFT, "yes"), (["a"], RIGHT, "yes"), None),
        ((["a"], LESION, MEANINGS[4][0]), (["a"], LESION, MEANINGS[4][1]), None),
        ((["a"], LESION, "yes"), (["mirror"], LESION, "yes"), None),
        ((["a"], LESION, "yes"), (["b"], LESION, "yes"), None),
        ((["a", "b"], LESION, "yes"), (["b", "a"], LESION, "yes"), None),
        ((["a"], LESION, "yes"), (["a", "b"], LESION, "yes"), None),
        ((["a"], LESION, "yes", LEFT, "no"), (["a"], LESION, "yes", RIGHT, "no"), None),
        ((["a"], LESION, "yes", LEFT, "no"), (["a"], LESION, "yes"), None),
        (([], LEFT, SPOT), ([], RIGHT, SPOT), None),
    ],
)
def test_two_samples(first: tuple[Any, ...], second: tuple[Any, ...], reason: str | None) -> None:
    result = run([line("1", first[0], *first[1:]), line("2", second[0], *second[1:])])
    decided = fates(result)
    assert [why for why, _ in decided.values()] == ([] if reason is None else [reason])
    assert result.kept.num_rows + len(decided) == 2
    assert all(witness in result.kept["row_id"].to_pylist() for _, witness in decided.values())
    for entry in result.decisions.to_pylist():
        assert entry["value"] >= entry["threshold"] > 0.8


@pytest.mark.parametrize("kind", ["closed", "choice"])
def test_closed_and_choice_answers_are_compared_as_words(kind: str) -> None:
    rows = [line("1", ["a"], LESION, SPOT), line("2", ["a"], LESION, SPOT2)]
    assert run(row | {"answer_type": kind} for row in rows).decisions.num_rows == 0
    assert run(row | {"answer_type": "open"} for row in rows).decisions.num_rows == 1


def test_one_letter_stands_for_one_answer_only_under_the_same_choices() -> None:
    swapped = [
        line(str(n), ["a"], text, "A", answer_type="choice") for n, text in enumerate(MEANINGS[7])
    ]
    # 0 and 2 offer the same choices in the same order, as do 1 and 3.
    assert [{row, witness} for row, (_, witness) in sorted(fates(run(swapped)).items())] in (
        [{"0", "2"}, {"1", "3"}],
        [{"1", "3"}, {"0", "2"}],
    )


def test_a_long_answer_to_two_questions_without_a_picture_is_kept_twice() -> None:
    answer = " ".join(f"word{place}" for place in range(200))
    rows = [line("1", [], "What causes flu?", answer), line("2", [], "How is flu treated?", answer)]
    assert run(rows).decisions.num_rows == 0


def test_the_held_out_sample_survives_and_priority_can_say_otherwise() -> None:
    rows = [
        line("1", ["a"], LESION, "yes", split="train"),
        line("2", ["a"], LESION, "yes", split="test"),
    ]
    assert run(rows).kept["row_id"].to_pylist() == ["2"]
    trainers = DedupConfig(priority=("split = 'train'",))
    assert run(rows, trainers).kept["row_id"].to_pylist() == ["1"]
    longest = DedupConfig(priority=("length(row_id)", "split"))
    assert run(rows, longest).kept["row_id"].to_pylist() == ["1"]


@pytest.mark.parametrize("expression", ["no_such_column", "1 +", "read_text('/etc/hostname')"])
def test_a_priority_that_is_no_expression_is_refused_by_name(expression: str) -> None:
    with raises_code("priority_invalid", expression=expression):
        run([line("1", ["a"], LESION, "yes")], DedupConfig(priority=(expression,)))


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("random()", "random"),
        ("split = 'train' AND now() > '2020-01-01'", "now"),
        ("hash(row_id || uuid())", "uuid"),
        ("(SELECT 1)", "subquery"),
    ],
)
def test_a_priority_that_another_run_would_evaluate_otherwise_is_refused(
    expression: str, named: str
) -> None:
    with raises_code("priority_invalid", expression=expression, uses=named):
        run([line("1", ["a"], LESION, "yes")], DedupConfig(priority=(expression,)))


def test_copies_of_a_dropped_row_go_for_the_row_that_is_kept() -> None:
    rows = [
        line("1", ["a"], LESION, "yes", split="test"),
        line("2", ["a"], LESION3, "yes"),
        line("3", ["a"], LESION3, "yes"),
    ]
    assert fates(run(rows)) == {"2": ("same_sample", "1"), "3": ("same_sample", "1")}


def test_groups_name_their_survivor_and_all_members() -> None:
    rows = [
        line("1", ["a"], LESION, "yes", split="test"),
        line("2", ["a"], LESION, "yes"),
        line("3", ["copy"], LESION, "yes"),
        line("4", ["b"], LESION, "yes"),
    ]
    result = run(rows)
    found = {(c["kind"], c["member"], c["survivor"]) for c in result.clusters.to_pylist()}
    assert found == {
        ("exact", "1", "1"),
        ("exact", "2", "1"),
        ("sample", "1", "1"),
        ("sample", "3", "1"),
        ("image_copy", "a", "a"),
        ("image_copy", "copy", "a"),
    }
    groups = dict(
        zip(*(result.groups[name].to_pylist() for name in result.groups.column_names), strict=True)
    )
    assert groups == {"a": "a", "copy": "a", "b": "b", "mirror": "mirror"}


def test_semantic_redundancy_is_dropped_only_when_asked() -> None:
    rows = [line("1", ["a"], LESION, "yes"), line("2", ["mirror"], LESION, "yes")]
    reported = run(rows)
    assert reported.decisions.num_rows == 0
    assert reported.stats["semantic"]["redundant"]["0.99"] == 1
    dropping = DedupConfig(semantic=SemanticConfig(action="drop", threshold=0.95))
    assert [why for why, _ in fates(run(rows, dropping)).values()] == ["semantic"]
    sides = [line("1", ["a"], LEFT, "yes"), line("2", ["a"], RIGHT, "yes")]
    assert run(sides, dropping).decisions.num_rows == 0


def test_an_empty_pool_gives_empty_tables() -> None:
    result = run([])
    assert result.kept.num_rows == result.decisions.num_rows == result.leaks.num_rows == 0
    assert result.kept.schema == records.SAMPLES
    assert result.decisions.schema == records.DECISIONS


def test_what_lacks_facts_or_vectors_is_refused_by_name() -> None:
    samples = table([line("1", ["unknown"], LESION, "yes")])
    vectors = text_vectors(samples)
    with raises_code("samples_inconsistent", row_id="1", image_id="unknown"):
        deduplicate(samples, pictures(), image_vectors(), vectors, DedupConfig())
    samples = table([line("1", ["a"], LESION, "yes")])
    with raises_code("vectors_missing", what="texts", missing=2):
        deduplicate(
            samples, pictures(), image_vectors(), ContentVectors([], vectors.matrix), DedupConfig()
        )
    twice = table([line("1", ["a"], LESION, "yes"), line("1", ["a"], LEFT, "yes")])
    with raises_code("samples_inconsistent", row_id="1", count=2):
        deduplicate(twice, pictures(), image_vectors(), text_vectors(twice), DedupConfig())


POOL = st.lists(
    st.builds(
        lambda images, question, answer, kind, split: (images, question, answer, kind, split),
        st.sampled_from([["a"], ["copy"], ["mirror"], ["a", "b"], ["copy", "b"]]),
        st.sampled_from([LESION, LESION2, LESION3, LEFT, RIGHT]),
        st.sampled_from([SPOT, SPOT2, SPOT3, "yes", "Yes.", "no"]),
        st.sampled_from(["closed", "open", None]),
        st.sampled_from(["train", "test", None]),
    ),
    max_size=14,
)


def drawn_lines(pool: Sequence[tuple[Any, ...]]) -> list[Line]:
    return [
        line(f"r{place:02}", images, question, answer, answer_type=kind, split=split)
        for place, (images, question, answer, kind, split) in enumerate(pool)
    ]


def tag_digest(row: Line) -> str:
    return records.digest(*(str(row.get(tag)) for tag in records.TAGS))


def same_images(one: Line, other: Line) -> bool:
    def root(image: str) -> str:
        return "a" if image == "copy" else image

    return [root(i) for i in one["images"]] == [root(i) for i in other["images"]]


def same_words(one: Line, other: Line) -> bool:
    def near(a: str, b: str) -> bool:
        line_of = next(meaning for meaning in MEANINGS if a in meaning)
        return b in line_of and not contrast(a, b)

    asked = normalise_question(one["question"]) == normalise_question(other["question"])
    told = normalise_answer(one["answer"]) == normalise_answer(other["answer"])
    free = "closed" not in (one["answer_type"], other["answer_type"])
    return (asked or near(one["question"], other["question"])) and (
        told or (free and near(one["answer"], other["answer"]))
    )


def by_brute_force(lines: list[Line]) -> dict[str, str]:
    """Row → witness, straight from the rule."""
    ranked = sorted(
        lines,
        key=lambda row: (
            row["split"] != "test",
            row["sample_id"],
            tag_digest(row),
            row["row_id"],
        ),
    )
    firsts: dict[str, Line] = {}
    for row in ranked:
        firsts.setdefault(row["sample_id"], row)
    kept: list[Line] = []
    gone: dict[str, str] = {}
    for row in firsts.values():
        near = [other for other in kept if same_images(row, other) and same_words(row, other)]
        if near:
            gone[row["row_id"]] = near[0]["row_id"]
        else:
            kept.append(row)
    for row in ranked:
        first = firsts[row["sample_id"]]["row_id"]
        if row["row_id"] != first:
            gone[row["row_id"]] = gone.get(first, first)
    return gone


@settings(max_examples=60, deadline=None)
@given(POOL)
def test_the_rule_agrees_with_brute_force(pool: list[tuple[Any, ...]]) -> None:
    lines = drawn_lines(pool)
    found = {row: witness for row, (_, witness) in fates(run(lines)).items()}
    assert found == by_brute_force(lines)


@settings(max_examples=30, deadline=None)
@given(POOL, st.randoms(use_true_random=False))
def test_neither_the_order_nor_the_names_of_rows_change_who_stays(
    pool: list[tuple[Any, ...]], random: Any
) -> None:
    lines = drawn_lines(pool)
    before = run(lines)
    shuffled = random.sample(lines, len(lines))
    again = run(shuffled)
    for name in ("kept", "decisions", "clusters", "conflicts", "leaks", "sweep", "groups"):
        assert getattr(again, name).equals(getattr(before, name)), name
    renamed = run(row | {"row_id": f"other{place}"} for place, row in enumerate(shuffled))
    assert sorted(renamed.kept["sample_id"].to_pylist()) == sorted(
        before.kept["sample_id"].to_pylist()
    )
    assert reasons(renamed) == reasons(before)


def reasons(result: DedupResult) -> list[tuple[str, str]]:
    return sorted((d["sample_id"], d["reason"]) for d in result.decisions.to_pylist())


@settings(max_examples=30, deadline=None)
@given(POOL)
def test_every_row_is_kept_or_dropped_for_a_kept_one_and_nothing_more_goes_the_second_time(
    pool: list[tuple[Any, ...]],
) -> None:
    lines = drawn_lines(pool)
    result = run(lines)
    kept, gone = set(result.kept["row_id"].to_pylist()), fates(result)
    assert kept | set(gone) == {row["row_id"] for row in lines}
    assert not kept & set(gone)
    assert {witness for _, witness in gone.values()} <= kept
    assert run(row for row in lines if row["row_id"] in kept).decisions.num_rows == 0
