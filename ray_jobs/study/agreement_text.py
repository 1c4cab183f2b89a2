"""Print whether probe and fine-tuning rank the arms of a study alike."""

from __future__ import annotations

from medsift.statistics.rank_agreement import Correlation
from ray_jobs.study.agreement import Agreement, OrderedPair


def agreement_text(agreement: Agreement) -> str:
    """Return the accuracies of both, the rank correlations, and the pairs that they order apart."""
    header = ("arm", "budget", "probe", "fine-tuned")
    cells = [header]
    for cell in agreement.cells:
        probe = _share(cell.probe, cell.probe_low, cell.probe_high)
        tuned = _share(cell.tuned, cell.tuned_low, cell.tuned_high)
        cells.append((cell.arm, cell.budget, probe, tuned))
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    lines = [f"{agreement.study_id} on {agreement.benchmark}"]
    lines += [
        line[0].ljust(widths[0])
        + "".join(text.rjust(width + 2) for text, width in zip(line[1:], widths[1:], strict=True))
        for line in cells
    ]
    lines.append("")
    for name, rank in agreement.ranks.items():
        lines.append(
            f"{name:<16}Spearman {_correlation(rank.spearman)}  "
            f"Kendall {_correlation(rank.kendall)}  ({rank.cells} cells)"
        )
    return "\n".join([*lines, "", *_pairs_text(agreement)])


def _pairs_text(agreement: Agreement) -> list[str]:
    pairs = agreement.pairs
    alike = sum(pair.probe > 0 for pair in pairs)
    clear = [pair for pair in pairs if pair.probe_high < 0]
    lines = [
        f"pairs of arms at one budget that fine-tuning tells apart: {len(pairs)}; in the same "
        f"order by the probe: {alike}; clearly in the other: {len(clear)}"
    ]
    return lines + [_pair_text(pair) for pair in pairs if pair.probe <= 0]


def _pair_text(pair: OrderedPair) -> str:
    return (
        f"  {pair.budget}: fine-tuning has {pair.better} above {pair.worse} by "
        f"{100 * pair.tuned:.1f} points, the probe by {100 * pair.probe:+.1f} "
        f"[{100 * pair.probe_low:+.1f}, {100 * pair.probe_high:+.1f}]"
    )


def _share(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return ""
    if low is None or high is None:
        return f"{100 * value:.1f} %"
    return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _correlation(found: Correlation) -> str:
    if found.value is None:
        return "none"
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
