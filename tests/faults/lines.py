"""Wrong command lines and odd files: one line that says so, never a traceback."""

import json
import random
from collections.abc import Iterator
from typing import Any

from children import command

_ODD = (
    *("", " ", ".", "..", "/", "-", "--", "[red]", "[/]", "a\nb", "é", "💥", "-1", "0", "1e309"),
    *("nan", "None", "null", "{}", "[]", "a" * 5000, "/dev/null", "/dev/zero", "/proc/self/mem"),
    *("x=y", "=", "training.steps=x", "a.b.c=1", "model={a: [", "%s", "\x1b[31m", "\udc80", "~"),
)
_COMMANDS: dict[str, tuple[str, ...]] = {
    "train": ("--data", "--recipe", "--out", "--task", "--method", "--seed", "--steps", "--set"),
    "evaluate": ("--data", "--split", "--task", "--scoring", "--output", "--batch-size"),
    "export": ("--precision",),
    "tag": ("--task", "--file", "--min-score", "--alternatives", "--batch-size", "--precision"),
    "tasks": (),
    "calibrate": ("--data", "--sentences"),
    "data stats": ("--task", "--seed"),
    "data convert": ("--to",),
    "pretrain": ("--text", "--recipe", "--out", "--prepared", "--steps", "--set", "--resume"),
    "pretrain-check": ("--text", "--data"),
    "methods": ("--backbone", "--tasks"),
    "recipes": (),
    "verify": (),
    "similarity": (),
    "experiment run": ("--data", "--out", "--budget", "--only", "--fraction"),
    "experiment report": ("--out", "--data"),
    "quickstart": ("--steps", "--seed"),
    "no-such": (),
}


def wrong_lines(world: Any) -> Iterator[tuple[str, str | None]]:
    """Commands with odd values for their arguments and options."""
    for _ in range(world.count(400)):
        room = world.room("line")
        name = world.rng.choice(list(_COMMANDS))
        arguments: list[str] = name.split()
        values = (*_ODD, str(world.export), str(world.run), str(world.data), str(room / "new"))
        for _ in range(world.rng.choice([0, 1, 1, 2])):
            arguments.append(world.rng.choice(values))
        for option in world.rng.sample(_COMMANDS[name], min(len(_COMMANDS[name]), 2)):
            arguments += [option, world.rng.choice(values)]
        if name in ("train", "quickstart", "pretrain") and world.rng.random() < 0.9:
            arguments.append("--no-such-option")  # so that none of them trains for long
        arguments = [argument.replace("\0", "") for argument in arguments]
        done = command(*arguments, stdin=b"a text\n", cwd=room)
        yield repr(arguments), None if done.code == 1 and not done.fault else _problem(done)


def _problem(done: Any) -> str | None:
    if done.code == 1 and "fault of hyperloader" not in done.err and "Traceback" not in done.err:
        return None  # a command whose answer is no
    return done.fault


def odd_files(world: Any) -> Iterator[tuple[str, str | None]]:
    """Odd content where a corpus, a recipe, a text or a run is expected."""
    for number in range(world.count(200)):
        room = world.room("odd")
        content = _content(world.rng)
        name = world.rng.choice(_NAMES)
        path = room / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        match number % 7:
            case 0:
                arguments: tuple[object, ...] = ("data", "stats", path.parent.parent)
            case 1:
                arguments = ("data", "convert", path, room / "out", "--to", "jsonl")
            case 2:
                arguments = ("tag", world.export, "--task", "home", "--file", path, "--json")
            case 3:
                recipe = path.with_suffix(".yaml")
                recipe.write_bytes(content)
                data = ("--data", world.data, "--dry-run")
                arguments = ("train", "--recipe", recipe, *data)
            case 4:
                arguments = ("evaluate", world.export, "--data", path.parent.parent)
            case 5:
                (room / "run.yaml").write_bytes(content)
                arguments = ("train", "--resume", room)
            case _:
                arguments = ("pretrain-check", "--text", path.parent, "--data", world.data)
        done = command(*arguments, cwd=room)
        yield f"{arguments[0]} {name} {content[:40]!r}", _problem(done)


_NAMES = (
    *("x/train.conll", "x/train.bio", "x/train.jsonl", "x/train.json", "x/train.tsv"),
    *("x/train.txt", "x/seq.in", "x/test.conll", "[red]/train.conll", "con/train.jsonl"),
)


def _content(rng: random.Random) -> bytes:
    line = {"text": "turn on the lamp", "spans": [{"start": 0, "end": 4, "label": "x"}]}
    words = {"words": ["a", "b"], "tags": ["O", "B-x"], "tokens": ["a"], "label": [[0, 1, "x"]]}
    key = rng.choice([*line, *words])
    value = rng.choice([None, -1, "x", [], {}, [[]], 10**30, "\ud800", [[0, 99, "x"]], [None]])
    return rng.choice(
        [
            b"",
            b"\n" * 10,
            b"\xff\xfe\x00a",
            b"\xef\xbb\xbf",
            rng.randbytes(200),
            b"a O\nb B-x\n" + rng.randbytes(3),
            b"a\tO\nb\n",
            "ü O\n💥 B-\n".encode(),
            b"word " * 50_000 + b"O\n",
            b"[" * 100_000,
            b"key: [",
            b"training: 5\n",
            b"data: 5\ntasks: [1]\nrecipe: {}\n",
            b"data: x\ntasks: x\nrecipe: []\n",
            json.dumps({**line, key: value}).encode() + b"\n",
            json.dumps({**words, key: value}).encode() + b"\n",
            json.dumps([{**line, key: value}]).encode(),
            rng.randbytes(30) + b" O\n\n" + rng.randbytes(30) + b" B-x\n",
        ]
    )


FAMILIES = {"wrong command lines": wrong_lines, "odd files": odd_files}
