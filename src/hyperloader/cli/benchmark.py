"""``hyperloader benchmark``: measure this installation on this machine."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hyperloader.errors import ConfigError, HyperloaderError

if TYPE_CHECKING:
    from hyperloader.decoding.benchmark import BenchmarkResult

app = typer.Typer(
    no_args_is_help=True,
    help="Measure this installation on this machine.\n\n"
    "Example: hyperloader benchmark decode --shape mini",
)

_RATIOS = ("generate / decoder", "generate / decoder warm", "decoder / pass", "decoder warm / pass")


@app.callback()
def benchmark() -> None:
    """Options of all benchmarks."""


@app.command()
def decode(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A training run or a checkpoint.")
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(help="A shape with made-up weights (mini, t5-small, t5-base, …); repeatable."),
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="A batch size; repeatable [default: 1, 8, 32].")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Sentences for RUN; default: sample ones.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="The task of RUN to measure.")] = None,
    generate: Annotated[
        bool, typer.Option(help="Also time Hugging Face generate, which takes most of the time.")
    ] = True,
    device: Annotated[str, typer.Option(help="Such as cuda.")] = "cpu",
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Run in bfloat16.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers here.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the times as PNG.")
    ] = None,
) -> None:
    """Compare the decoder with generate and with the floor, one teacher-forced pass.

    Without RUN and --shape the shapes mini and t5-small are measured, in about two minutes.

    Example: hyperloader benchmark decode --shape t5-small --json speed.json --plot speed.png
    """
    import torch

    from hyperloader.decoding.benchmark import run_benchmark
    from hyperloader.decoding.benchmark_models import run_subject, shape_subject

    if run is None and (data or task):
        raise ConfigError("--data and --task are for a RUN; name one")
    console = Console(highlight=False)
    with console.status("making models"):
        shapes = shape or (["mini", "t5-small"] if run is None else [])
        subjects = [shape_subject(name) for name in shapes]
        if run is not None:
            subjects.insert(0, run_subject(run, data, task))
        for subject in subjects:
            try:
                subject.model.to(device, torch.bfloat16 if bfloat16 else None)
            except (RuntimeError, AssertionError) as error:
                reason = str(error).splitlines()[0]
                raise HyperloaderError(f"the device {device!r} cannot be used: {reason}") from error
    with console.status("measuring") as status:
        result = run_benchmark(
            subjects, batch_sizes=batch or (1, 8, 32), generate=generate, advance=status.update
        )
    console.print(f"{result.device}, {result.threads} threads, torch {result.torch}")
    console.print(_table(result))
    for subject_result in result.subjects:
        mixed = subject_result.mixed_over_single
        console.print(
            f"{escape(subject_result.name)}: {subject_result.words_per_sentence:.1f} words a "
            f"sentence, {subject_result.outside_share:.0%} of them O"
            + (
                f"; {subject_result.mixed_tasks} tasks in one batch take {mixed:.2f} times as long"
                if mixed
                else ""
            )
        )
    if json_file is not None:
        from hyperloader.store import write_text

        write_text(json_file, json.dumps(result.to_json(), indent=1) + "\n")
        console.print(f"numbers: {json_file}")
    if plot is not None:
        _plot(plot, result)
        console.print(f"plot: {plot}")


def _table(result: "BenchmarkResult") -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("model", "batch", *_RATIOS, "sentences/s", "passes", "fed"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for subject in result.subjects:
        for m in subject.measurements:
            table.add_row(
                escape(subject.name),
                str(m.batch),
                *(f"{m.ratios[name]:.2f}" if name in m.ratios else "-" for name in _RATIOS),
                f"{m.batch / m.seconds['decoder']:.1f}",
                f"{m.work['passes']:.0f}",
                f"{m.work['fed']:.2f}",
            )
    return table


def _plot(path: Path, result: "BenchmarkResult") -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("--plot needs matplotlib: pip install 'hyperloader[plots]'") from error
    count = len(result.subjects)
    figure = Figure(figsize=(4.2 * count, 3.6), dpi=120, layout="constrained")
    panels = figure.subplots(1, count, squeeze=False)[0]
    for axes, subject in zip(panels, result.subjects, strict=True):
        for name in subject.measurements[0].seconds:
            points = [
                (m.batch, 1000 * m.seconds[name] / m.batch)
                for m in subject.measurements
                if name in m.seconds
            ]
            axes.plot(*zip(*points, strict=True), "o-", label=name)
        axes.set(
            title=subject.name,
            xlabel="sentences in a batch",
            ylabel="milliseconds a sentence",
            xscale="log",
            yscale="log",
        )
        axes.grid(which="both", alpha=0.3)
    axes.legend(fontsize="x-small")
    figure.savefig(path)
