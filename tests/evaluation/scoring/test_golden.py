"""Known replies under every protocol: published faults reproduced, the right verdict next to them.

`python tests/evaluation/scoring/test_golden.py` writes the tables of docs/scoring.md anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from evaluation.scoring import FAULTS, PROTOCOLS, AnswerKey

HERE = Path(__file__).resolve()
GOLDEN = yaml.safe_load(HERE.with_name("golden.yaml").read_text(encoding="utf-8"))
PAGE = HERE.parents[3] / "docs" / "scoring.md"
KITS = {
    1: "MedEvalKit: yes and no as substrings",
    2: "MedEvalKit: precision, recall and F1 mixed up; an empty reply stops it",
    4: "MedEvalKit: the closest option for an unreadable reply",
    5: "LLaVA-Med: 'exact match' is precision; wrong closed replies leave the mean",
    6: "lmms-eval: whole strings, fixed maps, 0 for an empty group",
    7: "VLMEvalKit: no result without a judge",
    8: "all: unsmoothed BLEU of short answers",
    None: "our own rules",
}


def item(case):
    return AnswerKey(**{**case["item"], "options": tuple(case["item"].get("options", ()))})


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["note"])
def test_a_known_reply_has_its_known_verdict(case, protocol):
    if protocol not in case["expect"]:
        assert item(case).answer_type not in PROTOCOLS[protocol].answer_types
        return
    scored = PROTOCOLS[protocol].score(item(case), case["reply"])._asdict()
    scored["status"] = scored.pop("parse_status")
    expected = case["expect"][protocol]
    assert {key: scored[key] for key in expected} == pytest.approx(expected, abs=5e-5)


def test_every_known_bug_and_every_named_fault_is_in_the_golden_file():
    bugs = {case["bug"] for case in GOLDEN["cases"]}
    faults = {verdict["fault"] for case in GOLDEN["cases"] for verdict in case["expect"].values()}
    assert bugs == set(KITS)
    assert faults - {None} == set(FAULTS)


def test_the_docs_show_the_golden_file():
    assert written(PAGE.read_text(encoding="utf-8")) == PAGE.read_text(encoding="utf-8")


def written(page: str) -> str:
    """The page with its tables made anew, each between its two marks."""
    for name, lines in (("faults", faults()), ("replies", replies())):
        head, rest = page.split(f"<!-- {name} -->\n", 1)
        tail = rest.split(f"<!-- end {name} -->", 1)[1]
        table = "\n".join(lines)
        page = f"{head}<!-- {name} -->\n{table}\n<!-- end {name} -->{tail}"
    return page


def faults() -> list[str]:
    return ["| fault | what upstream does |", "|---|---|"] + [
        f"| `{name}` | {words} |" for name, words in FAULTS.items()
    ]


def replies() -> list[str]:
    lines = []
    for bug, title in KITS.items():
        cases = [case for case in GOLDEN["cases"] if case["bug"] == bug]
        if not cases:
            continue
        lines += ["", f"**{f'{bug}. ' if bug else ''}{title}**", ""]
        lines += ["| item, gold | reply | " + " | ".join(PROTOCOLS) + " | note |"]
        lines += ["|---" * (len(PROTOCOLS) + 3) + "|"]
        lines += [_line(case) for case in cases]
    return lines


def _line(case) -> str:
    asked = f"{case['item']['answer_type']}, {case['item']['gold']}"
    if case["item"].get("options"):
        asked += f" of {' / '.join(case['item']['options'])}"
    verdicts = [_verdict(case["expect"].get(protocol)) for protocol in PROTOCOLS]
    reply = " ⏎ ".join(line for line in case["reply"].split("\n") if line).replace("|", "\\|")
    cells = [asked, f"`{reply}`" if reply else "(empty)", *verdicts, case["note"]]
    return f"| {' | '.join(cells)} |"


def _verdict(expected) -> str:
    if expected is None:
        return "no rule"
    score = expected["score"]
    said = {0.0: "wrong", 1.0: "right", None: "left out"}.get(score, _number(score))
    said += ", unparsed" if expected["status"] == "unparsed" else ""
    shares = [expected.get(f"token_{name}", score) for name in ("precision", "recall", "f1")]
    if shares != [score] * 3:
        said += "; P R F1 " + " ".join(_number(share) for share in shares)
    return said + (f"; `{expected['fault']}`" if expected["fault"] else "")


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
