"""Starting and resuming a run: recipe, corpora and folder in, a ready trainer out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from hyperloader.checkpoint import Checkpoint, load_checkpoint
from hyperloader.codec.codec import Codec
from hyperloader.config import Recipe
from hyperloader.corpora.corpus import Corpus
from hyperloader.errors import ConfigError
from hyperloader.training.loop import Evaluate, Trainer
from hyperloader.training.progress import Listener
from hyperloader.training.run import RunFolder
from hyperloader.training.setup import build, check_labels, encode, select_data

MakeEvaluate = Callable[[Codec, Mapping[str, Corpus], int | None], Evaluate]


def start_run(
    recipe: Recipe,
    corpora: Mapping[str, Corpus],
    out: Path,
    *,
    about: Mapping[str, Any],
    make_evaluate: MakeEvaluate | None = None,
    listeners: Sequence[Listener] = (),
    console: Console | None = None,
    held: bool = False,
) -> Trainer:
    """A trainer of a new run in ``out``; ``about`` says where the data came from.

    Until its training ends no other process can train in ``out``.

    Args:
        console: where progress is shown; None: nowhere.
        held: the caller has claimed ``out`` (:func:`~hyperloader.store.claimed`) and may keep
            files of its own in it.

    Raises:
        ConfigError: the recipe does not fit, ``out`` is not a new or empty folder, or another
            process trains in it.
        DataError: a corpus without training sentences or without labels.
    """
    run = RunFolder.new(out, held=held)
    with run.preparing(held=held):
        selected = select_data(recipe, corpora)
        check_labels(recipe, selected)
        checkpoint = build(recipe, selected)
        trainer = _trainer(recipe, selected, checkpoint, run, make_evaluate, listeners, console)
        if trainer.accelerator.is_main_process:
            run.start(recipe, about)
    return trainer


def resume_run(
    path: Path,
    corpora: Mapping[str, Corpus],
    *,
    make_evaluate: MakeEvaluate | None = None,
    listeners: Sequence[Listener] = (),
    console: Console | None = None,
    held: bool = False,
    from_scratch: bool = False,
    steps: int | None = None,
    minutes: float | None = None,
) -> Trainer:
    """A trainer that resumes the run in ``path`` from its newest undamaged checkpoint.

    Args:
        console, held: see :func:`start_run`.
        from_scratch: begin again where all checkpoints are damaged.
        steps, minutes: train longer than the run was meant to; ``run.yaml`` is changed.

    Raises:
        CheckpointError: no run there, or one that is damaged.
        ConfigError: another process trains in ``path``, or has come further than ``steps`` or
            ``minutes`` already; or ``steps`` alone for a run that is trained for minutes, or
            ``minutes`` for one of steps.
        TrainingError: the data are not what the run was trained on.
    """
    run = RunFolder.open(path)
    with run.preparing(held=held):
        recipe = _longer(run.recipe(), steps, minutes)
        selected = select_data(recipe, corpora)
        newest = run.checkpoint_to_resume(from_scratch=from_scratch)
        checkpoint = build(recipe, selected) if newest is None else load_checkpoint(newest)
        trainer = _trainer(recipe, selected, checkpoint, run, make_evaluate, listeners, console)
        if newest is not None:
            trainer.restore(newest)
        if steps is not None or minutes is not None:
            _check_longer(trainer, steps, minutes)
            if trainer.accelerator.is_main_process:
                run.change(recipe)
        trainer.accelerator.wait_for_everyone()
    return trainer


def _longer(recipe: Recipe, steps: int | None, minutes: float | None) -> Recipe:
    by_time = recipe.training.minutes is not None
    if steps is not None and minutes is None and by_time:
        raise ConfigError(
            "this run is trained for a number of minutes, and steps do not make it longer; give "
            "--minutes"
        )
    if minutes is not None and not by_time:
        raise ConfigError(
            "this run is trained for a number of steps, and minutes do not make it longer; give "
            "--steps"
        )
    changes = {"steps": steps, "minutes": minutes}
    given = {key: value for key, value in changes.items() if value is not None}
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=given)})


def _check_longer(trainer: Trainer, steps: int | None, minutes: float | None) -> None:
    state = trainer.state
    if steps is not None and steps < state.step:
        raise ConfigError(
            f"{trainer.run.path} has made {state.step} steps already; give --steps more than that"
        )
    if minutes is not None and 60 * minutes < (state.seconds or 0.0):
        raise ConfigError(
            f"{trainer.run.path} has been trained for {(state.seconds or 0.0) / 60:.1f} minutes "
            "already; give --minutes more than that"
        )


def _trainer(
    recipe: Recipe,
    selected: Mapping[str, Corpus],
    checkpoint: Checkpoint,
    run: RunFolder,
    make_evaluate: MakeEvaluate | None,
    listeners: Sequence[Listener],
    console: Console | None,
) -> Trainer:
    data = encode(checkpoint.codec, selected)
    evaluate = make_evaluate and make_evaluate(
        checkpoint.codec, selected, recipe.validation.sentences
    )
    return Trainer(
        checkpoint.model,
        checkpoint.codec,
        recipe,
        data.train,
        data.validation,
        run,
        evaluate=evaluate,
        listeners=listeners,
        console=console,
    )
