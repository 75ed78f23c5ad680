"""Training from a Python program, exactly as the command line does it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console

from hyperloader import hub
from hyperloader.backbones.registry import family_of_type
from hyperloader.builtin import MINILM, is_bundled, is_installed
from hyperloader.checkpoint import checkpoint_folder
from hyperloader.config import Recipe, load_recipe
from hyperloader.corpora.corpus import Corpus, account
from hyperloader.corpora.given import Labelled, corpora_of
from hyperloader.corpora.writing import write_corpus
from hyperloader.errors import ConfigError
from hyperloader.evaluation.calibration import ENOUGH, calibrate_tagger, outcome
from hyperloader.evaluation.evaluate import f1_evaluator
from hyperloader.modeling.methods import METHODS
from hyperloader.modeling.pretrained import read_config
from hyperloader.store import check_names
from hyperloader.tagger import Tagger
from hyperloader.training.loop import Trainer
from hyperloader.training.processes import is_first_process
from hyperloader.training.progress import Listener, progress_console
from hyperloader.training.run import RunFolder
from hyperloader.training.setup import select_data
from hyperloader.training.start import resume_run, start_run

Settings: TypeAlias = Mapping[str, Any] | Sequence[str]


def train(
    data: Labelled,
    *,
    out: str | Path,
    recipe: str | Path | None = None,
    tasks: Sequence[str] | None = None,
    method: str | None = None,
    backbone: str | None = None,
    start: str | Path | None = None,
    seed: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    settings: Settings = (),
    calibrate: bool = True,
    progress: bool = True,
    listeners: Sequence[Listener] = (),
    console: Console | None = None,
) -> Tagger:
    """Train one model on all tasks of ``data``; the tagger of the best checkpoint.

    Ctrl-C saves a checkpoint and raises :class:`~hyperloader.training.interrupt.Interrupted`;
    :func:`resume` goes on.

    Args:
        data: a path, as for ``hyperloader train --data``; or a mapping from each task to its
            parts, ``{"movie": {"train": sentences, "validation": …, "test": …}}``, where a
            sentence is an :class:`~hyperloader.types.Example` or a record
            ``{"text": …, "spans": [{"start", "end", "label"}]}`` (spans in characters) or
            ``{"words": […], "spans": […]}`` (spans in words). If there is no validation part,
            10 % of train is held out. What is given as a mapping is kept in ``out/data`` as
            JSONL, so that the run can be resumed and evaluated.
        out: the folder of the run; new, or empty.
        recipe: a recipe's name or YAML file; default: ``minilm`` where that backbone is installed
            and no other one is named, else ``builtin``.
        tasks: only these.
        method, backbone, seed, steps, minutes: short for ``model.method``, ``backbone``,
            ``seed``, ``training.steps`` and ``training.minutes`` in ``settings``.
        start: a trained tagger to go on from (``builtin-minilm``, a run, a folder, ``owner/name``)
            instead of an untrained model. Backbone, model and codec are its own; the tasks are
            those of ``data``: those that it knows go on from what they are, others begin in the
            middle of them all, and what ``data`` lacks is left out.
        settings: changes to the recipe, by dotted keys: ``{"training.batch_size": 64}``, or
            strings as for ``--set``: ``["training.batch_size=64"]``.
        calibrate: at the end fit temperatures on validation sentences, so that scores can be
            taken as probabilities.
        progress: show on standard error how the files were read, a progress bar, validation
            scores and what was trained.
        listeners: called with ``"train"`` and an entry after each step, and with
            ``"validation"`` and an entry after each validation.
        console: where the lines about what was trained go instead.

    Raises:
        ConfigError: an unknown recipe, key or value, or ``out`` holds a run already.
        DataError: data that cannot be read, or a task without training sentences.

    Example:
        >>> tagger = hyperloader.train("my_corpora", out="runs/mine", steps=500)
        >>> tagger.tag("my order has not arrived", task="support")
    """
    chosen = recipe_of(
        recipe,
        settings,
        method=method,
        backbone=backbone,
        start=start,
        seed=seed,
        steps=steps,
        minutes=minutes,
    )
    out, bar = Path(out), _progress(progress)
    console = console or bar
    RunFolder.new(out)  # refused before anything is read
    corpora = corpora_of(data, tasks)
    if not isinstance(data, str | Path):
        check_names(corpora, "task")
    _tell(bar, corpora)
    kept = Path(data) if isinstance(data, str | Path) else out / "data"
    trainer = start_run(
        chosen,
        corpora,
        out,
        about={
            "data": str(kept.resolve()),
            "tasks": list(corpora),
            "test": all(corpus.splits.get("test") for corpus in corpora.values()),
        },
        make_evaluate=_f1,
        listeners=listeners,
        console=bar,
    )
    if not isinstance(data, str | Path) and is_first_process():
        for name, corpus in corpora.items():
            parts = {part: examples for part, examples in corpus.splits.items() if examples}
            write_corpus(parts, kept / name, "jsonl")
    counts = trainer.model.parameter_counts()
    console.print(
        f"{trainer.model.config.method}: {counts['trainable']:,} of {counts['total']:,} "
        f"parameters trained, {len(corpora)} tasks, saved in {out}",
        markup=False,
    )
    return _finish(trainer, corpora, out, calibrate, console)


def resume(
    run: str | Path,
    *,
    data: Labelled | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    from_scratch: bool = False,
    calibrate: bool = True,
    progress: bool = True,
    listeners: Sequence[Listener] = (),
    console: Console | None = None,
) -> Tagger:
    """Go on with a run that was stopped, as if it had never been; its tagger when it is done.

    Args:
        run: the folder of the run.
        data: the same data, if they are no longer where they were.
        steps, minutes: train longer than the run was meant to.
        from_scratch: begin again if all checkpoints are damaged.

    The other arguments are those of :func:`train`.

    Raises:
        CheckpointError: no run there, or one that is damaged.
        TrainingError: the data are not those that the run was started with.
    """
    run, bar = Path(run), _progress(progress)
    console = console or bar
    about = RunFolder.open(run).about()
    if data is None and not about["data"]:
        raise ConfigError(f"{run} does not say what data it was trained on; give them")
    corpora = corpora_of(about["data"] if data is None else data, about["tasks"])
    _tell(bar, corpora)
    trainer = resume_run(
        run,
        corpora,
        make_evaluate=_f1,
        listeners=listeners,
        console=bar,
        from_scratch=from_scratch,
        steps=steps,
        minutes=minutes,
    )
    console.print(f"resuming {run} after step {trainer.state.step}", markup=False)
    return _finish(trainer, corpora, run, calibrate, console)


def recipe_of(
    recipe: str | Path | None,
    settings: Settings = (),
    *,
    method: str | None = None,
    backbone: str | None = None,
    start: str | Path | None = None,
    seed: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
) -> Recipe:
    """The recipe with changes as :func:`train` takes them.

    Raises:
        ConfigError: an unknown recipe or key, or a value that does not fit.
    """
    short = {
        "model.method": method,
        "backbone": backbone,
        "start": None if start is None else str(start),
        "seed": seed,
        "training.steps": steps,
        "training.minutes": minutes,
    }
    changed = overrides(settings, short)
    named = recipe or _default_recipe(changed)
    chosen = load_recipe(str(named), changed)
    return chosen if chosen.start is None else _from_tagger(chosen, changed)


def _from_tagger(recipe: Recipe, changed: Sequence[str]) -> Recipe:
    """``recipe`` as a tagger that it starts from has it.

    Raises:
        ConfigError: something is ``changed`` that is the tagger's own.
        CheckpointError: there is no tagger, or a damaged one.
    """
    first = str(recipe.start)
    for key in _keys(changed):
        if key.partition(".")[0] in ("model", "codec", "backbone"):
            raise ConfigError(f"{key} is that of {first}, which training starts from; leave it out")
    if hub.is_repository(first):
        first = str(hub.fetch(first))
    elif not is_bundled(first):
        first = str(Path(first).resolve())  # a run may be resumed from another folder
    name = read_config(checkpoint_folder(Path(first)))["backbone"].get("name")
    own: dict[str, Any] = {"start": first, "model": {}, "codec": {}, "backbone": name or "its own"}
    return recipe.model_copy(update=own)


def overrides(settings: Settings, short: Mapping[str, Any]) -> list[str]:
    """``settings``, and those of ``short`` that are not None, as for ``--set``.

    Raises:
        ConfigError: a value that is not plain.
    """
    changes = {key: value for key, value in short.items() if value is not None}
    if isinstance(settings, Mapping):
        changes = {**settings, **changes}
        settings = ()
    try:
        texts = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    except TypeError as error:
        raise ConfigError(f"a setting is not a plain value: {error}") from error
    return [*settings, *texts]


def _keys(settings: Sequence[str]) -> dict[str, str]:
    """The keys of ``settings`` with their values."""
    pairs = (text.partition("=") for text in settings)
    return {key.strip(): value.strip("\"' ") for key, _, value in pairs}


def _default_recipe(settings: Sequence[str]) -> str:
    """That of the encoder, unless that is not there, or ``settings`` name another backbone, a
    tagger on another one, or a method that does not attach to it."""
    named = _keys(settings)
    first = named.get("start", "null")
    if first != "null":
        if hub.is_repository(first):
            first = str(hub.fetch(first))
        heads = read_config(checkpoint_folder(Path(first)))["output"] == "token_tags"
        return "minilm" if heads else "builtin"
    if named.get("backbone", MINILM) != MINILM or not is_installed(MINILM):
        return "builtin"
    method = METHODS.get(named.get("model.method", ""))
    return "minilm" if method is None or method.attaches_to(family_of_type("bert")) else "builtin"


def _progress(wanted: bool) -> Console:
    return progress_console(quiet=not (wanted and is_first_process()))


def _tell(console: Console, corpora: Mapping[str, Corpus]) -> None:
    """How the files of ``corpora`` were read, if they come from files."""
    if told := account(corpora.values()):
        console.print(told, markup=False)


def _f1(codec: Any, corpora: Mapping[str, Corpus], sentences: int | None) -> Any:
    return f1_evaluator(codec, corpora, sentences=sentences)


def _finish(
    trainer: Trainer,
    corpora: Mapping[str, Corpus],
    run: Path,
    calibrate: bool,
    console: Console,
) -> Tagger:
    """Train to the end and calibrate the best checkpoint; its tagger."""
    state = trainer.train()
    console.print(f"done: best checkpoint after step {state.best_step or state.step}")
    device = str(trainer.accelerator.device)
    if calibrate and is_first_process():
        _calibrate(run, select_data(trainer.recipe, corpora), device, console)
    trainer.accelerator.wait_for_everyone()
    return Tagger.from_pretrained(run, device)


def _calibrate(run: Path, corpora: Mapping[str, Corpus], device: str, console: Console) -> None:
    """Calibrate the best checkpoint of a run that has just ended, if its ``corpora`` (the share
    that it was trained on) have enough validation sentences."""
    count = sum(len(corpus.splits["validation"]) for corpus in corpora.values())
    if count < ENOUGH:
        console.print(f"not calibrated: {count} validation sentences, and it takes {ENOUGH}")
        return
    tagger = Tagger.from_pretrained(run, device, tagging_only=False)
    if not console.is_terminal:
        console.print("calibrating on validation sentences")
    with console.status("calibrating") as status:
        found = calibrate_tagger(
            tagger, run, corpora, tell=lambda task: status.update(f"calibrating {task}")
        )
    for name, task in found.tasks.items():
        console.print(outcome(name, task), markup=False, soft_wrap=True)
    console.print(
        f"calibrated: the ECE of {found.overall.spans:,} held-out validation spans went from "
        f"{found.overall.ece_before:.4f} to {found.overall.ece_after:.4f}",
        soft_wrap=True,
    )
