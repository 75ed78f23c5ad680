"""``hyperloader evaluate``: score a run on labelled sentences."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hyperloader.cli.tables import score_table
from hyperloader.errors import ConfigError, DataError


class Split(StrEnum):
    """The part of a corpus."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Scoring(StrEnum):
    """How predictions are made and compared."""

    SEQEVAL = "seqeval"
    REFERENCE = "reference"


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A training run or a checkpoint.")],
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Labelled data; default: what RUN used.")
    ] = None,
    split: Annotated[Split, typer.Option(help="Which part is scored.")] = Split.TEST,
    task: Annotated[
        list[str] | None, typer.Option(help="Only this task; may be given several times.")
    ] = None,
    scoring: Annotated[
        Scoring,
        typer.Option(help="seqeval, or the published code's own decoding and scoring."),
    ] = Scoring.SEQEVAL,
    as_json: Annotated[bool, typer.Option("--json", help="All scores as JSON.")] = False,
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
    """Precision, recall and F1 (seqeval, micro) of every task, and their average.

    The default mode is the CoNLL convention of the paper's tables; strict (IOB2) is shown too. ECE
    says how far the scores of predicted spans are from the share of them that is right.

    Example: hyperloader evaluate runs/my-run --split test --html report.html --plot errors.png
    """
    from hyperloader.corpora.registry import load_corpora
    from hyperloader.corpora.stats import LEAKY, corpus_stats
    from hyperloader.tagger import Tagger

    if scoring is Scoring.REFERENCE and (html or plot or reliability):
        raise ConfigError(
            "--scoring reference gives F1 only; leave --html and --plot away, and --reliability"
        )
    console = Console(stderr=as_json, highlight=False)
    tagger = Tagger.from_pretrained(run, device, tagging_only=scoring is not Scoring.REFERENCE)
    folder = data or data_of(run)
    # Nothing is required here: a validation part may be one that is drawn from the training part.
    corpora = load_corpora(folder, task or known_tasks(folder, tagger.tasks), require=())
    for name in corpora:
        tagger.labels(name)
    chosen = {name: corpus.splits[split.value] for name, corpus in corpora.items()}
    if empty := [name for name, examples in chosen.items() if not examples]:
        raise DataError(f"no {split.value} sentences for {', '.join(empty)} in {folder}")
    with _bar(console, as_json) as bar:
        if scoring is Scoring.REFERENCE:
            document = _reference(tagger, chosen, bar, batch_size)
        else:
            pictures = (html, plot, reliability)
            document = _seqeval(tagger, chosen, bar, batch_size, pictures, f"{run}, {split}")
    document = {"run": str(run), "split": split.value, "scoring": scoring.value, **document}
    if split is Split.TEST:
        for name, corpus in corpora.items():
            document["tasks"][name]["test_in_train"] = corpus_stats(corpus).test_in_train
    if output is not None:
        from hyperloader.store import write_text

        write_text(output, json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
        return
    console.print(score_table(document))
    if "calibration" in document:
        everything = document["calibration"]
        console.print(
            f"ECE of all {everything['spans']:,} predicted spans: {everything['ece']:.4f}"
        )
    if scoring is Scoring.REFERENCE and _loss_of(run) == "decisions":
        console.print(
            "trained with loss decisions: the model never learned to write the forced tokens that "
            "free generation needs, so this score is low by construction"
        )
    for name, score in document["tasks"].items():
        if (seen := score.get("test_in_train") or 0.0) >= LEAKY:
            console.print(f"{name}: {seen:.2%} of its test sentences are training sentences too")
    written = {"scores": output, "report": html, "plot": plot, "reliability": reliability}
    for name, path in written.items():
        if path is not None:
            console.print(f"{name}: {path}")


def _seqeval(
    tagger: Any, chosen: dict, bar: Progress, batch_size: int,
    pictures: tuple[Path | None, Path | None, Path | None], subtitle: str,
) -> dict[str, Any]:  # fmt: skip
    from hyperloader.evaluation.evaluate import predict
    from hyperloader.evaluation.metrics import average, score_examples
    from hyperloader.evaluation.reliability import plot_reliability, reliability
    from hyperloader.evaluation.report import TaskReport, write_html_report

    html, plot, diagram = pictures
    scores, reports = {}, []
    for name, examples in chosen.items():
        line = bar.add_task(name, total=len(examples))
        scored = predict(
            tagger.model,
            tagger.codec,
            examples,
            batch_size=batch_size,
            temperatures=tagger.temperatures,
            advance=lambda n, line=line: bar.advance(line, n),  # type: ignore[misc]
        )
        scores[name] = score_examples(name, scored)
        reports.append(TaskReport(scores[name], tuple(scored)))
    if html is not None:
        write_html_report(html, reports, title="hyperloader evaluation", subtitle=subtitle)
    if plot is not None:
        from hyperloader.evaluation.plots import plot_confusion

        plot_confusion(plot, scores)
    trust = {report.scores.task: reliability(report.examples) for report in reports}
    if diagram is not None:
        plot_reliability(diagram, trust)
    tasks = {
        name: {
            **score.to_json(),
            "calibration": {
                "temperature": tagger.temperatures.get(name, 1.0),
                **trust[name].to_json(),
            },
        }
        for name, score in scores.items()
    }
    everything = reliability(e for report in reports for e in report.examples)
    return {"tasks": tasks, "average": average(scores), "calibration": everything.to_json()}


def _reference(tagger: Any, chosen: dict, bar: Progress, batch_size: int) -> dict[str, Any]:
    from hyperloader.reproduction.reference_decoding import reference_task_f1

    f1 = {}
    for name, examples in chosen.items():
        line = bar.add_task(name, total=len(examples))
        f1[name] = reference_task_f1(
            tagger.model,
            tagger.codec,
            examples,
            batch_size=batch_size,
            advance=lambda n, line=line: bar.advance(line, n),  # type: ignore[misc]
        )
    return {
        "tasks": {
            name: {"sentences": len(chosen[name]), "reference": {"f1": value}}
            for name, value in f1.items()
        },
        "average": {"tasks": len(f1), "reference": {"f1": sum(f1.values()) / len(f1)}},
    }


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


def _loss_of(run: Path) -> str | None:
    """The loss that a run was trained with; None for a checkpoint that does not say."""
    from hyperloader.training.run import RUN, RunFolder

    return RunFolder(run).recipe().training.loss if (run / RUN).is_file() else None


def data_of(run: Path) -> Path:
    """The data that a run was trained on. Raises ConfigError where ``run`` does not say."""
    from hyperloader.training.run import RUN, RunFolder

    if not (run / RUN).is_file():
        raise ConfigError(f"{run} does not say what data it was trained on; give --data DIR")
    return Path(RunFolder(run).about()["data"])


def known_tasks(folder: Path, tasks: Sequence[str]) -> list[str] | None:
    """The model's tasks that ``folder`` has; None (all) when it is a single corpus."""
    present = [name for name in tasks if (folder / name).is_dir()]
    return present or None
