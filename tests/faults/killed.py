"""kill -9 at any moment of training, pre-training and export; then the same command again."""

import shutil
import time
from collections.abc import Iterator
from typing import Any

from children import command
from resources import different

from hyperloader.errors import HyperloaderError
from hyperloader.store import check_folder
from training_helpers import settings

_PRETRAIN = (
    *("--recipe", "tiny", "--set", "tokenizer.vocab_size=400", "--set", "tokenizer.sentinels=40"),
    *("--set", "text.held_out=10", "--set", "backbone.d_model=32", "--set", "backbone.d_ff=64"),
    *("--set", "training.steps=8", "--set", "evaluation.every=4", "--set", "training.batch_size=8"),
    *("--set", "evaluation.sequences=8", "--set", "training.warmup_steps=2"),
)


def training(world: Any) -> Iterator[tuple[str, str | None]]:
    """Killed and gone on with: in the end the files of a run that never stopped, byte by byte."""
    options = ("train", "--data", world.data, *settings())
    yield from _killed(world, options, "train", 50)


def pretraining(world: Any) -> Iterator[tuple[str, str | None]]:
    """The same for pre-training."""
    text = world.folder / "text"
    text.mkdir(exist_ok=True)
    rows = (f"please play song {i} of band {i % 7} at nine" for i in range(300))
    (text / "a.txt").write_text("\n".join(rows) + "\n")
    yield from _killed(world, ("pretrain", "--text", text, *_PRETRAIN), "pretrain", 50)


def _killed(
    world: Any, options: tuple[object, ...], name: str, number: int
) -> Iterator[tuple[str, str | None]]:
    whole = world.room("whole") / "run"
    started = time.monotonic()
    done = command(*options, "--out", whole)
    if done.code:
        yield "without a kill", done.fault or done.err[-300:]
        return
    lasts = time.monotonic() - started
    for _ in range(world.count(number)):
        out = world.room("killed") / "run"
        moments, command_line = [], (*options, "--out", out)
        for _ in range(world.rng.choice([1, 1, 2])):
            moments.append(round(world.rng.uniform(0, lasts), 2))
            command(*command_line, kill_after=moments[-1])
            begun = any((out / file).exists() for file in ("run.yaml", "pretrain.yaml"))
            command_line = (name, "--resume", out) if begun else command_line
        done = command(*command_line)
        problem = done.fault or (done.err[-300:] if done.code else None)
        for made in ("checkpoints", "backbone"):
            if (whole / made).exists():
                problem = problem or different(whole / made, out / made)
        yield f"killed after {moments} of {lasts:.1f} s", problem
        shutil.rmtree(out.parent)


def exporting(world: Any) -> Iterator[tuple[str, str | None]]:
    """The old folder or the new one, whole, and nothing in the way of the next export."""
    started = time.monotonic()
    command("export", world.run, world.room("whole") / "x")
    lasts = time.monotonic() - started
    for number in range(world.count(50)):
        room = world.room("killed")
        target = room / "x"
        if number % 2:
            shutil.copytree(world.export, target)
        moment = world.rng.uniform(0, lasts)
        options = ("export", world.run, target, "--precision", "bfloat16", "--overwrite")
        command(*options, kill_after=moment)
        problem = None
        try:
            if number % 2 or target.exists():
                check_folder(target)
        except HyperloaderError as error:
            problem = str(error)
        done = command(*options)
        problem = problem or done.fault or (done.err if done.code else None)
        left = [path.name for path in room.iterdir() if path != target]
        yield (
            f"killed after {moment:.2f} of {lasts:.1f} s",
            problem or (str(left) if left else None),
        )
        shutil.rmtree(room)


FAMILIES = {
    "kill -9 in training": training,
    "kill -9 in pre-training": pretraining,
    "kill -9 in export": exporting,
}
