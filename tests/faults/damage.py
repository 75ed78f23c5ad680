"""Files that are cut, flipped or lost, and checkpoints that somebody made to do harm."""

import json
import os
import pickle
import random
import resource
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from children import command
from resources import different

from hyperloader.store import file_hash

_OUTSIDE = "outside"  # beside the checkpoint: a file that links in it lead to
ADDRESS_SPACE = 12 << 30  # bytes; a checkpoint of a few megabytes must not need more


def damaged_files(world: Any) -> Iterator[tuple[str, str | None]]:
    """A run or an export with one file cut, flipped, lengthened, emptied or gone."""
    for _ in range(world.count(500)):
        source = world.rng.choice([world.run, world.export])
        room = world.room("damaged")
        folder = Path(shutil.copytree(source, room / "x"))
        path = world.rng.choice(sorted(p for p in folder.rglob("*") if p.is_file()))
        how = world.rng.choice(list(_WAYS))
        before = path.read_bytes()
        _WAYS[how](path, world.rng)
        same = path.is_file() and path.read_bytes() == before
        done = command("tag", folder, "--task", "home", "turn on the lamp")
        problem = done.fault
        sealed = path.suffix == ".safetensors" or path.parent.name != "x"
        used = source == world.export or path.parent.name == "step-00000006"
        if problem is None and done.code == 0 and sealed and used and not same:
            best = json.loads((world.run / "checkpoints/step-00000006/trainer.json").read_text())
            if source == world.export or best["best_step"] in (None, 6):
                problem = "it was not noticed"
        yield f"{how} {path.relative_to(folder)}", problem
        shutil.rmtree(room)


def damaged_resumes(world: Any) -> Iterator[tuple[str, str | None]]:
    """Going on with a run in which one file is damaged: it ends as it would have without, or one
    line says why not."""
    begun = Path(shutil.copytree(world.run, world.room("begun") / "x"))
    about = (begun / "run.yaml").read_text()
    (begun / "run.yaml").write_text(about.replace("steps: 6\n", "steps: 9\n"))
    whole = Path(shutil.copytree(begun, world.room("whole") / "x"))
    done = command("train", "--resume", whole, "--data", world.data)
    if done.code or not (whole / "checkpoints/step-00000009").is_dir():
        yield "undamaged", f"it does not go on: {done}"
        return
    for _ in range(world.count(40)):
        room = world.room("resumed")
        folder = Path(shutil.copytree(begun, room / "x"))
        path = world.rng.choice(sorted(p for p in folder.rglob("*") if p.is_file()))
        how = world.rng.choice(list(_WAYS))
        _WAYS[how](path, world.rng)
        done = command("train", "--resume", folder, "--data", world.data)
        problem = done.fault
        if done.code == 0 and path.name != "run.yaml":  # which may now ask for something else
            problem = problem or different(whole / "checkpoints", folder / "checkpoints")
        yield f"{how} {path.relative_to(folder)}", problem
        shutil.rmtree(room)


def _cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(max(1, path.stat().st_size)))


def _flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes() or b"x")
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _fill(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes() or b"x")
    place = rng.randrange(len(content))
    content[place : place + 64] = rng.randbytes(64)
    path.write_bytes(content)


_WAYS: dict[str, Callable[[Path, random.Random], object]] = {
    "cut": _cut,
    "flip": _flip,
    "garbage in": _fill,
    "garbage after": lambda path, rng: path.write_bytes(path.read_bytes() + rng.randbytes(9)),
    "empty": lambda path, rng: path.write_bytes(b""),
    "lose": lambda path, rng: path.unlink(),
    "folder for": lambda path, rng: (path.unlink(), path.mkdir()),
}


def hostile_checkpoints(world: Any) -> Iterator[tuple[str, str | None]]:
    """Checkpoints whose manifest fits what they hold, and which hold something else."""
    for number in range(world.count(300)):
        room = world.room("hostile")
        folder = Path(shutil.copytree(world.export, room / "x"))
        canary = room / "canary"
        (room / _OUTSIDE).write_text(_OUTSIDE)
        make = _HOSTILE[number % len(_HOSTILE)]
        make(folder, world.rng, canary)
        if make is not _manifests:
            seal(folder)
        given = ("tag", folder, "--task", "home")
        kind = world.rng.choice([given, ("export", folder, room / "out"), ("tasks", folder)])
        done = command(*kind, stdin=b"yes\ny\n", limits={resource.RLIMIT_AS: ADDRESS_SPACE})
        problem = "the canary is there: code ran" if canary.exists() else done.fault
        if (room / _OUTSIDE).read_text() != _OUTSIDE:
            problem = "a file outside of the checkpoint was changed"
        yield f"{make.__name__.strip('_')} {number} {kind[0]}", problem
        shutil.rmtree(room)


def seal(folder: Path) -> None:
    """Write the manifest that whoever made ``folder`` would write; never through a link."""
    manifest = folder / "manifest.json"
    if manifest.is_symlink() or not manifest.is_file():
        return
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"]
    entries = {
        p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": file_hash(p)}
        for p in files
        if not p.is_symlink() or p.resolve().is_relative_to(folder)
    }
    manifest.write_text(json.dumps({"kind": "checkpoint", "files": entries}))


class _Bomb:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


def _pickled(folder: Path, rng: random.Random, canary: Path) -> None:
    name = rng.choice(["model.safetensors", "pytorch_model.bin", "codec.json", "tokenizer/x.pkl"])
    (folder / name).write_bytes(pickle.dumps(_Bomb(canary)))


def _auto_map(folder: Path, rng: random.Random, canary: Path) -> None:
    code = f"open({str(canary)!r}, 'w')\nclass Mine:\n    pass\n"
    value = {f"Auto{kind}": "mine.Mine" for kind in ("Config", "Model", "Tokenizer")}
    place = rng.choice(["config.json", "tokenizer/tokenizer_config.json", "tokenizer/config.json"])
    path = folder / place
    content = json.loads(path.read_text()) if path.exists() else {"model_type": "mine"}
    content["auto_map"] = value
    if place == "config.json":
        content["backbone"]["config"]["auto_map"] = value
        content["backbone"]["config"]["model_type"] = rng.choice(["t5", "mine"])
    path.write_text(json.dumps(content))
    for where in (folder, folder / "tokenizer"):
        (where / "mine.py").write_text(code)


def _elsewhere(folder: Path, rng: random.Random, canary: Path) -> None:
    other = folder.parent / "other"
    shutil.copytree(folder, other)
    _auto_map(other, random.Random(0), canary)
    content = json.loads((folder / "config.json").read_text())
    names = [str(other), "../other", f"{folder}/../other", "/dev", "/proc/self/fd", "//host/share"]
    content["backbone"].update(whole=False, name=rng.choice(names), frozen_sha256="0" * 64)
    (folder / "config.json").write_text(json.dumps(content))


def _links(folder: Path, rng: random.Random, canary: Path) -> None:
    path = rng.choice(sorted(p for p in folder.rglob("*") if p.is_file()))
    path.unlink()
    outside = str(folder.parent / _OUTSIDE)  # never a file that is not the campaign's own
    target = rng.choice(["/dev/zero", outside, "/dev/stdin", str(path), "pipe"])
    os.mkfifo(path) if target == "pipe" else path.symlink_to(target)


def _manifests(folder: Path, rng: random.Random, canary: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    files = manifest["files"]
    some = rng.choice(sorted(files))
    changes: list[Any] = [
        {},
        [],
        {"kind": "checkpoint", "files": {}},
        {**manifest, "files": {**files, "../../etc/passwd": files[some]}},
        {**manifest, "files": {**files, "/etc/passwd": files[some]}},
        {**manifest, "files": {k: v for k, v in files.items() if k != some}},
        {**manifest, "files": {**files, some: {"bytes": -1, "sha256": 5}}},
        {**manifest, "files": {**files, some: {"bytes": 1e300, "sha256": "x"}}},
        {**manifest, "kind": "house"},
        {**manifest, "kind": [manifest]},
    ]
    (folder / "manifest.json").write_text(json.dumps(rng.choice(changes)))


def _deep(folder: Path, rng: random.Random, canary: Path) -> None:
    name = rng.choice(["config.json", "codec.json", "calibration.json", "tokenizer/tokenizer.json"])
    opening = rng.choice([b"[", b'{"a":', b'{"model":['])
    (folder / name).write_bytes(opening * rng.choice([2000, 200_000]))


def _mutated(folder: Path, rng: random.Random, canary: Path) -> None:
    """One value somewhere in a JSON file replaced by one of another kind or size."""
    path = rng.choice(sorted(p for p in folder.rglob("*.json") if p.name != "manifest.json"))
    content = json.loads(path.read_text())
    place: Any = content
    while True:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not (isinstance(place[key], dict | list) and place[key]) or rng.random() < 0.15:
            break
        place = place[key]
    odd = [None, -1, 0, 1, 10**6, 10**9, 10**30, 1e308, float("nan"), "", "x", "\ud800", "a" * 9999]
    place[key] = rng.choice(
        [*odd, [], {}, [[]], {"a": 1}, True, ["x"] * 1000, "../..", "/dev/zero"]
    )
    path.write_text(json.dumps(content))


def _tensors(folder: Path, rng: random.Random, canary: Path) -> None:
    """A safetensors file whose header says something that is not so."""
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    size = struct.unpack("<Q", whole[:8])[0]
    header, body = json.loads(whole[8 : 8 + size]), bytearray(whole[8 + size :])
    names = [name for name in header if name != "__metadata__"]
    one, other = rng.sample(names, 2)
    match rng.randrange(9):
        case 0:
            header[one]["data_offsets"] = header[other]["data_offsets"]
        case 1:
            header[one]["shape"] = [n * 2 for n in header[one]["shape"]] or [2]
        case 2:
            header[one]["shape"] = [*reversed(header[one]["shape"]), 1]
        case 3:
            header[one]["dtype"] = rng.choice(["I32", "F64", "BOOL", "X9", "F8_E4M3"])
        case 4:
            header[one]["data_offsets"] = [0, 1 << 60]
        case 5:
            start = header[one]["data_offsets"][0]
            body[start : start + 4] = struct.pack("<f", rng.choice([float("nan"), float("inf")]))
        case 6:
            header["backbone." + one] = header.pop(one)
        case 7:
            header[one]["shape"] = [1 << 40, 1 << 40]
        case 8:
            header["__metadata__"] = rng.choice([{"format": "pickle"}, 5, {"format": 5}])
    text = json.dumps(header).encode()
    length = rng.choice([len(text)] * 6 + [1 << 62, 0])
    path.write_bytes(struct.pack("<Q", length) + text + bytes(body))


_HOSTILE: tuple[Callable[[Path, random.Random, Path], None], ...] = (
    *(_pickled, _auto_map, _elsewhere, _links, _manifests, _deep),
    *(_mutated, _mutated, _mutated, _tensors, _tensors),
)
FAMILIES = {
    "damaged files": damaged_files,
    "damaged resumes": damaged_resumes,
    "hostile checkpoints": hostile_checkpoints,
}
