"""``hyperloader calibrate``: fit the temperatures that make scores probabilities."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hyperloader.builtin import is_bundled
from hyperloader.errors import ConfigError

if TYPE_CHECKING:
    from hyperloader.calibration import Calibration
    from hyperloader.corpora.corpus import Corpus
    from hyperloader.tagger import Tagger


def calibrate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A training run or a checkpoint.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Labelled data; default: what RUN was trained on."),
    ] = None,
    sentences: Annotated[
        int, typer.Option(min=1, help="Validation sentences per task, at most.")
    ] = 500,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
    device: Annotated[str | None, typer.Option(help="Such as cuda; default: the CPU.")] = None,
) -> None:
    """Fit one temperature per task on validation sentences and keep it in the checkpoint.

    From then on a score of 0.8 means that about 80 % of such spans are right; the tags stay what
    they are. A temperature is kept only where cross-validation shows that it helps: gold decisions
    in held-out sentences become likelier, and the expected calibration error (ECE, 15 bins) of the
    spans predicted in them does not grow. A run is fitted on its own share of the data. A task with
    fewer than 50 validation sentences takes a temperature fitted on all tasks together.

    Examples:

      hyperloader calibrate runs/my-run

      hyperloader calibrate my-tagger --data my_corpora
    """
    from hyperloader.corpora.corpus import account
    from hyperloader.evaluation.calibration import calibration_data
    from hyperloader.tagger import Tagger

    if is_bundled(run):
        raise ConfigError(
            "the builtin tagger is part of the package and stays as it is; write a copy with "
            "hyperloader export builtin FOLDER and calibrate that"
        )
    tagger = Tagger.from_pretrained(run, device, tagging_only=False)
    corpora = calibration_data(run, data, tagger.tasks)
    typer.echo(account(corpora.values()), err=True)
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    found = calibrate_tagger(tagger, run, corpora, console, sentences)
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), indent=1))
    else:
        console.print(_table(found))


def calibrate_tagger(
    tagger: "Tagger",
    path: Path,
    corpora: Mapping[str, "Corpus"],
    console: Console,
    sentences: int,
) -> "Calibration":
    """Fit on the validation parts of ``corpora``, write into the checkpoint at ``path``, and say
    what became of each task's temperature."""
    from hyperloader.evaluation import calibration

    with console.status("calibrating") as status:
        found = calibration.calibrate_tagger(
            tagger,
            path,
            corpora,
            sentences=sentences,
            tell=lambda task: status.update(f"calibrating: {escape(task)}"),
        )
    for name, task in found.tasks.items():
        console.print(calibration.outcome(name, task), markup=False)
    return found


def _table(found: "Calibration") -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("task")
    for column in ("sentences", "temperature", "spans", "ECE before", "after"):
        table.add_column(column, justify="right")
    for name, task in found.tasks.items():
        temperature = f"{task.temperature:.3f}{' (shared)' if task.shared else ''}"
        errors = (f"{task.ece_before:.4f}", f"{task.ece_after:.4f}")
        table.add_row(escape(name), f"{task.sentences:,}", temperature, f"{task.spans:,}", *errors)
    errors = (f"{found.overall.ece_before:.4f}", f"{found.overall.ece_after:.4f}")
    table.add_row("[bold]all spans", "", "", f"{found.overall.spans:,}", *errors)
    return table
