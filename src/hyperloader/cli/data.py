"""``hyperloader data``: look at corpora, and turn one format into another."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hyperloader.corpora.corpus import SPLITS, account
from hyperloader.corpora.formats import FORMATS, written
from hyperloader.corpora.reading.options import ReadOptions, parse_options
from hyperloader.corpora.reading.place import open_place
from hyperloader.corpora.registry import is_single_part, load_corpora, read_corpus
from hyperloader.corpora.stats import CorpusStats, absent_corpora, corpus_stats
from hyperloader.corpora.writing import write_corpus, write_part
from hyperloader.errors import DataError
from hyperloader.store import check_parent

READ_HELP = (
    "A reading option, such as tag=4, annotator=first or strict=true; may be given several times."
)

app = typer.Typer(
    help="Look at labelled corpora and convert them.\n\nExample: hyperloader data stats my_corpora",
    no_args_is_help=True,
)


@app.command()
def stats(
    root: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A folder with one folder per task, or one corpus."),
    ],
    task: Annotated[
        list[str] | None, typer.Option(help="Only this task; may be given several times.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the validation part if there is none.")] = 42,
    read: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help=READ_HELP)] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="A span that would be repaired is an error.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Sizes, slot types and oddities of corpora (the paper's Table 2).

    A corpus is a folder with files named train, valid and test; if there is no validation file,
    10 % of train is held out. The last column is the share of test sentences that train has too.
    Below the table stands what was read as what and why, what was not read, and what looks odd.

    Example: hyperloader data stats my_corpora --task restaurant
    """
    options = _options(read, strict)
    corpora = load_corpora(root, task, seed=seed, require=(), options=options)
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
    for row, corpus in zip(rows, corpora.values(), strict=True):
        typer.echo(f"\n{account([corpus])}")
        for oddity in row.oddities:
            typer.echo(f"  odd: {oddity}")


def _options(read: list[str] | None, strict: bool) -> ReadOptions:
    options = parse_options(read)
    return options.updated({"strict": True}) if strict else options


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
    to: Annotated[str, typer.Option(metavar="FORMAT", help=f"One of {', '.join(written())}.")],
    force: Annotated[bool, typer.Option("--force", help="Replace DST if it exists.")] = False,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="Write it even if the format cannot hold everything.")
    ] = False,
    read: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help=READ_HELP)] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="A span that would be repaired is an error.")
    ] = False,
) -> None:
    """Write a corpus in another format, so that it reads back the same, or refuse.

    The format of SRC is recognised. If the new format would lose something (an intent, the text
    between words), nothing is written and the first such sentence is named; with --lossy it is
    written, and what was lost is counted. Spans are never lost.

    Example: hyperloader data convert my_corpora/movie movie_jsonl --to jsonl
    """
    if source.resolve() == target.resolve() or target.resolve() in source.resolve().parents:
        raise DataError(f"is or holds the source {source}; name another place", target)
    corpus = read_corpus(source, options=_options(read, strict))
    typer.echo(account([corpus]), err=True)
    parts = corpus.splits
    if is_single_part(open_place(source)):
        losses = write_part(next(iter(parts.values())), target, to, force=force, lossy=lossy)
    else:
        losses = write_corpus(parts, target, to, force=force, lossy=lossy)
    sizes = ", ".join(f"{part} {len(examples):,}" for part, examples in parts.items())
    typer.echo(f"wrote {target} ({to}; sentences: {sizes})")
    for field, count in losses.items():
        typer.echo(f"{to} does not hold {field}: lost in {count:,} sentences")


@app.command("from-text")
def from_text(
    text: Annotated[
        Path, typer.Argument(metavar="TEXT", help="A folder of .txt and .txt.xz files.")
    ],
    target: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to write the folders kinds and classes.")
    ],
    most: Annotated[
        int,
        typer.Option(
            min=1, help="Sentences for each kind of thing; 20 times as many for each class."
        ),
    ] = 30,
    force: Annotated[bool, typer.Option("--force", help="Replace them if they exist.")] = False,
) -> None:
    """Write labelled sentences that plain text gives by itself, for training on many labels.

    English text defines things ("Tunja is a city", "jet plane: an airplane powered by jet
    engines"), and elsewhere it mentions them. DIR/kinds has a label for each kind of thing (city,
    airplane), DIR/classes coarse ones (person, location, date, …). Nobody has checked them: they
    are for a tagger that is asked for labels by their names (the recipe zero-shot), beside real
    corpora.

    Example: hyperloader data from-text my_text my_corpora
    """
    from hyperloader.pretraining.kinds import CLASSES, KINDS, labelled_sentences

    for name in (KINDS, CLASSES):
        if (target / name).exists() and not force:
            raise DataError("exists already; name another folder or add --force", target / name)
        check_parent(target / name)
    corpora = labelled_sentences(text, most, Console(stderr=True, highlight=False))
    for name, corpus in corpora.items():
        write_corpus(corpus.splits, target / name, "jsonl", force=force)
        parts = ", ".join(f"{part} {len(found):,}" for part, found in corpus.splits.items())
        typer.echo(f"wrote {target / name}: {len(corpus.labels()):,} labels (sentences: {parts})")


@app.command()
def formats() -> None:
    """The formats that are read, each with a short example.

    Example: hyperloader data formats
    """
    for name, found in FORMATS.items():
        also = " [also written]" if found.write else ""
        files = f" ({' '.join(found.extensions)})" if found.extensions else ""
        body = "\n".join(f"    {line}" for line in found.example.split("\n"))
        typer.echo(f"{name}: {found.description}{files}{also}\n{body}\n")
