"""``hyperloader suggest``: the sentences most worth labelling."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hyperloader.cli.lines import Line, file_lines, standard_input, stream_lines
from hyperloader.errors import ConfigError, DataError, unknown


def suggest(
    run: Annotated[
        str,
        typer.Argument(
            metavar="TAGGER",
            help="A training run, a checkpoint, a bundled tagger, or owner/name on the Hub.",
        ),
    ],
    pool: Annotated[
        Path,
        typer.Option(
            metavar="TEXT", help="Sentences without labels, one per line; - is standard input."
        ),
    ],
    task: Annotated[
        str | None, typer.Option(help="The task; not needed if there is only one.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many sentences.")] = 50,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write them here for labelling; default: show them."),
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="What FILE is written as: label-studio, doccano, brat, jsonl, … (hyperloader data "
            "formats lists all).",
        ),
    ] = "jsonl",
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
) -> None:
    """List the sentences of a pool that are most worth labelling, with the tagger's own answers.

    Those come first of whose tags the tagger is least sure (mean entropy per word), and of
    sentences that are much alike one. Written with --out they hold the tagger's answers, to be
    corrected in a labelling tool; what comes back is data for add-task --replace or for train.

    Examples:

      hyperloader suggest my-tagger --pool texts.txt --task support --count 20

      hyperloader suggest my-tagger --pool texts.txt --task faq --out todo.json --to label-studio

      hyperloader add-task my-tagger --data todo.json --task faq --replace --out better
    """
    from hyperloader.cli.colours import coloured
    from hyperloader.corpora.formats import written
    from hyperloader.corpora.writing import write_part
    from hyperloader.growing.suggest import suggest as suggested
    from hyperloader.tagger import Tagger

    if to not in written():
        raise ConfigError(unknown("format to write", to, written()))
    if out is not None and out.exists() and not force:
        raise DataError("exists already; name another place or add --force", out)
    tagger = Tagger.from_pretrained(run)
    found = suggested(tagger, (line.text() for line in _lines(pool)), task, count=count)
    console = Console(highlight=False, soft_wrap=True)
    if out is None:
        for one in found:
            console.print(f"{one.uncertainty:.3f}  ", coloured(one.tagged), sep="")
        return
    examples = [one.example for one in found]
    losses = write_part(examples, out, to, force=force, lossy=True)
    console.print(f"wrote {out} ({to}; {len(found):,} sentences)", markup=False)
    for field, number in losses.items():
        console.print(f"{to} does not hold {field}: lost in {number:,} sentences", markup=False)


def _lines(pool: Path) -> Iterator[Line]:
    group = 256
    if str(pool) == "-":
        groups = stream_lines(standard_input(), "standard input", group)
    else:
        groups = file_lines(pool, group)
    for lines in groups:
        yield from lines
