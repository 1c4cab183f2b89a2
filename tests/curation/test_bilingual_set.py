"""A set of our own in English and Chinese on real radiographs: no row is lost to a language."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.pipeline import RunResult, curate
from curation.recipe import parse_recipe
from medsift.execution import LocalExecutor
from medsift.manifest import read
from medsift.progress import Event, StageWarned

PICTURES = 24
ORGANS = {
    "HEAD": (("brain", "脑"), ("skull", "颅骨"), ("eyes", "眼球"), ("sinuses", "鼻窦")),
    "CHEST": (("lungs", "肺"), ("heart", "心脏"), ("trachea", "气管"), ("ribs", "肋骨")),
    "ABD": (("liver", "肝脏"), ("spleen", "脾脏"), ("rectum", "直肠"), ("colon", "结肠")),
}
FINDINGS = (("tuberculosis", "肺结核"), ("adenocarcinoma", "肺腺癌"), ("abscess", "脓肿"))
SIDES = (("left", "左侧"), ("right", "右侧"))


def templates(organ: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Kind, then question and answer in English and in Chinese; each asks something else."""
    for number, (english, chinese) in enumerate(ORGANS[organ]):
        yes = number % 2 == 0
        yield (
            "closed",
            f"Is there a {english} in this image?",
            "yes" if yes else "no",
            f"图中可以看到{chinese}吗？",
            "是" if yes else "否",
        )
        yield ("open", f"Where is the {english}?", SIDES[number % 2][0], f"{chinese}在哪里？",
               SIDES[number % 2][1])  # fmt: skip
    for english, chinese in FINDINGS:
        yield (
            "open",
            "What is the most likely diagnosis?",
            english,
            "最可能的诊断是什么？",
            chinese,
        )
    yield "open", "Which organ system is shown?", organ.lower(), "显示的是哪个器官系统？", "见图"


def bilingual_rows(records: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Both languages of every template on some pictures, and a copy of one row in each."""
    rows: list[dict[str, str]] = []
    seen: dict[str, str] = {}
    for record in records:
        if record["image_organ"] in ORGANS:
            seen.setdefault(record["image_name"], record["image_organ"])
    for image, organ in sorted(seen.items())[:PICTURES]:
        for kind, question, answer, frage, antwort in templates(organ):
            for language, asked, told in (("en", question, answer), ("zh", frage, antwort)):
                line = {"image": image, "language": language, "kind": kind}
                rows.append({**line, "question": asked, "answer": told})
        # A true copy in each language: it, and nothing else, is to go.
        for language, question, answer in (
            ("zh", "最可能的诊断是什么", "肺结核。"),
            ("en", "what is the most likely diagnosis", "Abscess."),
        ):
            line = {"image": image, "language": language, "kind": "open"}
            rows.append({**line, "question": question, "answer": answer})
    return rows


@pytest.fixture(scope="module")
def made(vqa_rad: Path, vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run, the warnings that it gave, and its rows."""
    folder = tmp_path_factory.mktemp("bilingual")
    lines = (vqa_rad / "vqa_rad.jsonl").read_text(encoding="utf-8").splitlines()
    rows = bilingual_rows([json.loads(line) for line in lines])
    file = folder / "bilingual.jsonl"
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    file.write_text(text + "\n", encoding="utf-8")
    recipe = parse_recipe(
        f"""
name: bilingual
cache: {vectors}
encoder: {{kind: embedded}}
sources:
  - name: set
    reader: table
    path: {file}
    image_root: {vqa_rad / "images"}
    columns: {{images: image, answer_type: kind, language: language}}
strata: []
scores:
  scorers: [{{kind: alignment}}, {{kind: density}}, {{kind: label_noise}}]
  weights: {{alignment: 1.0, density: 0.5}}
selections:
  - {{name: quarter, budget: 25%}}
compute: {{ray: false}}
"""
    )
    events: list[Event] = []
    run = curate(recipe, folder / "run", LocalExecutor(), events.append)
    return run, [event for event in events if isinstance(event, StageWarned)], rows


def ask(run: RunResult, sql: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = read(run.manifest, sql).to_pylist()
    return lines


def test_of_the_chinese_rows_the_planted_copies_alone_are_dropped(made: Any) -> None:
    run, _, rows = made
    assert len(ask(run, "SELECT row_id FROM rows")) == len(rows)
    lines = ask(
        run,
        "SELECT reason, question, answer FROM samples JOIN why USING (run_id, row_id) "
        "WHERE action <> 'kept' AND language = 'zh'",
    )
    assert len(lines) == PICTURES
    assert {line["answer"].rstrip("。") for line in lines} == {"肺结核"}
    assert {line["question"].rstrip("？") for line in lines} == {"最可能的诊断是什么"}


def test_no_row_is_a_false_conflict(made: Any) -> None:
    assert not ask(made[0], "SELECT question, answer FROM conflicts")


def test_scores_of_chinese_rows_are_null_where_they_need_the_meaning(made: Any) -> None:
    lines = ask(
        made[0],
        "SELECT scorer, language, count(*) AS n, count(value) AS known, avg(percentile) AS mean "
        "FROM scores JOIN (SELECT DISTINCT run_id, sample_id, language FROM samples) "
        "USING (run_id, sample_id) GROUP BY ALL",
    )
    known = {(line["scorer"], line["language"]): line["known"] / line["n"] for line in lines}
    for scorer in ("alignment", "density"):
        assert known[scorer, "zh"] == 0.0
        assert known[scorer, "en"] == 1.0
    assert known["label_noise", "zh"] == known["label_noise", "en"] > 0.0


def test_a_selection_takes_its_share_of_both_languages(made: Any) -> None:
    lines = ask(
        made[0],
        "SELECT language, count(*) AS n FROM selected_samples WHERE selection = 'quarter' "
        "GROUP BY language",
    )
    chosen = {line["language"]: line["n"] for line in lines}
    assert 0.35 <= chosen["zh"] / sum(chosen.values()) <= 0.65


def test_what_cannot_be_read_is_counted_before_and_after_and_in_the_page(made: Any) -> None:
    run, warnings, rows = made
    texts = {row[part] for row in rows for part in ("question", "answer")}
    unread = [text for text in texts if not text.isascii()]
    said = f"{len(unread)} of {len(texts)} distinct texts cannot be read by encoder embedded"
    assert [said in warning.message for warning in warnings] == [True]
    assert [said in warning for warning in run.warnings] == [True]
    assert warnings[0].message == run.warnings[0]
    lines = ask(run, "SELECT name, value FROM measures WHERE stage = 'embed' ORDER BY name")
    assert {line["name"]: line["value"] for line in lines} == {
        "texts": len(texts),
        "unread texts": len(unread),
        "unread texts in cjk": len(unread),
    }
    assert said in run.report.read_text(encoding="utf-8")
