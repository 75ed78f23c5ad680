"""Whether scores mean what they say: predicted spans by score, and how many of each are right."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hyperloader.errors import DataError
from hyperloader.evaluation.metrics import ScoredExample

BINS = 15


@dataclass(frozen=True, slots=True)
class Bin:
    """The spans with a score from ``low`` up to ``high``: how many they are, their mean
    ``score``, and the share of them that is ``right`` (both 0.0 where there are none)."""

    low: float
    high: float
    spans: int
    score: float
    right: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Predicted spans in bins of equal width, the lowest scores first."""

    bins: tuple[Bin, ...]

    @property
    def spans(self) -> int:
        """How many spans were predicted."""
        return sum(part.spans for part in self.bins)

    @property
    def ece(self) -> float:
        """Expected calibration error: how far score and share of right spans lie apart, the mean
        over bins weighted by their spans; 0.0 without a span."""
        far = sum(part.spans * abs(part.score - part.right) for part in self.bins)
        return far / max(self.spans, 1)

    def to_json(self) -> dict[str, Any]:
        """Spans, error and the bins that have spans."""
        bins = [asdict(part) for part in self.bins if part.spans]
        return {"spans": self.spans, "ece": self.ece, "bins": bins}


def reliability(examples: Iterable[ScoredExample], bins: int = BINS) -> Reliability:
    """The predicted spans of ``examples`` by their scores.

    A span is right if its boundaries and its label are those of a gold span. One without a score
    counts as certain; rounding above 1 is 1.
    """
    counts, scores, rights = [0] * bins, [0.0] * bins, [0] * bins
    for example in examples:
        gold = set(example.example.spans)
        for span in example.predicted:
            score = 1.0 if span.score is None else min(span.score, 1.0)
            place = min(int(score * bins), bins - 1)
            counts[place] += 1
            scores[place] += score
            rights[place] += span in gold
    return Reliability(
        tuple(
            Bin(i / bins, (i + 1) / bins, n, score / max(n, 1), right / max(n, 1))
            for i, (n, score, right) in enumerate(zip(counts, scores, rights, strict=True))
        )
    )


def plot_reliability(path: Path, tasks: Mapping[str, Reliability]) -> None:
    """A reliability diagram for each task: the share of right spans over their score.

    Bars on the diagonal mean what they say; the wider a bar the more of the spans are in it.

    Raises HyperloaderError without matplotlib, DataError when there is no task and when the file
    cannot be written.
    """
    from hyperloader.evaluation.plots import BAR, MEAN, new_figure, plain, save_figure

    if not tasks:
        raise DataError("nothing to plot: score at least one task first")
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    figure = new_figure(3.4 * columns, 3.5 * rows)
    for i, (name, found) in enumerate(tasks.items(), 1):
        axes = figure.add_subplot(rows, columns, i)
        most = max((part.spans for part in found.bins), default=1) or 1
        for part in found.bins:
            share = 0.15 + 0.85 * (part.spans / most) ** 0.5
            width = (part.high - part.low) * share if part.spans else 0.0
            axes.bar((part.low + part.high) / 2, part.right, width=width, color=BAR)
        axes.plot([0, 1], [0, 1], color=MEAN, linestyle="--", linewidth=1)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="score", ylabel="share of right spans")
        axes.set_title(f"{plain(name)}: ECE {found.ece:.3f}, {found.spans:,} spans", fontsize=9)
        axes.set_aspect("equal")
    save_figure(figure, path)
