"""The figure of differences: every system against the first one, seed by seed."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from hyperloader.evaluation.plots import COLOURS, new_figure, plain, save_figure
from hyperloader.experiments.analyse.study import Study, Summary
from hyperloader.experiments.report.content import share, signed, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDEST = 0.1  # a larger difference stands at the edge, in figures


def plot_differences(paths: Sequence[Path], study: Study) -> None:
    """Average F1 of every other system less that of the first one: a panel for each share.

    Right of zero is better than the first system. A dot is a seed, the marker the mean over seeds;
    the band is the first system's own standard deviation over its seeds, a measure of what is
    noise. A mean beyond 0.1 is written at the edge. Systems without a result are left out.

    Raises:
        HyperloaderError: matplotlib is not installed.
        DataError: a file cannot be written.
    """
    fractions = [f for f in study.reached if len(study.systems(f)) > 1]
    compared = {f: _compared(study, f) for f in fractions}
    rows = max((len(found) for found in compared.values()), default=0)
    figure = new_figure(3.9 * max(1, len(fractions)) + 1.4, 0.32 * rows + 1.6)
    panels = figure.subplots(1, max(1, len(fractions)), squeeze=False)[0]
    for axes, fraction in zip(panels, fractions, strict=False):
        _panel(axes, study, fraction, compared[fraction])
    for axes in panels[len(fractions) :]:
        axes.set_axis_off()
    for path in paths:
        save_figure(figure, path)


def _compared(study: Study, fraction: float) -> dict[str, list[float]]:
    """The differences of each other system to the first, of the seeds that both have."""
    first, *others = study.systems(fraction)
    found = {other: study.differences(other, first, fraction) for other in others}
    return {other: list(by_seed.values()) for other, by_seed in found.items() if by_seed}


def _panel(axes: "Axes", study: Study, fraction: float, compared: dict[str, list[float]]) -> None:
    first = study.systems(fraction)[0]
    axes.axvline(0, color="black", linewidth=0.8)
    own = Summary.of(list(study.average(first, fraction).values()))
    if own is not None and own.deviation is not None:
        axes.axvspan(-own.deviation, own.deviation, color="black", alpha=0.07, linewidth=0)
    for row, by_seed in enumerate(compared.values()):
        mean = fmean(by_seed)
        if abs(mean) > WIDEST:
            far = signed(mean, 2)
            at, text, side = (0.99, f"{far} ▸", "right") if mean > 0 else (0.01, f"◂ {far}", "left")
            place = axes.get_yaxis_transform()
            axes.text(at, row, text, transform=place, ha=side, va="center", fontsize=9)
            continue
        axes.plot(mean, row, "D", color=COLOURS[0], markersize=6)
        axes.plot(by_seed, [row] * len(by_seed), "o", color=COLOURS[1], markersize=3)
    axes.set(
        title=f"{share(fraction)} of the data",
        xlabel=plain(f"average {study.about.score} F1 less that of {first}"),
        yticks=range(len(compared)),
        ylim=(len(compared) - 0.5, -0.5),
    )
    axes.set_yticklabels([plain(title(study, system)) for system in compared])
    axes.grid(alpha=0.3)
