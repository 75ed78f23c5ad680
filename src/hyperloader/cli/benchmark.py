"""``hyperloader benchmark``: measure this installation on this machine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hyperloader.builtin import BUILTIN
from hyperloader.errors import ConfigError

app = typer.Typer(
    no_args_is_help=True,
    help="Measure this installation on this machine.\n\n"
    "Example: hyperloader benchmark decode --shape mini",
)

JSON = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers here.")
]
Device = Annotated[str, typer.Option(help="Such as cuda.")]


@app.callback()
def benchmark() -> None:
    """Options of all benchmarks."""


@app.command()
def decode(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="A training run, a checkpoint or builtin."),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(help="A shape with random weights (mini, t5-small, t5-base, …); repeatable."),
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(min=1, help="A batch size; repeatable [default: 1, 8, 32, 128]."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Labelled sentences; default: made up."),
    ] = None,
    task: Annotated[str | None, typer.Option(help="The task to measure.")] = None,
    generate: Annotated[
        bool, typer.Option(help="Also time Hugging Face generate, which takes longest.")
    ] = True,
    memory: Annotated[
        bool, typer.Option(help="Also compare peak memory, each in its own process.")
    ] = True,
    grow: Annotated[
        str | None,
        typer.Option(
            metavar="AXIS",
            help="Instead measure how the cost grows with words, labels, tasks or batch (choose "
            "one), on one --shape [default: builtin].",
        ),
    ] = None,
    value: Annotated[
        list[int] | None,
        typer.Option(min=1, help="With --grow: a size to measure; repeatable, smallest first."),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Measure each time at least so often.")] = 3,
    device: Device = "cpu",
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or int8 (CPU).")] = "float32",
    json_file: JSON = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the times as PNG or SVG.")
    ] = None,
) -> None:
    """Compare the decoder with generate and with the floor, one teacher-forced pass.

    If neither RUN nor --shape is given, the builtin tagger and the shapes t5-small and t5-base are
    measured, which takes about a quarter of an hour on one core. A shape has random weights: they
    cost the same time as trained ones.

    Examples:

      hyperloader benchmark decode runs/my-run --batch 1 --batch 32 --no-generate

      hyperloader benchmark decode --shape t5-small --json speed.json --plot speed.png

      hyperloader benchmark decode --grow labels --plot labels.png
    """
    if grow is not None:
        if run is not None or batch or data or task or not generate:
            raise ConfigError(
                "--grow makes up its sentences and batches; with it give --shape, --value, "
                "--repeats, --device, --precision, --json and --plot only"
            )
        _grow(grow, shape, value, device, precision, repeats, json_file, plot)
        return
    if value:
        raise ConfigError("--value says how far to --grow: give --grow AXIS too")

    from hyperloader.benchmarks.decoding import BATCHES, run_benchmark
    from hyperloader.benchmarks.models import ModelSpec
    from hyperloader.cli.benchmark_report import plot_decoding, show_decoding

    if run is None and not shape:
        run, shape = Path("builtin-t5"), ["t5-small", "t5-base"]
    wanted = [ModelSpec(name, False, data, task, device, precision) for name in shape or ()]
    if run is not None:
        wanted.insert(0, ModelSpec(str(run), True, data, task, device, precision))
    console = Console(highlight=False)
    with console.status("making models") as status:
        result = run_benchmark(
            [one.make() for one in wanted],
            batch_sizes=batch or BATCHES,
            generate=generate,
            memory=memory,
            repeats=repeats,
            advance=status.update,
        )
    show_decoding(console, result)
    _keep(console, result, json_file, plot, plot_decoding)


def _grow(
    axis: str,
    shape: list[str] | None,
    values: list[int] | None,
    device: str,
    precision: str,
    repeats: int,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    from hyperloader.benchmarks.growth import measure_growth
    from hyperloader.cli.benchmark_report import plot_growth, show_growth

    if shape and len(shape) > 1:
        raise ConfigError("--grow measures one model: give one --shape")
    console = Console(highlight=False)
    with console.status("making models") as status:
        growth = measure_growth(
            axis,  # type: ignore[arg-type]
            shape=shape[0] if shape else BUILTIN,
            values=values,
            device=device,
            precision=precision,
            repeats=repeats,
            advance=status.update,
        )
    show_growth(console, growth)
    _keep(console, growth, json_file, plot, plot_growth)


@app.command()
def train(
    shape: Annotated[
        list[str] | None,
        typer.Option(help="builtin, or a shape with random weights (t5-small, …); repeatable."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Sentences per step [default: 32, t5-base: 8].")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Labelled corpora; default: made up.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Steps of each contender.")] = 5,
    device: Device = "cpu",
    json_file: JSON = None,
) -> None:
    """Compare what a training step costs, in time and in memory.

    Compared are HyperLoader with either loss, the same modules with free parameters, and full
    fine-tuning, on builtin, t5-small and t5-base. Each runs in its own process; all of it takes a
    few minutes.

    Example: hyperloader benchmark train --shape builtin --json step.json
    """
    from hyperloader.benchmarks.training import SHAPES, measure_training
    from hyperloader.cli.benchmark_report import show_training

    console = Console(highlight=False)
    with console.status("starting") as status:
        result = measure_training(
            shapes=shape or SHAPES,
            data=data,
            batch=batch,
            repeats=repeats,
            device=device,
            advance=status.update,
        )
    show_training(console, result)
    _keep(console, result, json_file)


def _keep(
    console: Console,
    result: Any,
    json_file: Path | None,
    plot: Path | None = None,
    draw: Callable[[Path, Any], None] | None = None,
) -> None:
    """Write all numbers with what they were made with, and the plot."""
    if json_file is not None:
        from hyperloader.experiments.run.environment import environment
        from hyperloader.store import write_text

        numbers = {"environment": environment(), **result.to_json()}
        write_text(json_file, json.dumps(numbers, indent=1) + "\n")
        console.print(f"numbers: {json_file}")
    if plot is not None and draw is not None:
        draw(plot, result)
        console.print(f"plot: {plot}")
