"""``hyperloader data``: look at corpora, and turn one format into another."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hyperloader.corpora.corpus import SPLITS
from hyperloader.corpora.readers.formats import FORMATS, SEQ_EXAMPLE, SEQ_TITLE
from hyperloader.corpora.registry import is_single_part, load_corpora, read_parts
from hyperloader.corpora.stats import CorpusStats, absent_corpora, corpus_stats
from hyperloader.corpora.writers import WRITERS, write_corpus, write_part
from hyperloader.errors import DataError

app = typer.Typer(
    help="Look at labelled corpora and convert them.\n\nExample: hyperloader data stats my_corpora",
    no_args_is_help=True,
)


@app.command()
def stats(
    root: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder with one folder a task, or one corpus.")
    ],
    task: Annotated[
        list[str] | None, typer.Option(help="Only this task; may be given several times.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws a validation part where there is none.")] = 42,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Sizes, slot types and oddities of corpora (the paper's Table 2).

    A corpus is a folder with files named train, valid and test; without a validation part a tenth
    of train is drawn. The last column is the share of test sentences that train has too.

    Example: hyperloader data stats my_corpora --task restaurant
    """
    corpora = load_corpora(root, task, seed=seed, require=())
    rows = [corpus_stats(corpus) for corpus in corpora.values()]
    absent = absent_corpora(corpora) if not task else []
    if as_json:
        document = {"corpora": {row.name: row.as_json() for row in rows}, "absent": absent}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
        return
    console = Console()
    console.print(_table(rows))
    for row in rows:
        for note in row.notes:
            console.print(f"{row.name}: {note}", markup=False, highlight=False)
    for name in absent:
        console.print(f"{name}: absent (a corpus of the paper's Table 2)", highlight=False)


def _table(rows: list[CorpusStats]) -> Table:
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        caption="labels: slot types over all parts, and in train; longest: words of the longest "
        "sentence; seen: test sentences that are in train too",
        caption_justify="left",
    )
    table.add_column("corpus", overflow="fold")
    for title in ("train", "valid", "test", "labels", "in train", "words", "longest", "seen"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        sizes = [row.parts[part].sentences for part in SPLITS]
        numbers = [*sizes, row.labels, row.labels_in_train, row.words, row.longest]
        seen = "-" if row.test_in_train is None else f"{row.test_in_train:.2%}"
        table.add_row(escape(row.name), *(f"{number:,}" for number in numbers), seen)
    return table


@app.command()
def convert(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="A corpus folder, or one file of a corpus.")
    ],
    target: Annotated[
        Path, typer.Argument(metavar="DST", help="What to write: a folder, or a file for a file.")
    ],
    to: Annotated[str, typer.Option(metavar="FORMAT", help=f"One of {', '.join(WRITERS)}.")],
    force: Annotated[bool, typer.Option("--force", help="Replace DST if it exists.")] = False,
) -> None:
    """Write a corpus in another format, so that it reads back the same, or refuse.

    The format of SRC is detected. If the new format would lose something (an intent, irregular
    white space), nothing is written and the first such sentence is named.

    Example: hyperloader data convert my_corpora/movie movie_jsonl --to jsonl
    """
    if source.resolve() == target.resolve() or target.resolve() in source.resolve().parents:
        raise DataError(f"is or holds the source {source}; name another place", target)
    parts = read_parts(source)
    if is_single_part(source):
        write_part(next(iter(parts.values())), target, to, force=force)
    else:
        write_corpus(parts, target, to, force=force)
    sizes = ", ".join(f"{part} {len(examples):,}" for part, examples in parts.items())
    typer.echo(f"wrote {target} ({to}; sentences: {sizes})")


@app.command()
def formats() -> None:
    """The formats that are read, each with an example of two lines.

    Example: hyperloader data formats
    """
    entries = {"seq": (SEQ_TITLE, SEQ_EXAMPLE)}
    entries |= {name: (found.title, found.example) for name, found in FORMATS.items()}
    for name, (title, example) in entries.items():
        written = " [also written]" if name in WRITERS else ""
        body = "\n".join(f"    {line}" for line in example.split("\n"))
        typer.echo(f"{name}: {title}{written}\n{body}\n")
