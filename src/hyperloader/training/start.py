"""Starting a run and going on with one: recipe, corpora and folder in, a ready trainer out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from hyperloader.checkpoint import Checkpoint, load_checkpoint
from hyperloader.codec.codec import Codec
from hyperloader.config import Recipe
from hyperloader.corpora.corpus import Corpus
from hyperloader.training.loop import Evaluate, Trainer
from hyperloader.training.progress import Listener
from hyperloader.training.run import RunFolder
from hyperloader.training.setup import build, encode, select_data

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
) -> Trainer:
    """A trainer of a new run in ``out``; ``about`` says where the data came from.

    Raises:
        ConfigError: the recipe does not fit, or ``out`` holds a run already.
        DataError: a corpus without training sentences.
    """
    run = RunFolder.new(out)
    selected = select_data(recipe, corpora)
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
) -> Trainer:
    """A trainer that goes on from the newest complete checkpoint of the run in ``path``."""
    run = RunFolder.open(path)
    recipe = run.recipe()
    selected = select_data(recipe, corpora)
    newest = run.newest()
    checkpoint = build(recipe, selected) if newest is None else load_checkpoint(newest)
    trainer = _trainer(recipe, selected, checkpoint, run, make_evaluate, listeners, console)
    trainer.resume()
    return trainer


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
