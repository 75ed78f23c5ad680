"""``hyperloader tasks``: what a tagger can be asked for."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hyperloader.cli.colours import coloured


def tasks(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="[RUN]", help="A training run, a checkpoint, or owner/name on the Hub."
        ),
    ] = Path("builtin"),
    as_json: Annotated[bool, typer.Option("--json", help="Tasks and labels as JSON.")] = False,
) -> None:
    """List the tasks of a tagger with their labels, and for the builtin one an example of each.

    With --json the labels of every task, as an object.

    Examples:

      hyperloader tasks

      hyperloader tasks runs/my-run

      hyperloader tasks me/my-tagger --json
    """
    from hyperloader.builtin import examples, is_bundled
    from hyperloader.tagger import Tagger

    tagger = Tagger.from_pretrained(run)
    if as_json:
        typer.echo(json.dumps({task: tagger.labels(task) for task in tagger.tasks}, indent=1))
        return
    sentences = examples() if is_bundled(run) else {}
    console = Console(highlight=False, soft_wrap=True)
    for task in tagger.tasks:
        labels = tagger.labels(task)
        console.print(f"[bold]{task}[/bold] ({len(labels)} labels): {', '.join(labels)}")
        if task in sentences:
            console.print("  ", coloured(tagger.tag(sentences[task], task)), sep="")
    if not sentences:
        console.print(f'try: hyperloader tag {run} --task {tagger.tasks[0]} "your sentence"')
