"""Builders for tests of training and of the command line: small corpora, recipes and runs."""

import contextlib
import io
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch

from hyperloader.cli.main import main
from hyperloader.config import Recipe
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.sample import sample_corpora
from hyperloader.corpora.writing import write_corpus
from hyperloader.evaluation.evaluate import f1_evaluator
from hyperloader.modeling.pretrained import read_tensors
from hyperloader.training.loop import Trainer
from hyperloader.training.start import resume_run, start_run

torch.set_num_threads(1)
# What is compared bit by bit is compared on the CPU, also where there is more.
os.environ["ACCELERATE_USE_CPU"] = "true"

FAST: dict[str, Any] = {
    "backbone": "scratch:tiny",
    "vocab_size": 400,
    "dropout": 0.1,
    "model": {"train_backbone": "all", "reduction_factor": 8, "task_embedding_dim": 8},
    "codec": {"label_text": "readable"},
    "data": {"temperature": 3},
    "training": {"steps": 6, "batch_size": 8, "learning_rate": 1e-3, "loss": "decisions"},
    "validation": {"every": 3},
}


@cache
def corpora(train: int = 24) -> Mapping[str, Corpus]:
    """Two synthetic tasks of different size."""
    made = sample_corpora(seed=1, train=train, validation=8, test=8)
    small = Corpus(
        "dining", {**made["dining"].splits, "train": made["dining"].splits["train"][: train // 2]}
    )
    return {"dining": small, "home": made["home"]}


def recipe(**changes: Any) -> Recipe:
    """The fast recipe with top-level values replaced and sections updated."""
    merged = {
        key: {**value, **changes.pop(key, {})} if isinstance(value, dict) else value
        for key, value in FAST.items()
    }
    return Recipe(**{**merged, **changes})


def settings(**changes: Any) -> list[str]:
    """The same recipe for the command line (on top of ``scratch``), as --set options."""
    values = recipe(**changes).model_dump(mode="json")
    flat = {
        key if name is None else f"{key}.{name}": value
        for key, section in values.items()
        for name, value in (section.items() if isinstance(section, dict) else [(None, section)])
    }
    return [part for key, value in flat.items() for part in ("--set", f"{key}={json.dumps(value)}")]


def make_trainer(
    out: Path,
    *,
    on: Mapping[str, Corpus] | None = None,
    make_evaluate: Any = None,
    harm: tuple[int, Callable[[Trainer], None]] | None = None,
    **changes: Any,
) -> Trainer:
    """A trainer of a new run in ``out``; ``harm`` is done to it right after a step."""
    trainers: list[Trainer] = []

    def listen(kind: str, entry: dict[str, Any]) -> None:
        if harm and (kind, entry["step"]) == ("train", harm[0]):
            harm[1](trainers[0])

    chosen = corpora() if on is None else on
    trainers.append(
        start_run(
            recipe(**changes),
            chosen,
            out,
            about={"data": "none", "tasks": list(chosen)},
            make_evaluate=make_evaluate,
            listeners=[listen],
        )
    )
    return trainers[0]


def evaluator(codec: Any, chosen: Any, sentences: int | None) -> Any:
    return f1_evaluator(codec, chosen, sentences=sentences)


def write_data(folder: Path) -> Path:
    """The corpora as CoNLL files below ``folder``."""
    for name, corpus in corpora().items():
        write_corpus(corpus.splits, folder / name, "conll")
    return folder


def log(run: Path, kind: str = "train") -> list[dict[str, Any]]:
    """The entries of one kind in a run's log."""
    lines = (run / "log.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry.pop("kind") == kind]


def losses(run: Path) -> list[tuple[Any, ...]]:
    """What must be the same in two runs that are: step, loss, tasks, rate, gradient norm."""
    keys = ("step", "loss", "tasks", "learning_rate", "gradient_norm")
    return [tuple(str(entry[key]) for key in keys) for entry in log(run)]


def tensors(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint: the model's and the optimiser's."""
    return {
        f"{path.name}/{name}": tensor.clone()  # the file may be gone or cut when it is looked at
        for path in sorted(checkpoint.glob("*.safetensors"))
        for name, tensor in read_tensors(path).items()
    }


def assert_same_tensors(one: Path, other: Path) -> None:
    """Bit by bit, and not vacuously."""
    ours, theirs = tensors(one), tensors(other)
    assert ours.keys() == theirs.keys()
    assert any("exp_avg" in name for name in ours)
    assert any(name.startswith("model.") for name in ours)
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different


def assert_resumes(whole: Path, cut: Path, **settings: Any) -> None:
    """A run of four steps that is cut after the third and resumed ends as ``whole``, which was not,
    bit by bit."""

    def harm(trainer: Trainer) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        make_trainer(cut, harm=(3, harm), **settings).train()
    resume_run(cut, corpora()).train()
    last = "checkpoints/step-00000004"
    assert losses(whole) == losses(cut)
    assert_same_tensors(whole / last, cut / last)


class Outcome(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


def cli(*arguments: object, stdin: bytes = b"") -> Outcome:
    """Run the command line in this process, as the installed program would."""
    out, err = io.StringIO(), io.StringIO()
    fed = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    argv = ["hyperloader", *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "stdin", fed),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            code: Any = 0
        except SystemExit as stop:
            code = stop.code or 0
    return Outcome(int(code), out.getvalue(), err.getvalue())


def refused(*arguments: object, stdin: bytes = b"") -> str:
    """The one line that a mistake gives; only how files were read may be said before it."""
    done = cli(*arguments, stdin=stdin)
    assert done.code == 2, done
    *before, last = done.err.splitlines()
    assert all(line.startswith("  ") or " " not in line for line in before), done.err
    assert last.startswith("error: ")
    return last


def run_main(arguments: list[str], error_file: Path) -> None:
    """The command line in a process of its own."""
    sys.argv = ["hyperloader", *arguments]
    with error_file.open("w") as errors, contextlib.redirect_stderr(errors):
        main()


def in_process(work: Callable[..., None], *arguments: Any, **environment: str) -> Any:
    """Start ``work`` in a process of its own, quickly: from a server that has torch loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hyperloader.training.start", "hyperloader.tagger"])
    process = context.Process(target=_child, args=(work, arguments, environment))
    process.start()
    return process


def _child(work: Callable[..., None], arguments: tuple[Any, ...], environment: Any) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    work(*arguments)
