"""The figures of a report: F1 against trained parameters, training sentences and steps, and the
differences between systems."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from pathlib import Path
from statistics import fmean
from textwrap import fill
from typing import TYPE_CHECKING, Any

from hyperloader.evaluation.plots import COLOURS, new_figure, plain, save_figure
from hyperloader.experiments.analyse.curves import curve
from hyperloader.experiments.analyse.results import Results, Summary
from hyperloader.experiments.report.content import share, signed, title
from hyperloader.reproduction import paper

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vP*Xhp<"
FAINT = 0.4
WIDEST = 0.1  # a larger difference is written as a number at the edge of the panel
GAP = 0.2  # a system further below all others is written at the edge likewise


def figure_path(out: Path, name: str) -> Path:
    """Where the figure called ``name`` is written."""
    return out / f"{name}.png"


def plot_parameters(path: Path, results: Results) -> None:
    """Average F1 against the share of trained parameters: the paper's figure 2.

    One panel for each of the paper's shares of the data and for each other one that is planned;
    a panel without a result says so. A marker is a system, its bar the standard deviation over
    seeds; the share of trained parameters is that of one model, on a logarithmic axis. Hollow,
    faint markers are the paper's, over the corpora at hand. A system more than 0.2 below all others
    stands at the lower edge, its F1 beside it, so that the others can be told apart.

    Raises:
        HyperloaderError: matplotlib is not installed.
        DataError: a file cannot be written.
    """
    fractions = sorted({*paper.FRACTIONS, *results.fractions})
    averages = {
        (system, fraction): Summary.of(list(results.average(system, fraction).values()))
        for fraction in fractions
        for system in results.systems(fraction)
    }
    lowest = _lowest_of_the_rest([f1.mean for f1 in averages.values() if f1 is not None])
    figure = new_figure(3.7 * len(fractions) + 2.2, 4.4)
    panels = figure.subplots(1, len(fractions), squeeze=False, sharex=True, sharey=True)[0]
    for axes, fraction in zip(panels, fractions, strict=True):
        _published(axes, results, fraction)
        missing = []
        for system in results.systems(fraction):
            parameters = results.parameters(system, fraction)
            f1, style = averages[system, fraction], _style(results, system)
            if parameters is None or f1 is None:
                missing.append(title(results, system))
            elif f1.mean < lowest:
                place = axes.get_xaxis_transform()
                axes.errorbar(parameters.percent, 0.04, None, **style, transform=place)
                text = f"  {f1.mean:.2f} ▾"
                axes.text(parameters.percent, 0.04, text, transform=place, va="center", fontsize=9)
            else:
                axes.errorbar(parameters.percent, f1.mean, f1.deviation, **style, capsize=3)
        _name(axes, "trained parameters (%)", fraction, results.systems(fraction), missing)
        axes.set_xscale("log")
        _plain_logarithm(axes)
    panels[0].set_ylabel(f"average {results.metadata.score} F1")
    _finish(figure, panels, path)


def _lowest_of_the_rest(values: Sequence[float]) -> float:
    """The lowest of ``values`` that is not cut off from those above it by a gap."""
    ordered = sorted(values, reverse=True)
    cut = (above for above, below in pairwise(ordered) if above - below > GAP)
    return next(cut, min(values, default=0.0))


def plot_differences(path: Path, results: Results) -> None:
    """Average F1 of every other system less that of the first one: a panel for each share.

    Right of zero is better than the first system. A dot is a seed, the marker the mean over seeds;
    the band is the first system's own standard deviation over its seeds, a measure of what is
    noise. A mean beyond 0.1 is written at the edge. Systems without a result are left out.

    Raises:
        HyperloaderError: matplotlib is not installed.
        DataError: a file cannot be written.
    """
    fractions = [f for f in results.reached if len(results.systems(f)) > 1]
    compared = {f: _compared(results, f) for f in fractions}
    rows = max((len(found) for found in compared.values()), default=0)
    figure = new_figure(3.9 * max(1, len(fractions)) + 1.4, 0.32 * rows + 1.6)
    panels = figure.subplots(1, max(1, len(fractions)), squeeze=False)[0]
    for axes, fraction in zip(panels, fractions, strict=False):
        _panel(axes, results, fraction, compared[fraction])
    for axes in panels[len(fractions) :]:
        axes.set_axis_off()
    save_figure(figure, path)


def _compared(results: Results, fraction: float) -> dict[str, list[float]]:
    """The differences of each other system to the first, of the seeds that both have."""
    first, *others = results.systems(fraction)
    found = {other: results.differences(other, first, fraction) for other in others}
    return {other: list(by_seed.values()) for other, by_seed in found.items() if by_seed}


def _panel(
    axes: "Axes", results: Results, fraction: float, compared: dict[str, list[float]]
) -> None:
    first = results.systems(fraction)[0]
    axes.axvline(0, color="black", linewidth=0.8)
    own = Summary.of(list(results.average(first, fraction).values()))
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
        xlabel=plain(f"average {results.metadata.score} F1 less that of {first}"),
        yticks=range(len(compared)),
        ylim=(len(compared) - 0.5, -0.5),
    )
    axes.set_yticklabels([plain(title(results, system)) for system in compared])
    axes.grid(alpha=0.3)


def plot_sizes(path: Path, results: Results) -> None:
    """F1 against the number of training sentences: a panel for each corpus, a line for each system.

    Bars are standard deviations over seeds. Where the folder of results does not hold the
    numbers of sentences the axis is the share of the data. Raises as :func:`plot_parameters`.
    """
    columns = min(3, len(results.tasks))
    rows = ceil(len(results.tasks) / columns)
    figure = new_figure(3.6 * columns + 2.0, 3.1 * rows + 0.4)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    counted = set(results.tasks) <= results.metadata.training_sentences.keys()
    for axes, task in zip(panels, results.tasks, strict=False):
        sizes: set[float] = set()
        for system in results.systems():
            points = []
            for fraction in results.fractions:
                f1 = Summary.of(list(results.f1(system, fraction, task).values()))
                size = results.training_sentences(task, fraction) if counted else 100 * fraction
                if f1 is not None and size is not None:
                    points.append((size, f1.mean, f1.deviation or 0.0))
            if points:
                style = {**_style(results, system), "linestyle": "-"}
                axes.errorbar(*zip(*points, strict=True), **style, capsize=3)
            sizes.update(point[0] for point in points)
        axes.set(
            xscale="log",
            title=plain(task),
            xlabel="training sentences" if counted else "training data (%)",
        )
        axes.set_xticks(ticks := sorted(sizes), [f"{size:,g}" for size in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    for axes in panels[::columns]:
        axes.set_ylabel(f"{results.metadata.score} F1")
    for axes in panels[len(results.tasks) :]:
        axes.remove()
    _finish(figure, panels[: len(results.tasks)], path)


def plot_curves(path: Path, results: Results) -> None:
    """Validation F1 against steps: a panel for each share of the data, a line a system.

    Means over seeds, the band is their standard deviation; steps of one model per corpus are added
    up. Raises as :func:`plot_parameters`.
    """
    fractions = results.fractions
    figure = new_figure(4.4 * len(fractions) + 2.0, 4.2)
    panels = figure.subplots(1, len(fractions), squeeze=False, sharey=True)[0]
    for axes, fraction in zip(panels, fractions, strict=True):
        missing = []
        for system in results.systems(fraction):
            if not (points := curve(results, system, fraction)):
                missing.append(title(results, system))
                continue
            steps, f1 = [p.step for p in points], [p.f1.mean for p in points]
            style = _style(results, system)
            axes.plot(steps, f1, **{**style, "linestyle": "-"}, markersize=4)
            spread = [p.f1.deviation or 0.0 for p in points]
            axes.fill_between(
                steps,
                [m - s for m, s in zip(f1, spread, strict=True)],
                [m + s for m, s in zip(f1, spread, strict=True)],
                color=style["color"],
                alpha=0.15,
                linewidth=0,
            )
        _name(axes, "steps", fraction, results.systems(fraction), missing)
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("validation F1")
    _finish(figure, panels, path)


def _published(axes: "Axes", results: Results, fraction: float) -> None:
    tasks = [task for task in paper.CORPORA if task in results.tasks]
    if fraction not in paper.FRACTIONS or not tasks or results.metadata.score != "test":
        return
    for system, name in paper.COLUMNS.items():
        style = _style(results, system)
        axes.plot(
            paper.paper_percent(system),
            paper.paper_average(system, fraction, tasks),
            **{**style, "label": f"{name} (paper)"},
            markerfacecolor="none",
            alpha=FAINT,
        )


def _style(results: Results, system: str) -> dict[str, Any]:
    """The same colour and marker in every figure, the paper's systems behind those at hand."""
    known = [*results.systems(), *(name for name in paper.COLUMNS if name not in results.systems())]
    i = known.index(system)
    return {
        "color": COLOURS[i % len(COLOURS)],
        "marker": MARKERS[(i + i // len(COLOURS)) % len(MARKERS)],
        "linestyle": "none",
        "label": plain(title(results, system)),
    }


def _name(
    axes: "Axes", xlabel: str, fraction: float, planned: list[str], missing: list[str]
) -> None:
    """The panel's title and axis, and which of the planned systems have no result."""
    axes.set_title(f"{share(fraction)} of the data")
    if len(missing) == len(planned):
        axes.text(
            *(0.5, 0.5, "no results here yet"),
            transform=axes.transAxes,
            ha="center",
            va="center",
            style="italic",
        )
    elif missing:
        xlabel += "\n" + fill(f"without a result: {', '.join(missing)}", 44)
    axes.set_xlabel(plain(xlabel))


def _plain_logarithm(axes: "Axes") -> None:
    """Ticks at 1, 2 and 5 in plain numbers, few enough to be read, and a grid."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)


def _finish(figure: "Figure", panels: "Sequence[Axes]", path: Path) -> None:
    """One legend for all panels, and the file."""
    found = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    ours_first = sorted(found, key=lambda label: label.endswith("(paper)"))
    figure.legend(
        [found[label] for label in ours_first],
        ours_first,
        loc="outside right upper",
        frameon=False,
        fontsize=9,
    )
    save_figure(figure, path)
