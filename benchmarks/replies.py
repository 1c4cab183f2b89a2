"""Replies of growing size read by `strict`: time must grow as the reply does, whatever it holds.

    python benchmarks/replies.py [--largest 400000] [--limit 3]

Every hostile piece is repeated to a quarter, a half and the whole of `--largest` characters and
scored as a closed, an open and a choice item. Printed are seconds of processor time and how they
grow from half to whole; a piece that grows more than `--limit`-fold (2 is linear, 4 quadratic) is
marked, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
import time

from evaluation.scoring import PROTOCOLS, AnswerKey

ITEMS = (
    AnswerKey("bench", "closed", "yes"),
    AnswerKey("bench", "open", "left lung"),
    AnswerKey("bench", "choice", "A", ("Left lung", "Right lung", "> 5 cm")),
)
PIECES = (
    *("<think>", "</think>", "[/THINK]", "◁", "<|channel|>final", "\\boxed{", "\\boxed{}", "}"),
    *("<answer>", "</answer>", "\\a{", "$", '"answer":', '"answer":"', "'answer': '\\", "{"),
    *("#", "> ", "(", "[", " ", "\n", "\n ", "*", "-", "| ", "|a|\n", "1,", "1.", "5-", "'"),
    *("answer ", "answer is ", "answer:", "the answer is a\n", "wait, ", "答案是", "是否", "无法"),
    *("yes ", "yes or ", "no-", "no. ", "?", "a?", "not sure ", "cannot ", "there is ", "if "),
    *("a", "a ", "b. ", "(a) ", "a\n", "a, b, ", "a and ", "a is ", "left lung ", "left ", "有"),
    *("if a, ", "otherwise ", "between a and ", "of a, ", "a ✅ ", "❌ a ", "[x] a ", "a? no. "),
    *("there is no x. yes, a. ", "lateral to the left lung ", "could be a, ", "left lungs "),
    *("most ", "likely ", "shows a ", "it is ", "so ", "not ", "option ", "当然", "选a", "a和"),
)
FASTEST = 0.05
"""Seconds below which growth is noise."""


def main() -> int:
    """Print one line a piece; 1 where one grows too fast."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=400_000)
    parser.add_argument("--limit", type=float, default=3.0)
    wanted = parser.parse_args()
    sizes = [wanted.largest // 4, wanted.largest // 2, wanted.largest]
    bad = 0
    print(f"{'piece':24} {'kind':7} " + " ".join(f"{size:>10,}" for size in sizes) + "  growth")
    for piece in PIECES:
        for item in ITEMS:
            spent = [seconds(item, (piece * (size // len(piece) + 1))[:size]) for size in sizes]
            growth = spent[2] / max(spent[1], 1e-9) if spent[2] > FASTEST else 0.0
            slow = growth > wanted.limit
            bad += slow
            figures = " ".join(f"{one:10.3f}" for one in spent)
            mark = "  too fast" if slow else ""
            print(f"{piece!r:24} {item.answer_type:7} {figures} {growth:7.2f}{mark}", flush=True)
    return 1 if bad else 0


def seconds(item: AnswerKey, reply: str) -> float:
    """Processor time of one score."""
    start = time.process_time()
    PROTOCOLS["strict"].score(item, reply)
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
