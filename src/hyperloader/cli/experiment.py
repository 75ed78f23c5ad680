"""``hyperloader experiment``: compare systems over shares of the data and seeds, and report it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hyperloader.errors import ConfigError

if TYPE_CHECKING:
    from hyperloader.experiments.plan.grid import Run
    from hyperloader.experiments.run.folder import ResultsFolder
    from hyperloader.experiments.run.record import Record

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Compare systems over shares of the data and seeds. Experiments that come with the "
        "package: claim, table3, table4, figure2, ablations, rates.\n\n"
        "Example: hyperloader experiment run claim --data my_corpora --out results/claim"
    ),
)


@app.command()
def run(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="An experiment's name or YAML file.")
    ],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="A folder with one folder per task, or one corpus.")
    ],
    out: Annotated[Path, typer.Option(metavar="OUT", help="The folder of the results.")],
    backbone: Annotated[
        str | None, typer.Option(help="For all systems that name none; default: the recipe's.")
    ] = None,
    budget: Annotated[str, typer.Option(help="The budget, by its name in the file.")] = "full",
    only: Annotated[
        list[str] | None, typer.Option(metavar="SYSTEM", help="Only this system; may be repeated.")
    ] = None,
    fraction: Annotated[
        list[float] | None,
        typer.Option(metavar="SHARE", help="Only this share of the data; may be repeated."),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(metavar="SEED", help="Only this seed; may be repeated.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the checkpoints of finished runs.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what is done and what is left, run nothing.")
    ] = False,
) -> None:
    """Train and score every system on every share of the data with every seed.

    Finished runs are skipped and interrupted ones resumed: after a stop, give the same command
    again. A run that fails is recorded, the others go on, and the exit code is 1. The same command
    may be started several times, say on a core or a GPU each: every run is made by one of them.

    Examples:

      hyperloader experiment run claim --data my_corpora --out results/claim --dry-run

      hyperloader experiment run table3 --data my_corpora --out results/paper --budget smoke
    """
    from transformers.utils.logging import disable_progress_bar

    from hyperloader.corpora.corpus import account
    from hyperloader.experiments.plan.data import experiment_corpora
    from hyperloader.experiments.plan.grid import plan
    from hyperloader.experiments.plan.spec import load_experiment
    from hyperloader.experiments.run import folder as folders
    from hyperloader.experiments.run.runs import run_all

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("an experiment runs in one process; start it without a launcher")
    console = Console(highlight=False)
    experiment = load_experiment(name)
    chosen = experiment.with_budget(budget)
    corpora = experiment_corpora(data, chosen, experiment.budget(budget).sentences)
    typer.echo(account(corpora.values()), err=True)
    base = chosen.base(backbone)
    runs = plan(
        chosen,
        corpora,
        backbone=backbone,
        only=only or (),
        fractions=fraction or (),
        seeds=seed or (),
    )
    results = folders.ResultsFolder(out)
    wanted = folders.describe(chosen, Path(name).stem, budget, base, str(data), corpora)
    results.check(wanted)
    for each in plan(chosen, corpora, backbone=backbone):
        results.check_run(each, base)
    console.print(_plan_table(runs, results))
    if dry_run:
        return
    results.open(wanted, corpora)
    disable_progress_bar()  # transformers', for every weight that it loads
    place = {each.name: i for i, each in enumerate(runs, 1)}
    made = run_all(
        runs,
        corpora,
        results,
        base,
        str(data),
        keep=keep,
        console=console,
        before=lambda each: console.print(
            f"[bold]{each.name}[/bold] ({place[each.name]} of {len(runs)})"
        ),
        after=lambda record: _tell(console, record, runs, results),
        others=lambda each: console.print(f"{each.name}: another process is making it"),
    )
    if failed := [record for record in made if record.status == "failed"]:
        console.print(
            f"[red]{len(failed)} of {len(made)} runs failed[/red]; the same command tries them "
            "again"
        )
        raise typer.Exit(1)
    console.print(f"next: hyperloader experiment report {out}", soft_wrap=True)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(metavar="OUT", help="A folder of results.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to; default: OUT/report.")
    ] = None,
    readme: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also put tables between this file's <!-- results: OUT --> marks, and its "
            "<!-- differences: OUT --> marks.",
        ),
    ] = None,
) -> None:
    """Write report.md, report.tex, report.csv and figures from the finished runs.

    Means and standard deviations over seeds, tests of significance, trained parameters, seconds,
    validation F1 at equal time and the paper's own numbers. Runs without a result are shown as
    missing. OUT may hold running, finished or packed runs.

    Examples:

      hyperloader experiment report results/claim

      hyperloader experiment report results/claim --readme README.md
    """
    from hyperloader.experiments.report.readme import update_readme
    from hyperloader.experiments.report.report import write_report
    from hyperloader.experiments.run.folder import ResultsFolder

    if readme is not None:
        update_readme(readme, ResultsFolder(results))
        Console(highlight=False).print(str(readme), markup=False, soft_wrap=True)
    for path in write_report(ResultsFolder(results), out or results / "report"):
        Console(highlight=False).print(str(path), markup=False, soft_wrap=True)


@app.command()
def best(
    results: Annotated[Path, typer.Argument(metavar="OUT", help="A folder of results.")],
) -> None:
    """Print the best trial of each method, as lines for the systems of an experiment file.

    Trials are systems called METHOD@TRIAL, as those of the experiment rates, which are scored on
    validation sentences.

    Example: hyperloader experiment best results/rates
    """
    from hyperloader.experiments.analyse.best import best_lines
    from hyperloader.experiments.run.folder import ResultsFolder

    for line in best_lines(ResultsFolder(results)):
        typer.echo(line)


@app.command()
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
    mind the corpora's licences before you pass them on. --agreement helps to find wrong gold: what
    different systems predict alike is often right. Predictions are needed, which packed runs lack.

    Examples:

      hyperloader experiment errors results/claim --system full --data my_corpora

      hyperloader experiment errors results/claim --agreement 0.9 --data my_corpora
    """
    from hyperloader.experiments.report.error_report import write_errors
    from hyperloader.experiments.run.folder import ResultsFolder

    for path in write_errors(
        ResultsFolder(results),
        out or results / "report",
        system=system,
        fraction=fraction,
        agreement=agreement,
        data=data,
        top=top,
    ):
        Console(highlight=False).print(str(path), markup=False, soft_wrap=True)


@app.command()
def pack(
    results: Annotated[Path, typer.Argument(metavar="OUT", help="A folder of results.")],
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to; default: OUT itself.")
    ] = None,
    predictions: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Where logs and predictions can be found later, in words."
        ),
    ] = None,
) -> None:
    """Write the runs that have ended into two small files, to keep under version control.

    runs.jsonl has a line for each run: scores, validation curve, seconds, settings, machine and
    commit. counts.npz has the numbers of true positives, predicted and gold spans in every scored
    sentence, from which significance is tested. Reports read these as they read OUT/runs; logs,
    checkpoints and predictions are left out. Nothing is deleted, and packed runs count as finished
    when the experiment goes on.

    Example: hyperloader experiment pack runs/claim --to results/claim
    """
    from hyperloader.experiments.run.folder import ResultsFolder

    for path in ResultsFolder(results).pack(to or results, predictions):
        Console(highlight=False).print(str(path), markup=False, soft_wrap=True)


def _plan_table(runs: "list[Run]", results: "ResultsFolder") -> Table:
    """A row for each system and share of the data: runs done, failed and left, and the time."""
    from hyperloader.experiments.run.times import remaining_seconds

    left = remaining_seconds(runs, results)
    groups: dict[tuple[str, float], list[Run]] = {}
    for each in runs:
        groups.setdefault((each.system, each.fraction), []).append(each)
    table = Table(box=None, header_style="bold")
    table.add_column("system")
    for column in ("data", "models", "runs", "done", "failed", "left", "time left"):
        table.add_column(column, justify="right")
    for (system, fraction), members in groups.items():
        models = "one per corpus" if members[0].apart else "one"
        table.add_row(system, f"{fraction:.0%}", models, *_counts(members, results, left))
    table.add_row("[bold]all", "", "", *_counts(runs, results, left))
    return table


def _counts(
    runs: "list[Run]", results: "ResultsFolder", left: dict[str, float | None]
) -> tuple[str, ...]:
    records = [results.record(each.name) for each in runs]
    done = sum(record is not None and record.status == "done" for record in records)
    failed = sum(record is not None and record.status == "failed" for record in records)
    times = [left[each.name] for each in runs if each.name in left]
    return (*map(str, (len(runs), done, failed, len(runs) - done)), _time(times))


def _time(seconds: list[float | None]) -> str:
    if not seconds:
        return "-"
    if any(each is None for each in seconds):
        return "not known yet"
    minutes = round(sum(each or 0.0 for each in seconds) / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes else "below a minute"


def _tell(console: Console, record: "Record", runs: "list[Run]", results: "ResultsFolder") -> None:
    """One line on a run that has come to its end, and how long the rest will take."""
    from hyperloader.experiments.run.times import remaining_seconds

    left = _time(list(remaining_seconds(runs, results).values()))
    if record.result is None:
        console.print("[red]failed:[/red] ", end="")
        console.print(record.error or "", markup=False, soft_wrap=True)
    else:
        scores: Any = record.result.scores.values()
        f1 = sum(score.default.f1 for score in scores) / len(scores)
        part = results.metadata().score
        console.print(
            f"{part} F1 {f1:.4f} in {record.result.wall_seconds:,.0f} s; left: {left}",
            soft_wrap=True,
        )
