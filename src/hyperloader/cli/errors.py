"""``hyperloader experiment errors``: what a system of an experiment gets wrong."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def errors(
    results: Annotated[Path, typer.Argument(metavar="OUT", help="A folder of results.")],
    system: Annotated[
        str | None, typer.Option(help="Which system; default: the experiment's first.")
    ] = None,
    fraction: Annotated[
        float | None, typer.Option(help="Which share of the data; default: the largest.")
    ] = None,
    agreement: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Errors that at least this share of all systems' runs make, such as 0.9.",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The corpora, to show sentences from them.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Kinds of error for each corpus.")] = 10,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to; default: OUT/report.")
    ] = None,
) -> None:
    """Write a system's commonest errors on each corpus, with a picture of the kinds of error.

    Counts are of all finished seeds together. With --data each kind gets up to three sentences;
    mind the corpora's licences before you pass them on. With --agreement wrong gold is to be looked
    for: what different systems predict alike is often right.

    Examples:

      hyperloader experiment errors results/claim --system full --data my_corpora

      hyperloader experiment errors results/claim --agreement 0.9 --data my_corpora
    """
    from hyperloader.experiments.report.error_report import write_errors
    from hyperloader.experiments.run.results import Results

    for path in write_errors(
        Results(results),
        out or results / "report",
        system=system,
        fraction=fraction,
        agreement=agreement,
        data=data,
        top=top,
    ):
        Console(highlight=False).print(str(path), markup=False, soft_wrap=True)
