"""What ``hyperloader benchmark`` shows: tables with the ratios first, and plots."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from hyperloader.benchmarks.decoding import BenchmarkResult, SubjectResult
    from hyperloader.benchmarks.growth import Growth
    from hyperloader.benchmarks.training import TrainingBenchmark

_RATIOS = ("generate / decoder", "generate / decoder warm", "decoder / pass", "decoder warm / pass")
_MEGABYTE = 1_000_000


def show_decoding(console: Console, result: "BenchmarkResult") -> None:
    """All models of a run, then what else is known of each."""
    _show_machine(console, result.device, result.threads, result.torch)
    columns = ("model", "batch", *_RATIOS, "a second", "passes", "fed")
    rows = [
        (
            subject.name,
            str(m.batch),
            *(_number(m.ratios.get(name)) for name in _RATIOS),
            f"{m.batch / m.seconds['decoder']:.1f}",
            f"{m.work['passes']:.0f}",
            f"{m.work['fed']:.2f}",
        )
        for subject in result.subjects
        for m in subject.measurements
    ]
    console.print(_table(columns, rows))
    repeats = [n for s in result.subjects for m in s.measurements for n in m.repeats.values()]
    console.print(
        f"a second: sentences by the decoder; medians of {min(repeats)} to {max(repeats)} times"
    )
    for subject in result.subjects:
        console.print(escape(_about(subject)))


def _about(subject: "SubjectResult") -> str:
    parts = [
        f"{subject.name}: {subject.words_per_sentence:.1f} words per sentence, "
        f"{subject.outside_share:.0%} of them O"
    ]
    if subject.mixed_over_single is not None:
        parts.append(
            f"{subject.mixed_tasks} tasks in one batch take {subject.mixed_over_single:.2f} times "
            "as long as one"
        )
    if subject.memory_ratio is not None:
        decoder, generate = (subject.peak_memory[name] for name in ("decoder", "generate"))
        parts.append(
            f"generate takes {subject.memory_ratio:.2f} times the decoder's memory "
            f"({generate / _MEGABYTE:.0f} against {decoder / _MEGABYTE:.0f} MB above the model, "
            f"batch {subject.memory_batch})"
        )
    if any("spaCy NER" in m.seconds for m in subject.measurements):
        rates = [
            f"{m.batch / m.seconds['spaCy NER']:.0f} at batch {m.batch}"
            for m in subject.measurements
        ]
        parts.append(f"an untrained spaCy NER, sentences/s: {', '.join(rates)}")
    return "; ".join(parts)


def show_growth(console: Console, growth: "Growth") -> None:
    """One row a value of what grows."""
    _show_machine(console, growth.device, growth.threads, growth.torch)
    ratios, seconds = growth.rows[-1].ratios, growth.rows[-1].seconds
    columns = (growth.axis, *ratios, *(f"{name} (ms)" for name in seconds))
    rows = [
        (
            f"{row.value:,}",
            *(_number(row.ratios.get(name)) for name in ratios),
            *(f"{1000 * row.seconds[name]:.1f}" for name in seconds),
        )
        for row in growth.rows
    ]
    console.print(_table(columns, rows))
    console.print("growth: the decoder's time over that of the first row")


def show_training(console: Console, result: "TrainingBenchmark") -> None:
    """One row a contender, its time and memory over those of the first."""
    _show_machine(console, result.device, result.threads, result.torch)
    columns = ("backbone", "batch", "training", "time", "memory", "ms a step", "MB", "trained")
    rows = []
    for backbone in result.backbones:
        for cost in backbone.costs:
            memory = "-" if cost.memory is None else f"{cost.memory / _MEGABYTE:,.0f}"
            rows.append(
                (
                    backbone.shape,
                    str(backbone.batch),
                    cost.name,
                    _number(backbone.time[cost.name]),
                    _number(backbone.memory.get(cost.name)),
                    f"{1000 * cost.seconds:,.0f}",
                    memory,
                    f"{cost.trained:,}",
                )
            )
    console.print(_table(columns, rows))
    console.print(
        "time and memory: over those of the backbone's first row; MB: peak above the loaded model"
    )


def plot_decoding(path: Path, result: "BenchmarkResult") -> None:
    """Milliseconds a sentence against the batch, one panel a model."""
    panels = {
        subject.name: {
            name: [
                (m.batch, 1000 * m.seconds[name] / m.batch)
                for m in subject.measurements
                if name in m.seconds
            ]
            for name in dict.fromkeys(name for m in subject.measurements for name in m.seconds)
        }
        for subject in result.subjects
    }
    _plot(path, panels, "sentences in a batch", "milliseconds a sentence")


def plot_growth(path: Path, growth: "Growth") -> None:
    """Milliseconds against what grows, one line a contender."""
    lines = {
        name: [(row.value, 1000 * row.seconds[name]) for row in growth.rows]
        for name in growth.rows[0].seconds
    }
    _plot(path, {growth.model: lines}, growth.axis, "milliseconds")


def _plot(
    path: Path,
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    across: str,
    up: str,
) -> None:
    from hyperloader.evaluation.plots import new_figure, plain, save_figure

    figure = new_figure(4.4 * len(panels) + 1.4, 3.6)
    drawn = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, lines) in zip(drawn, panels.items(), strict=True):
        for name, points in lines.items():
            axes.plot(*zip(*points, strict=True), "o-", label=plain(name))
        axes.set(title=plain(title), xlabel=across, ylabel=up, xscale="log", yscale="log")
        measured = sorted({at for points in lines.values() for at, _ in points})
        axes.set_xticks(measured, [f"{at:g}" for at in measured])
        axes.set_xticks([], minor=True)
        axes.grid(which="both", alpha=0.3)
    drawn[-1].legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save_figure(figure, path)


def _show_machine(console: Console, device: str, threads: int, torch: str) -> None:
    console.print(f"{device}, {threads} {'thread' if threads == 1 else 'threads'}, torch {torch}")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        left = name in ("model", "backbone", "training")
        table.add_column(name, justify="left" if left else "right")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
