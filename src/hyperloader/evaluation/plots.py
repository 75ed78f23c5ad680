"""Scores as pictures, PNG or SVG. Needs the extra ``plots`` (matplotlib), imported when used."""

from collections.abc import Mapping, Sequence
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

from hyperloader.errors import DataError, HyperloaderError
from hyperloader.evaluation.confusion import Confusion, Outcome
from hyperloader.evaluation.metrics import TaskScores, average

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
BAR, MEAN = "#0072b2", "#d55e00"
# Distinguishable with colour-vision deficiency too (Okabe and Ito).
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8b6a3c"),
    *("#7a7a7a", "#b8a800", "#5e3c99"),
)
_KINDS = {
    Outcome.MISSED: "#0072b2",
    Outcome.SPURIOUS: "#56b4e9",
    Outcome.WRONG_LABEL: "#d55e00",
    Outcome.WRONG_BOUNDARY: "#e69f00",
    Outcome.WRONG_BOTH: "#cc79a7",
    Outcome.FRAGMENT: "#999999",
}


def plot_confusion(
    path: Path, scores: TaskScores | Mapping[str, TaskScores], *, top: int = 20
) -> None:
    """A heat map for each task: gold labels down, predicted ones across, counts in the cells.

    Colour is the square root of a cell's share of its row: rare labels are as visible as frequent
    ones, and rare errors are visible at all. Labels are those of `Confusion.table`: the ``top``
    with most errors, the rest as ``(other)``.

    Raises HyperloaderError without matplotlib, DataError when there is no task, when ``top`` is
    below 1, and when the file cannot be written.
    """
    tasks = {scores.task: scores} if isinstance(scores, TaskScores) else dict(scores)
    if top < 1:
        raise DataError(f"top={top} shows no label; give at least 1")
    sizes = [len(s.confusion.table(top).rows) for s in tasks.values()]
    columns = min(2, len(tasks))
    rows = ceil(len(tasks) / max(columns, 1))
    side = 2.8 + 0.36 * max(sizes, default=0)
    _some(tasks)
    figure = new_figure(columns * side, rows * side)
    for i, (name, task) in enumerate(tasks.items(), 1):
        _heat(figure.add_subplot(rows, columns, i), name, task.confusion, top)
    save_figure(figure, path)


def plot_f1(path: Path, scores: Mapping[str, TaskScores]) -> None:
    """Horizontal bars of micro F1 (default mode), one per task, best first; a line at their mean.

    Raises HyperloaderError without matplotlib, DataError when there is no task and when the file
    cannot be written.
    """
    _some(scores)
    figure = new_figure(7.0, 1.3 + 0.4 * len(scores))
    axes = figure.add_subplot()
    values = sorted(((s.default.f1, plain(name)) for name, s in scores.items()))
    axes.barh(range(len(values)), [f1 for f1, _ in values], color=BAR, height=0.65)
    axes.set_yticks(range(len(values)), [name for _, name in values])
    for y, (f1, _) in enumerate(values):
        axes.text(1.02, y, f"{f1:.4f}", va="center")
    mean = average(scores)["default"]["f1"]
    axes.axvline(mean, color=MEAN, linestyle="--", label=f"average {mean:.4f}")
    axes.set(xlim=(0, 1.15), xlabel="micro F1", xticks=[0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", frameon=False)
    save_figure(figure, path)


def plot_kinds(
    path: Path, kinds: Mapping[str, Mapping[Outcome, int]], gold: Mapping[str, int], title: str
) -> None:
    """Stacked horizontal bars, one per task: errors of each kind per hundred gold spans.

    ``kinds`` counts them, ``gold`` the gold spans. Raises what `plot_f1` raises.
    """
    _some(kinds)
    figure = new_figure(9.0, 1.9 + 0.45 * len(kinds))
    axes = figure.add_subplot()
    tasks = list(kinds)
    rates = {
        task: {k: 100 * n / max(gold[task], 1) for k, n in kinds[task].items()} for task in kinds
    }
    widest = max([sum(rate.values()) for rate in rates.values()] + [1e-9])
    start = dict.fromkeys(tasks, 0.0)
    for kind, colour in _KINDS.items():
        widths = [rates[task].get(kind, 0.0) for task in tasks]
        axes.barh(
            range(len(tasks)), widths, left=list(start.values()), color=colour, label=kind.value
        )
        for y, (task, width) in enumerate(zip(tasks, widths, strict=True)):
            if width > 0.035 * widest:
                ink = "black" if colour in ("#56b4e9", "#e69f00", "#999999", "#cc79a7") else "white"
                middle = start[task] + width / 2
                axes.text(
                    middle, y, f"{width:.1f}", ha="center", va="center", color=ink, fontsize=8
                )
            start[task] += width
    axes.set_yticks(range(len(tasks)), [f"{plain(t)} ({start[t]:.1f})" for t in tasks])
    axes.invert_yaxis()
    axes.set(xlabel="errors per hundred gold spans (all kinds in brackets)", title=plain(title))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    save_figure(figure, path)


def plot_similarity(
    path: Path, names: Sequence[str], matrices: Mapping[str, Sequence[Sequence[float]]], title: str
) -> None:
    """Heat maps of cosines in [-1, 1], one for each of ``matrices`` (n, n), values in the cells.

    Raises what `plot_f1` raises.
    """
    _some(matrices)
    cells = 0.55 * len(names)
    columns = min(2, len(matrices))
    rows = ceil(len(matrices) / columns)
    figure = new_figure(columns * (cells + 1.9) + 1.0, rows * (cells + 1.4) + 0.4)
    labels = [plain(name) for name in names]
    for i, (kind, matrix) in enumerate(matrices.items(), 1):
        axes = figure.add_subplot(rows, columns, i)
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
        for y, row in enumerate(matrix):
            for x, value in enumerate(row):
                ink = "white" if abs(value) > 0.6 else "black"
                text = f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
                axes.text(x, y, text, ha="center", va="center", color=ink, fontsize=8)
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(labels)), labels, fontsize=8)
        axes.set_title(plain(kind), fontsize=10)
    figure.colorbar(image, ax=figure.axes, shrink=0.6, label="cosine")
    figure.suptitle(plain(title))
    save_figure(figure, path)


def _heat(axes: "Axes", name: str, confusion: Confusion, top: int) -> None:
    table = confusion.table(top)
    shades = [[sqrt(n / max(sum(row), 1)) for n in row] for row in table.counts]
    axes.imshow(shades, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    for i, row in enumerate(table.counts):
        for j, count in enumerate(row):
            if count:
                color = "white" if shades[i][j] > 0.6 else "black"
                axes.text(j, i, str(count), ha="center", va="center", color=color, fontsize=7)
    axes.set_xticks(range(len(table.columns)), map(plain, table.columns), rotation=90, fontsize=8)
    axes.set_yticks(range(len(table.rows)), map(plain, table.rows), fontsize=8)
    axes.set(xlabel="predicted", ylabel="gold", title=plain(name))


def plain(text: str) -> str:
    """``text`` for a figure: matplotlib would read what is between dollar signs as mathematics."""
    return text.replace("$", r"\$")


def need_matplotlib() -> None:
    """Raise HyperloaderError, with the command that installs it, where matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise HyperloaderError(
            "plots need matplotlib; install it with pip install 'hyperloader[plots]'"
        ) from error


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, in inches. Raises HyperloaderError without matplotlib."""
    need_matplotlib()
    # A bare Figure draws with Agg and leaves pyplot, its backend and its state alone.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def save_figure(figure: "Figure", path: Path) -> None:
    """Write SVG where the name ends in .svg, else PNG; the same figure gives the same file.

    Missing folders are made. Raises DataError when the file cannot be written.
    """
    from matplotlib import rc_context

    kind = "svg" if path.suffix.lower() == ".svg" else "png"
    # Without a date and with fixed names inside, a picture changes only when its numbers do.
    about = {"Date": None} if kind == "svg" else {}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with rc_context({"svg.hashsalt": "hyperloader"}):
            figure.savefig(path, format=kind, bbox_inches="tight", metadata=about)
    except OSError as error:
        raise DataError(
            f"cannot write the plot: {error.strerror}; choose another file", path
        ) from error


def _some(scores: Mapping[str, object]) -> None:
    if not scores:
        raise DataError("nothing to plot: score at least one task first")
