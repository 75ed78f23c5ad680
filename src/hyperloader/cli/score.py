"""``hyperloader score``: score the predictions of any tool from a file."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def score(
    gold: Annotated[Path, typer.Argument(metavar="GOLD", help="The sentences as they should be.")],
    predicted: Annotated[
        Path, typer.Argument(metavar="PREDICTED", help="The same sentences, tagged by some tool.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print all scores as JSON.")] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the scores as JSON here.")
    ] = None,
) -> None:
    """Precision, recall and F1 of predictions in a file, by every measure people use.

    Both files may be in any format that is read (hyperloader data formats), also in different ones;
    the sentences have to be the same, word for word. The rows are seqeval's default and strict
    mode, and the four measures of MUC and SemEval: boundaries and label, boundaries alone, the
    label of any overlapping span, and partial overlap, which counts half. Labels follow, with the
    number of their spans.

    Example: hyperloader score test.conll predictions.conll
    """
    from hyperloader.cli.tables import print_scores
    from hyperloader.evaluation.files import check_output, write_json
    from hyperloader.evaluation.score_files import score_files

    if output is not None:
        check_output(output)
    found = score_files(gold, predicted)
    for reading in found.readings:
        typer.echo(str(reading), err=True)
    document = found.to_dict()
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        console = Console(highlight=False)
        spans = document["default"]["support"]
        console.print(f"{document['sentences']:,} sentences, {spans:,} gold spans")
        print_scores(console, document)
        for note in document["notes"]:
            console.print(note, markup=False, soft_wrap=True)
    if output is not None:
        write_json(output, document)
