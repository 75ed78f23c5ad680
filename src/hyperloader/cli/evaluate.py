"""``hyperloader evaluate``: score a run on labelled sentences."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hyperloader.cli.tables import print_tasks, raw_text_table, score_table
from hyperloader.errors import ConfigError, HyperloaderError


class Split(StrEnum):
    """A part of a corpus."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Scoring(StrEnum):
    """How predictions are made and compared."""

    SEQEVAL = "seqeval"
    REFERENCE = "reference"
    RAW_TEXT = "raw-text"


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A training run or a checkpoint.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Labelled data; default: what RUN was trained on."),
    ] = None,
    split: Annotated[Split, typer.Option(help="Which part is scored.")] = Split.TEST,
    task: Annotated[
        list[str] | None, typer.Option(help="Only this task; may be given several times.")
    ] = None,
    scoring: Annotated[
        Scoring,
        typer.Option(
            help="seqeval, the published code's own decoding and scoring, or raw text beside the "
            "words of the files."
        ),
    ] = Scoring.SEQEVAL,
    words: Annotated[
        str | None,
        typer.Option(
            metavar="RULE", help="With raw-text: how it is split into words; default: as RUN says."
        ),
    ] = None,
    sentences: Annotated[
        int | None,
        typer.Option(min=1, help="Of each task at most so many, taken evenly over the part."),
    ] = None,
    seen: Annotated[
        bool,
        typer.Option(
            "--seen/--without-seen",
            help="Score, or leave out, what is among the training sentences of these tasks.",
        ),
    ] = True,
    brief: Annotated[
        bool, typer.Option("--brief", help="Print one row per task, not every label and measure.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all scores as JSON.")] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the scores as JSON here.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report with highlighted errors.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the most confused labels as PNG.")
    ] = None,
    reliability: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the share of right spans over their score."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences decoded at once.")] = 64,
    device: Annotated[str | None, typer.Option(help="Such as cuda; default: the CPU.")] = None,
) -> None:
    """Precision, recall and F1 of every task, their average, and what became of every label.

    F1 is micro-averaged over spans, by the CoNLL convention of published tables (seqeval's default
    mode). The rows of a task also say how many spans have the right boundaries, the right label
    where they overlap, or overlap at all. ECE says how far the scores of predicted spans are from
    the share of them that is right. A single corpus or file is scored as the task that --task
    names, or that it is named after; a model with one task needs no name. Corpora repeat
    themselves, and one another: --without-seen gives scores of the sentences that are new.

    With --scoring raw-text the words of each sentence are joined as people write them, and the
    text is split and tagged as hyperloader tag does; F1 of spans of characters stands beside F1 by
    the words of the files.

    Examples:

      hyperloader evaluate runs/my-run --split test --html report.html --plot errors.png

      hyperloader evaluate runs/my-run --scoring raw-text
    """
    from hyperloader.corpora.corpus import account
    from hyperloader.evaluation.evaluate import (
        evaluate_tagger,
        load_for,
        run_data,
        run_loss,
        select_examples,
        some_of,
        trained_on,
        without_seen,
    )
    from hyperloader.evaluation.files import OutputFiles
    from hyperloader.evaluation.raw_text import raw_text_evaluation
    from hyperloader.tagger import Tagger

    reference, raw = scoring is Scoring.REFERENCE, scoring is Scoring.RAW_TEXT
    files = OutputFiles(scores=output, report=html, plot=plot, reliability=reliability)
    if (reference or raw) and (html or plot or reliability):
        raise ConfigError(
            f"--scoring {scoring} gives F1 only; omit --html, --plot and --reliability"
        )
    if words is not None and not raw:
        raise ConfigError("--words goes with --scoring raw-text; files say their words themselves")
    files.check()
    console = Console(stderr=as_json, highlight=False)
    tagger = Tagger.from_pretrained(run, device, words=words, tagging_only=not reference)
    whole = not trained_on(run, data)
    corpora = load_for(data or run_data(run), tagger.tasks, task, split.value, whole=whole)
    typer.echo(account(corpora.values()), err=True)
    if not seen:
        new = without_seen(corpora, split)
        for name, corpus in corpora.items():
            there, left = (len(c.splits.get(split, ())) for c in (corpus, new[name]))
            gone = f"{there - left:,} of {there:,} sentences"
            typer.echo(f"{name}: {gone} left out as seen", err=True)
        corpora = new
    if sentences is not None:
        corpora = {name: some_of(corpus, split, sentences) for name, corpus in corpora.items()}
    document: dict[str, Any] = {"run": str(run), "split": split.value, "scoring": scoring.value}
    if not seen:
        document["without_seen"] = True
    with _bar(console, as_json) as bar:
        lines = {
            name: bar.add_task(name, total=len(examples))
            for name, examples in select_examples(corpora, split.value).items()
        }

        def advance(name: str, sentences: int) -> None:
            bar.advance(lines[name], sentences)

        evaluation = None
        if reference:
            from hyperloader.reproduction.reference_scoring import reference_evaluation

            document |= reference_evaluation(tagger, corpora, split.value, batch_size, advance)
        elif raw:
            document |= raw_text_evaluation(tagger, corpora, split.value, batch_size, advance)
        else:
            evaluation = evaluate_tagger(
                tagger, corpora, split.value, batch_size=batch_size, advance=advance
            )
            document |= evaluation.to_dict()
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        console.print(raw_text_table(document) if raw else score_table(document))
        print_tasks(console, document, brief=brief)
        if reference and run_loss(run) == "decisions":
            console.print(
                "trained with the loss decisions: the model never learned to write the forced "
                "tokens that free generation needs, so this score is low by construction"
            )
    written, failed = files.write(document, evaluation, f"{run}, {split}")
    for name, path in written.items():
        console.print(f"{name}: {path}", markup=False, soft_wrap=True)
    if failed:
        raise HyperloaderError("; ".join(failed))


def _bar(console: Console, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("sentences"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet and not console.is_terminal,
    )
