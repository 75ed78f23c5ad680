"""Adding a task to a trained model, as the command line and Python do it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from rich.console import Console

from hyperloader.api import Settings, overrides
from hyperloader.builtin import run_path
from hyperloader.calibration import TaskCalibration
from hyperloader.checkpoint import Checkpoint, checkpoint_folder, load_checkpoint, save_checkpoint
from hyperloader.config import Recipe, parse_model, read_recipe
from hyperloader.corpora.corpus import Corpus, account
from hyperloader.corpora.given import Labelled, corpora_of
from hyperloader.corpora.registry import load_corpora
from hyperloader.corpora.word_rule import span_marks
from hyperloader.errors import ConfigError, unknown
from hyperloader.evaluation import calibration
from hyperloader.growing.beginning import Beginning, again, nearest, view_at
from hyperloader.growing.room import check_room
from hyperloader.growing.training import train_task
from hyperloader.growing.whole import train_whole
from hyperloader.hub import is_repository
from hyperloader.modeling.tasks import TaskWeights, check_growing
from hyperloader.store import Kind, claim_target
from hyperloader.tagger import Tagger
from hyperloader.tagging import whole
from hyperloader.task_part import TaskPart, added, check_name, part_of, replaced
from hyperloader.training.processes import is_first_process
from hyperloader.training.progress import Listener, progress_console
from hyperloader.training.setup import TrainingData, check_labels, encode, select_data

RECIPE, RECIPES = "add-task", "growing"
LEVELS = ("embedding", "residual", "all")
RANK = 4
# Without a number of steps from the user: every sentence so often, within these bounds. A head
# begins fitted to the sentences, so that it takes fewer.
PASSES, FEWEST, FEWEST_WITHOUT_HEAD, MOST = 10, 50, 150, 1500


class Added(NamedTuple):
    """What came of adding a task.

    Attributes:
        at: the old task that it began at.
        moved: of each old task, how far its generated weights have moved, as a share of their
            size. Empty but at the level ``all``.
        f1: of each old task with replayed validation sentences, the F1 on them before and after.
    """

    tagger: Tagger
    at: str
    moved: Mapping[str, float] = {}
    f1: Mapping[str, tuple[float, float]] = {}


def add_task(
    tagger: Tagger | str | Path,
    data: Labelled,
    *,
    task: str | None = None,
    out: str | Path | None = None,
    level: str = "residual",
    replace: bool = False,
    replay: Labelled | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    settings: Settings = (),
    calibrate: bool = True,
    overwrite: bool = False,
    progress: bool = True,
    listeners: Sequence[Listener] = (),
    console: Console | None = None,
) -> Tagger:
    """A tagger that knows one task more, which it has learnt from ``data``.

    The given tagger, or what lies at the given path, stays as it is; the result shares what it can
    with it. But at the level ``all``, old tasks have the very answers and scores that they had.

    Args:
        tagger: a :class:`Tagger`, or what ``Tagger.from_pretrained`` takes.
        data: the sentences of one task, as :func:`hyperloader.train` takes them.
        task: its name; default: as the data call it. Where they hold several tasks: which one.
        out: save the tagger there too, as a checkpoint; a new or empty folder.
        level: what is trained. ``embedding``: the task's embedding and its head; ``residual``: also
            a change of low rank, of its own, to all weights that are generated for it; ``all``:
            the hypernetwork too, so that old tasks change.
        replace: the task is there already: go on from what it is, with the labels of ``data``.
        replay: at the level ``all``, sentences of old tasks to learn along with the new ones;
            without them, changes of the weights that old tasks are given are penalised.
        steps, minutes, seed, settings: of the training, as for :func:`hyperloader.train`.
        calibrate: fit the task's temperature, where it has enough validation sentences.
        overwrite: replace a checkpoint that ``out`` holds.
        progress, listeners, console: as for :func:`hyperloader.train`.

    Raises:
        ConfigError: the task is there already, or (with ``replace``) is not; labels collide; tasks
            cannot be added to this kind of model.
        DataError: no training sentence, no label, or data that cannot be read.

    Example:
        >>> grown = hyperloader.add_task("runs/mine", "support_tickets", out="runs/grown")
        >>> grown.tag("my order has not arrived", task="support_tickets")
    """
    recipe = recipe_for(settings, seed=seed, steps=steps, minutes=minutes)
    return grow(
        tagger,
        data,
        recipe,
        task=task,
        out=out,
        level=level,
        replacing=replace,
        replay=replay,
        fixed_steps=steps is not None or minutes is not None,
        calibrate=calibrate,
        overwrite=overwrite,
        progress=progress,
        listeners=listeners,
        console=console,
    ).tagger


def recipe_for(
    settings: Settings = (),
    *,
    seed: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
) -> Recipe:
    """The recipe by which a task is added, with changes.

    Raises:
        ConfigError: an unknown key or a value that does not fit, or one of the model, which is as
            it is.
    """
    short = {"seed": seed, "training.steps": steps, "training.minutes": minutes}
    values = read_recipe(RECIPE, overrides(settings, short), RECIPES)
    if fixed := {"model", "codec", "backbone", "vocab_size", "dropout", "start"} & values.keys():
        raise ConfigError(
            f"{sorted(fixed)[0]} is that of the tagger which the task is added to; leave it out"
        )
    return parse_model(Recipe, values, RECIPE)


def grow(
    tagger: Tagger | str | Path,
    data: Labelled,
    recipe: Recipe,
    *,
    task: str | None = None,
    out: str | Path | None = None,
    level: str = "residual",
    replacing: bool = False,
    replay: Labelled | None = None,
    fixed_steps: bool = False,
    calibrate: bool = True,
    overwrite: bool = False,
    progress: bool = True,
    listeners: Sequence[Listener] = (),
    console: Console | None = None,
) -> Added:
    """As :func:`add_task`, and what came of it."""
    if level not in LEVELS:
        raise ConfigError(unknown("level", level, LEVELS))
    if replay is not None and level != "all":
        raise ConfigError(f"replay is for the level all; at the level {level} no old task changes")
    bar = progress_console(quiet=not (progress and is_first_process()))
    console = console or bar
    if out is not None:
        sources = [] if isinstance(tagger, Tagger) else _places(tagger)
        claim_target(out, Kind.CHECKPOINT, overwrite=overwrite, sources=sources)
    if task is not None:
        check_name(task)
    corpus = _corpus(data, task)
    if told := account([corpus]):
        bar.print(told, markup=False)
    before = tagger if isinstance(tagger, Tagger) else Tagger.from_pretrained(tagger)
    part = _part(before, corpus, level, replacing)
    if not fixed_steps:
        fewest = FEWEST if whole(before.model).head_names() else FEWEST_WITHOUT_HEAD
        recipe = _lasting(recipe, len(corpus.splits["train"]), fewest)
    torch.manual_seed(recipe.seed)
    base = _to_train(before)
    begun, encoded = _begin(base, part, corpus, recipe, replacing)
    console.print(
        f"{corpus.name}: {len(corpus.splits['train']):,} sentences, {len(part.labels)} labels; "
        f"begins at {begun.at}",
        markup=False,
    )
    put = replaced if replacing else added
    options: dict[str, Any] = {"console": bar, "listeners": listeners}
    if level == "all":
        joined = put(base, part_of(begun.view, part.name))
        result = train_whole(joined, corpus, replay, recipe, **options)
        trained, grown = part_of(result.checkpoint, part.name), result.checkpoint
        found = Added(before, begun.at, result.moved, result.f1)
        _tell(console, found)
    else:
        trained = train_task(begun.view, encoded, corpus, recipe, **options)
        grown = before.checkpoint
        found = Added(before, begun.at)
    if calibrate:
        of = grown if level == "all" else begun.view
        trained = replace(trained, calibration=_calibration(of, corpus, console))
    grown = (replaced if level == "all" else put)(grown, trained)
    made = Tagger(grown.model, grown.codec, grown.calibration)
    if out is not None:
        made.save_pretrained(out, overwrite=overwrite)
    return found._replace(tagger=made)


def _places(tagger: str | Path) -> list[Path]:
    """What is read where ``tagger`` lies on this machine."""
    return [] if is_repository(tagger) else [run_path(tagger), checkpoint_folder(Path(tagger))]


def _corpus(data: Labelled, task: str | None) -> Corpus:
    """The one task in ``data``, under the name ``task`` if that is given."""
    if isinstance(data, str | Path):
        corpora = load_corpora(Path(data), require=("train",))
    else:
        corpora = corpora_of(data)
    if len(corpora) > 1 and task not in corpora:
        raise ConfigError(
            f"the data hold {len(corpora)} tasks and one is added at a time; say which: "
            f"{unknown('task', task, corpora) if task else ', '.join(corpora)}"
        )
    corpus = corpora[task] if task in corpora else next(iter(corpora.values()))
    name = task or corpus.name
    splits = {
        part: tuple(replace(example, task=name) for example in examples)
        for part, examples in corpus.splits.items()
    }
    return replace(corpus, name=name, splits=splits)


def _part(tagger: Tagger, corpus: Corpus, level: str, replacing: bool) -> TaskPart:
    """What is to be learnt, after making sure that ``tagger`` can."""
    model, name = whole(tagger.model), corpus.name
    check_growing(model)
    check_name(name)
    if replacing and name not in tagger.tasks:
        raise ConfigError(f"{unknown('task', name, tagger.tasks)}; without replace it is added")
    if not replacing and name in tagger.tasks:
        raise ConfigError(
            f"there is a task {name!r} already; give another name with --task NAME, or go on from "
            "what it is with --replace (in Python replace=True)"
        )
    select_data(Recipe(), {name: corpus})
    check_labels(Recipe(), {name: corpus})
    labels = corpus.labels("train", "validation")
    check_room(model, len(labels))
    rank = RANK if level == "residual" and model.source.generated() else 0
    if replacing:
        rank = max(rank, model.config.grown.get(name, 0))
    marks = span_marks(corpus.splits["train"])
    return TaskPart(name, labels, TaskWeights({}, rank=rank), marks)


def _lasting(recipe: Recipe, sentences: int, fewest: int) -> Recipe:
    """``recipe`` with as many steps as so many ``sentences`` are worth, ``fewest`` at least."""
    wanted = -(-PASSES * sentences // recipe.training.batch_size)
    steps = min(MOST, max(fewest, wanted))
    training = recipe.training.model_copy(update={"steps": steps})
    return recipe.model_copy(update={"training": training})


def _to_train(tagger: Tagger) -> Checkpoint:
    """A copy of what ``tagger`` has that can be trained: nothing of it is shared."""
    here = tagger.checkpoint
    with TemporaryDirectory(prefix="hyperloader.") as folder:
        copied = Path(folder, "copy")
        save_checkpoint(copied, here.model, here.codec)
        return load_checkpoint(copied)


def _begin(
    base: Checkpoint, part: TaskPart, corpus: Corpus, recipe: Recipe, replacing: bool
) -> tuple[Beginning, TrainingData]:
    """Where the task begins, and its sentences as its model reads them."""
    view = view_at(base, part, base.model.config.tasks[0])
    data = encode(view.codec, {part.name: corpus})
    train, held_out = data.train[part.name], data.validation[part.name]
    if replacing:
        return again(base, part, train), data
    return nearest(base, part, train, held_out, recipe.training), data


def _tell(console: Console, found: Added) -> None:
    """How old tasks have changed."""
    for task, share in found.moved.items():
        line = f"{task}: its generated weights moved by {share:.2%} of their size"
        if task in found.f1:
            line += ", F1 on its validation sentences {:.4f} -> {:.4f}".format(*found.f1[task])
        console.print(line, markup=False)


def _calibration(view: Checkpoint, corpus: Corpus, console: Console) -> TaskCalibration | None:
    """The temperature of a task that has just been learnt; None with too few sentences."""
    validation = corpus.splits["validation"]
    if len(validation) < calibration.ENOUGH:
        console.print(
            f"not calibrated: {len(validation)} validation sentences, and it takes "
            f"{calibration.ENOUGH}"
        )
        return None
    found = calibration.calibrate(
        view.model, view.codec, {corpus.name: validation}, source="validation sentences"
    )
    console.print(calibration.outcome(corpus.name, found.tasks[corpus.name]), markup=False)
    return found.tasks[corpus.name]
