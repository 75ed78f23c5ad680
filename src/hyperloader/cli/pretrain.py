"""``hyperloader pretrain`` and ``pretrain-check``: your own T5 from plain text."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from hyperloader.errors import ConfigError


def pretrain(
    text: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder of .txt and .txt.xz files.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="builtin, tiny or a YAML file.")] = "builtin",
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Where to save; default: runs/NAME-TIME.")
    ] = None,
    prepared: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep the tokenized text here, or use what is here; default: in RUN.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Short for --set training.steps=…")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set a recipe's key; may be repeated."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Resume this run, exactly.")
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Resume even if all checkpoints are damaged.")
    ] = False,
) -> None:
    """Train a small T5 on plain text, to be used as a backbone.

    Text is hidden and restored (T5's span corruption, and the same in the tagger's layout).
    Progress is shown on stderr and kept in RUN/log.jsonl, with held-out loss and alignment. A run
    that was stopped or killed is resumed with --resume RUN. The result is RUN/backbone.

    Examples:

      hyperloader pretrain --text my_text --recipe tiny --out runs/mine

      hyperloader pretrain --resume runs/mine

      hyperloader train --data my_corpora --backbone runs/mine/backbone
    """
    from hyperloader.pretraining.recipe import load_pretrain_recipe
    from hyperloader.pretraining.start import finish, resume_pretraining, start_pretraining
    from hyperloader.training.processes import is_first_process
    from hyperloader.training.progress import progress_console

    console, progress = _console(), progress_console(quiet=not is_first_process())
    if from_scratch and resume is None:
        raise ConfigError("--from-scratch goes with --resume RUN; a new run starts there anyway")
    if resume is not None:
        if text is not None or out is not None or prepared is not None or settings or steps:
            raise ConfigError("--resume continues a run as it was; omit the other options")
        pretrainer = resume_pretraining(resume, console=progress, from_scratch=from_scratch)
        console.print(f"resuming {resume} after step {pretrainer.state.step:,}")
    else:
        if text is None and prepared is None:
            raise ConfigError("give --text DIR (a folder of .txt files) or --resume RUN")
        short = [f"training.steps={steps}"] if steps else []
        chosen = load_pretrain_recipe(recipe, [*(settings or []), *short])
        out = out or Path("runs") / f"pretrain-{Path(recipe).stem}-{datetime.now():%Y%m%d-%H%M%S}"
        pretrainer = start_pretraining(chosen, text, out, prepared=prepared, console=progress)
    console.print(pretrainer.summary())
    pretrainer.train()
    backbone = finish(pretrainer)
    size = (backbone / "model.safetensors").stat().st_size / 2**20
    console.print(f"done: {backbone} ({size:.1f} MiB)")
    console.print(f"next: hyperloader train --data DIR --backbone {backbone}")


def check_leaks(
    text: Annotated[Path, typer.Option(metavar="DIR", help="A folder of .txt and .txt.xz files.")],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="A folder with one folder a task, or one corpus.")
    ],
    seed: Annotated[int, typer.Option(help="Draws a validation part where there is none.")] = 42,
) -> None:
    """Prove that no validation or test sentence of the corpora is in a pre-training text.

    Every line is compared with every sentence, case-folded with single spaces, then by letters
    and digits alone. Exit code 1 if any is found.

    Example: hyperloader pretrain-check --text my_text --data my_corpora
    """
    from hyperloader.corpora.corpus import account
    from hyperloader.corpora.registry import load_corpora
    from hyperloader.pretraining.leaks import find_leaks

    console = Console(highlight=False, soft_wrap=True)
    corpora = load_corpora(data, seed=seed, require=())
    typer.echo(account(corpora.values()), err=True)
    report = find_leaks(text, corpora)
    for leak in report.first:
        console.print(
            f"{escape(str(leak.path))}:{leak.line}: {leak.task} {leak.part}: {escape(leak.text)}"
        )
    console.print(
        f"{report.total:,} of {report.lines:,} lines in {report.files} files equal one of "
        f"{report.sentences:,} validation and test sentences "
        f"({report.equal.total():,} but for case and spaces, {report.similar.total():,} more by "
        "letters and digits)"
    )
    for name in sorted({*report.equal, *report.similar}):
        console.print(f"  {name}: {report.equal[name] + report.similar[name]:,}")
    if report.total:
        raise typer.Exit(1)


def _console() -> Console:
    import os

    return Console(quiet=os.environ.get("RANK", "0") != "0", highlight=False, soft_wrap=True)
