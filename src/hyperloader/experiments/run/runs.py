"""Making the runs of an experiment one after the other: train, score, keep what is needed."""

import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from hyperloader.backbones.loading import load_tokenizer
from hyperloader.backbones.registry import family_of_type
from hyperloader.builtin import backbone_path
from hyperloader.checkpoint import CHECKPOINTS, load_checkpoint
from hyperloader.config import Recipe
from hyperloader.corpora.corpus import Corpus
from hyperloader.errors import ConfigError, HyperloaderError, first_line
from hyperloader.evaluation.evaluate import f1_evaluator, predict
from hyperloader.evaluation.metrics import ScoredExample, score_examples
from hyperloader.experiments.plan.grid import Run
from hyperloader.experiments.plan.spec import RANDOM, differences
from hyperloader.experiments.run.environment import environment
from hyperloader.experiments.run.folder import ResultsFolder
from hyperloader.experiments.run.record import (
    PREDICTIONS,
    Record,
    Result,
    TaskScore,
    write_record,
    write_spans,
)
from hyperloader.experiments.run.times import Clock
from hyperloader.store import (
    MANIFEST,
    Kind,
    atomic_folder,
    claimed,
    remove_checkpoints,
    write_text,
)
from hyperloader.training.interrupt import Interrupted
from hyperloader.training.loop import Trainer
from hyperloader.training.progress import progress_console
from hyperloader.training.run import LOG, RUN, RunFolder
from hyperloader.training.start import resume_run, start_run
from hyperloader.trust import load_config

TRACE = "error.txt"
RANDOM_FOLDER = "random-backbone"
RANDOM_SEED = 42


def is_done(results: ResultsFolder, run: Run) -> bool:
    """Whether ``run`` is finished. One that failed is not: it is tried again."""
    record = results.record(run.name)
    return record is not None and record.status == "done"


def run_all(
    runs: Sequence[Run],
    corpora: Mapping[str, Corpus],
    results: ResultsFolder,
    base: Recipe,
    data: str,
    *,
    keep: bool = False,
    console: Console | None = None,
    before: Callable[[Run], None] = lambda run: None,
    after: Callable[[Record], None] = lambda record: None,
    others: Callable[[Run], None] = lambda run: None,
) -> list[Record]:
    """Make those of ``runs`` that are not finished; return the records of what was made.

    A run that fails is recorded with its error and does not stop the others. One that was cut
    short goes on from its newest checkpoint. One that another process is making is left to it, so
    that several processes may share the work.

    Args:
        base: the recipe that records are written as differences from.
        data: where the corpora came from, as the user said it.
        keep: keep the checkpoints of finished runs.
        before, after: told of each run and of its record.
        others: told of each run that another process is making.

    Raises:
        Interrupted: a signal asked for it; the run goes on when the same command is given again.
        CheckpointError: the records cannot be written.
    """
    made = []
    for run in runs:
        with claimed(results.run_folder(run.name)) as ours:
            if not ours:
                others(run)
            elif not is_done(results, run):
                before(run)
                made.append(_record(run, corpora, results, base, data, keep, console))
                after(made[-1])
    return made


def _record(
    run: Run,
    corpora: Mapping[str, Corpus],
    results: ResultsFolder,
    base: Recipe,
    data: str,
    keep: bool,
    console: Console | None,
) -> Record:
    """Make ``run`` and write down what came of it."""
    started = time.monotonic()
    result, error = None, None
    folder = results.run_folder(run.name)
    try:
        result = _make(run, corpora, results, base, data, console, started)
    except Interrupted as stop:
        raise Interrupted(
            f"stopped in {folder}; the same command resumes there", stop.number
        ) from stop
    except Exception as reason:
        # Whatever goes wrong inside one run is that run's result; the grid goes on.
        error = " ".join(f"{type(reason).__name__}: {reason}".split())
        if not isinstance(reason, HyperloaderError):
            write_text(folder / TRACE, traceback.format_exc())
    record = Record(
        status="failed" if result is None else "done",
        system=run.system,
        fraction=run.fraction,
        seed=run.seed,
        tasks=run.tasks,
        apart=run.apart,
        settings=differences(run.recipe, base),
        error=error,
        result=result,
        environment=environment(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_record(folder, record)
    if result is not None:
        (folder / TRACE).unlink(missing_ok=True)
        if not keep:
            remove_checkpoints(folder / CHECKPOINTS)
            with suppress(OSError):  # something else lies there
                (folder / CHECKPOINTS).rmdir()
    return record


def _make(
    run: Run,
    corpora: Mapping[str, Corpus],
    results: ResultsFolder,
    base: Recipe,
    data: str,
    console: Console | None,
    started: float,
) -> Result:
    folder = results.run_folder(run.name)
    recipe = run.recipe
    if recipe.backbone == RANDOM:
        made = random_backbone(base.backbone, results.path / RANDOM_FOLDER)
        recipe = recipe.model_copy(update={"backbone": str(made)})
    mine = {task: corpora[task] for task in run.tasks}
    clock = Clock(folder, recipe.training.batch_size, started)
    trainer = _trainer(recipe, mine, folder, data, clock, console)
    clock.first = trainer.state.step
    try:
        state = trainer.train()
    finally:
        clock.save(trainer.state.step)
    before = time.monotonic()
    model, codec = _best(folder, trainer)
    predicted = {
        name: predict(model, codec, corpus.splits["test"]) for name, corpus in mine.items()
    }
    scores = {name: TaskScore.of(score_examples(name, rows)) for name, rows in predicted.items()}
    _write_predictions(folder, predicted)
    scoring = time.monotonic() - before
    clock.save(state.step)
    counts = trainer.model.parameter_counts()
    return Result(
        scores=scores,
        best_step=state.step if state.best_step is None else state.best_step,
        steps=state.step,
        sentences_seen=state.step * recipe.training.batch_size,
        trainable=counts["trainable"],
        total=counts["total"],
        training_seconds=round(clock.training, 1),
        scoring_seconds=round(scoring, 1),
        wall_seconds=round(clock.wall, 1),
        validation=_validation_curve(folder),
    )


def _trainer(
    recipe: Recipe,
    corpora: Mapping[str, Corpus],
    folder: Path,
    data: str,
    clock: Clock,
    console: Console | None,
) -> Trainer:
    shared: dict[str, Any] = {
        "make_evaluate": lambda codec, chosen, n: f1_evaluator(codec, chosen, sentences=n),
        "listeners": [clock],
        "console": console and progress_console(quiet=console.quiet),
        "held": True,
    }
    if not (folder / RUN).is_file():
        about = {"data": data, "tasks": list(corpora)}
        return start_run(recipe, corpora, folder, about=about, **shared)
    begun = RunFolder.open(folder).recipe()
    if begun != recipe:
        change = differences(begun, recipe) or differences(recipe, begun)
        raise ConfigError(
            f"{folder} was begun with other settings ({', '.join(change)}); delete it to make "
            "the run again"
        )
    trainer = resume_run(folder, corpora, **shared)
    if console is not None:
        console.print(f"resuming after step {trainer.state.step}")
    return trainer


def _best(folder: Path, trainer: Trainer) -> tuple[Any, Any]:
    checkpoint = load_checkpoint(folder)
    return checkpoint.model.eval().to(trainer.accelerator.device), checkpoint.codec


def _write_predictions(folder: Path, predicted: Mapping[str, Sequence[ScoredExample]]) -> None:
    write_spans(
        folder / PREDICTIONS,
        {name: [row.predicted for row in rows] for name, rows in predicted.items()},
    )


def _validation_curve(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / LOG).read_text(encoding="utf-8").splitlines()
    entries = [entry for entry in map(json.loads, lines) if entry["kind"] == "validation"]
    return [{key: entry[key] for key in ("step", "loss", "f1")} for entry in entries]


def random_backbone(name: str, folder: Path) -> Path:
    """A copy of the backbone ``name`` with random weights, made in ``folder`` once.

    Shape, vocabulary and tokenizer are the same; weights are as transformers draws them. Returns
    ``folder``.

    Raises:
        ConfigError: ``name`` is no backbone of a known family.
    """
    if (folder / MANIFEST).is_file():
        return folder
    try:
        config = load_config(backbone_path(name))
        torch.manual_seed(RANDOM_SEED)
        model = family_of_type(config.model_type).build(config)
    except (OSError, ValueError, KeyError) as error:
        reason = first_line(error)
        raise ConfigError(
            f"no random backbone can be made like {name!r} ({reason}); give --backbone builtin, a "
            "folder made by save_pretrained or a Hub name"
        ) from error
    with atomic_folder(folder, Kind.BACKBONE) as temporary:
        model.save_pretrained(temporary)
        load_tokenizer(name).save_pretrained(temporary)
    return folder
