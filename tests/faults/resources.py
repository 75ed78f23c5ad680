"""Disks and memories that are full, and equal commands that must write equal bytes."""

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from children import command

from hyperloader.errors import HyperloaderError
from hyperloader.store import check_folder
from training_helpers import settings


def full_disk(world: Any) -> Iterator[tuple[str, str | None]]:
    """No file can grow beyond a limit: what was there before stays whole, and one line says why."""
    largest = max(p.stat().st_size for p in world.run.rglob("*") if p.is_file())
    for number in range(world.count(40)):
        room = world.room("full")
        target = Path(shutil.copytree(world.export, room / "x"))
        limit = world.rng.randrange(1, largest)
        limits = {resource.RLIMIT_FSIZE: limit}
        if number % 2:
            done = command("export", world.run, target, "--overwrite", limits=limits)
        else:
            out = room / "run"
            options = ("--data", world.data, "--out", out, *settings())
            done = command("train", *options, limits=limits)
        problem = done.fault
        if problem is None and done.code == 2 and "the disk is full" not in done.err:
            problem = f"misleading: {done.err[-300:]}"
        problem = problem or _whole(target) or _whole_steps(room / "run")
        yield f"{'export' if number % 2 else 'train'} with {limit:,} bytes", problem
        shutil.rmtree(room)


def full_memory(world: Any) -> Iterator[tuple[str, str | None]]:
    """Little address space beyond what is in use: an answer, or one line that says why not."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    for number in range(world.count(30)):
        room = world.room("memory")
        more = world.rng.randrange(1 << 20, 400 << 20)
        limits = {resource.RLIMIT_AS: used + more}
        if number % 2:
            done = command("export", world.run, room / "out", limits=limits)
            problem = done.fault or (_whole(room / "out") if (room / "out").exists() else None)
        else:
            text = "turn on the lamp " * 2000
            done = command("tag", world.export, "--task", "home", text, limits=limits)
            problem = done.fault
        yield f"{'export' if number % 2 else 'tag'} with {more >> 20} MiB", problem
        shutil.rmtree(room)


def equal_bytes(world: Any) -> Iterator[tuple[str, str | None]]:
    """The same command writes the same bytes."""
    room = world.room("equal")
    for _ in range(world.count(4)):
        for name in ("one", "two"):
            shutil.rmtree(room / name, ignore_errors=True)
            # The model card tells the folder's name, so it is the same.
            command("export", world.run, room / name / "tagger")
            shutil.rmtree(room / f"run-{name}", ignore_errors=True)
            options = ("--data", world.data, "--out", room / f"run-{name}", *settings())
            command("train", *options)
        yield "export", different(room / "one", room / "two")
        steps = (room / f"run-{name}" / "checkpoints" for name in ("one", "two"))
        yield "train", different(*steps)


def different(one: Path, other: Path) -> str | None:
    """Files of two folders that are not in both or do not hold the same bytes, if any."""
    names = {p.relative_to(root) for root in (one, other) for p in root.rglob("*") if p.is_file()}
    wrong = [
        str(name)
        for name in sorted(names)
        if not ((one / name).is_file() and (other / name).is_file())
        or (one / name).read_bytes() != (other / name).read_bytes()
    ]
    return f"differ: {', '.join(wrong[:3])}" if wrong or not names else None


def _whole(folder: Path) -> str | None:
    try:
        check_folder(folder)
    except HyperloaderError as error:
        return f"not whole any more: {error}"
    left = [p.name for p in folder.parent.iterdir() if "hyperloader-" in p.name]
    return f"left behind: {left}" if left else None


def _whole_steps(run: Path) -> str | None:
    steps = sorted((run / "checkpoints").glob("step-*"))
    return next((problem for step in steps if (problem := _whole(step))), None)


FAMILIES = {
    "full disk": full_disk,
    "full memory": full_memory,
    "equal bytes": equal_bytes,
}
