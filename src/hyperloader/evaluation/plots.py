"""Scores as PNG images. Needs the extra ``plots`` (matplotlib), imported only when used."""

from collections.abc import Mapping
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

from hyperloader.errors import DataError, HyperloaderError
from hyperloader.evaluation.confusion import Confusion
from hyperloader.evaluation.metrics import TaskScores, average

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
BAR, MEAN = "#0072b2", "#d55e00"


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
    figure = _figure(tasks, columns * side, rows * side)
    for i, (name, task) in enumerate(tasks.items(), 1):
        _heat(figure.add_subplot(rows, columns, i), name, task.confusion, top)
    _save(figure, path)


def plot_f1(path: Path, scores: Mapping[str, TaskScores]) -> None:
    """Horizontal bars of micro F1 (default mode), one a task, best first; a line at their mean.

    Raises HyperloaderError without matplotlib, DataError when there is no task and when the file
    cannot be written.
    """
    figure = _figure(scores, 7.0, 1.3 + 0.4 * len(scores))
    axes = figure.add_subplot()
    values = sorted(((s.default.f1, _plain(name)) for name, s in scores.items()))
    axes.barh(range(len(values)), [f1 for f1, _ in values], color=BAR, height=0.65)
    axes.set_yticks(range(len(values)), [name for _, name in values])
    for y, (f1, _) in enumerate(values):
        axes.text(1.02, y, f"{f1:.4f}", va="center")
    mean = average(scores)["default"]["f1"]
    axes.axvline(mean, color=MEAN, linestyle="--", label=f"average {mean:.4f}")
    axes.set(xlim=(0, 1.15), xlabel="micro F1", xticks=[0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", frameon=False)
    _save(figure, path)


def _heat(axes: "Axes", name: str, confusion: Confusion, top: int) -> None:
    table = confusion.table(top)
    shades = [[sqrt(n / max(sum(row), 1)) for n in row] for row in table.counts]
    axes.imshow(shades, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    for i, row in enumerate(table.counts):
        for j, count in enumerate(row):
            if count:
                color = "white" if shades[i][j] > 0.6 else "black"
                axes.text(j, i, str(count), ha="center", va="center", color=color, fontsize=7)
    axes.set_xticks(range(len(table.columns)), map(_plain, table.columns), rotation=90, fontsize=8)
    axes.set_yticks(range(len(table.rows)), map(_plain, table.rows), fontsize=8)
    axes.set(xlabel="predicted", ylabel="gold", title=_plain(name))


def _plain(text: str) -> str:
    # matplotlib reads text between dollar signs as mathematics.
    return text.replace("$", r"\$")


def _figure(scores: Mapping[str, TaskScores], width: float, height: float) -> "Figure":
    if not scores:
        raise DataError("nothing to plot: score at least one task first")
    try:
        # A bare Figure draws with Agg and leaves pyplot, its backend and its state alone.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise HyperloaderError(
            "plots need matplotlib; install it with pip install 'hyperloader[plots]'"
        ) from error
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", bbox_inches="tight")
    except OSError as error:
        raise DataError(
            f"cannot write the plot: {error.strerror}; choose another file", path
        ) from error
