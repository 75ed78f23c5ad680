"""``hyperloader similarity``: which of a model's tasks are alike."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def similarity(
    run: Annotated[
        Path, typer.Argument(metavar="[RUN]", help="A training run or a checkpoint.")
    ] = Path("builtin"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw heat maps as PNG or SVG.")
    ] = None,
) -> None:
    """Show which of a model's tasks are alike, as cosines from -1 to 1.

    One table compares the tasks' embeddings, the others the weights that are generated for them,
    for each kind of module. From the weights the mean over all tasks is subtracted first, so tasks
    with nothing in common have a cosine a little below zero; how far below is printed too.

    Examples:

      hyperloader similarity builtin

      hyperloader similarity runs/my-run --plot tasks.png
    """
    from hyperloader.evaluation.similarity import task_similarity
    from hyperloader.tagger import Tagger
    from hyperloader.tagging import whole

    found = task_similarity(whole(Tagger.from_pretrained(run).model))
    if plot is not None:
        from hyperloader.evaluation.plots import plot_similarity

        plot_similarity(plot, found.tasks, found.matrices, "Cosine between tasks")
    if as_json:
        document = {
            "tasks": found.tasks,
            "by_chance": found.by_chance,
            "cosines": found.matrices,
        }
        typer.echo(json.dumps(document, indent=1))
        return
    console = Console(highlight=False)
    for kind, matrix in found.matrices.items():
        table = Table(box=None, header_style="bold", title=kind, title_justify="left")
        table.add_column("task")
        for task in found.tasks:
            table.add_column(task, justify="right")
        for task, row in zip(found.tasks, matrix, strict=True):
            table.add_row(task, *(f"{value:.2f}" for value in row))
        console.print(table)
    console.print(f"generated weights with nothing in common: about {found.by_chance:.2f}")
    if plot is not None:
        console.print(f"plot: {plot}", markup=False)
