"""Folders are whole or absent, and every kind of damage is found."""

import errno
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from helpers import tiny_codec, tiny_model
from hyperloader.checkpoint import load_checkpoint, save_checkpoint
from hyperloader.errors import CheckpointError
from hyperloader.store import MANIFEST, Kind, atomic_folder, check_folder, write_text, writing


def write(folder: Path, text: str) -> None:
    with atomic_folder(folder, Kind.MODEL, overwrite=True) as temporary:
        (temporary / "a.txt").write_text(text)
        (temporary / "sub").mkdir()
        (temporary / "sub" / "b.txt").write_text(text * 2)


def read(folder: Path) -> str | None:
    """What a complete folder holds; None when there is none."""
    if not folder.exists():
        return None
    check_folder(folder)
    text = (folder / "a.txt").read_text()
    assert (folder / "sub" / "b.txt").read_text() == text * 2
    return text


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        check_folder(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_written_replaced_and_leaves_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "x"
    for text in ("one", "two", "three"):
        write(folder, text)
        assert read(folder) == text
        assert [p.name for p in folder.parent.iterdir()] == ["x"]


def test_an_exception_leaves_the_old_folder(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "x", Kind.MODEL, overwrite=True) as temporary:
            (temporary / "a.txt").write_text("half")
            raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        fail()
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "x", "old")
    with pytest.raises(KeyError, match="inside"):
        fail()
    assert read(tmp_path / "x") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def _write_and_die(folder: Path, calls: int, without_swap: bool) -> None:
    """Die without any clean-up at the ``calls``-th system call that changes the disk."""
    left = calls

    def dying(real: Callable) -> Callable:
        def call(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(9)
            return real(*arguments, **options)

        return call

    os.fsync, os.rename = dying(os.fsync), dying(os.rename)
    writing._swap = dying(lambda *_: False) if without_swap else dying(writing._swap)
    shutil.rmtree = dying(shutil.rmtree)
    write(folder, "new")
    os._exit(0)


@pytest.mark.parametrize("without_swap", [False, True])
@pytest.mark.parametrize("old", [None, "old"])
def test_a_crash_at_any_moment_leaves_the_old_folder_or_the_new_one(
    tmp_path: Path, old: str | None, without_swap: bool
) -> None:
    folder = tmp_path / "x"
    fork = multiprocessing.get_context("fork")
    seen, finished = [], False
    for calls in range(1, 40):
        if folder.exists():
            shutil.rmtree(folder)
        if old:
            write(folder, old)
        child = fork.Process(target=_write_and_die, args=(folder, calls, without_swap))
        child.start()
        child.join()
        if without_swap and old and not folder.exists():
            # Between two renames there is neither; what was there is beside it, and comes back.
            assert "was being replaced when the machine stopped" in refused(folder)
            put_back(folder)
        seen.append(read(folder))
        if finished := child.exitcode == 0:
            break
    assert finished
    assert len(seen) > 5
    assert set(seen) == {old, "new"}
    assert seen == sorted(seen, key=lambda text: text == "new")
    write(folder, "again")
    assert read(folder) == "again"
    assert [p.name for p in tmp_path.iterdir()] == ["x"], "what the crashes left is removed"


def put_back(folder: Path) -> None:
    """What the next write does first, before it fails."""
    with (
        pytest.raises(KeyError),
        atomic_folder(folder, Kind.MODEL, overwrite=True),
    ):
        raise KeyError


def test_without_a_swap_two_renames_replace_a_folder(tmp_path: Path) -> None:
    with mock.patch.object(writing, "_swap", return_value=False):
        for text in ("one", "two"):
            write(tmp_path / "x", text)
            assert read(tmp_path / "x") == text
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_one_flipped_bit_anywhere_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    write(folder, "some text")
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        whole = path.read_bytes()
        for place in range(len(whole)):
            for bit in (place % 8, (place + 3) % 8):
                damaged = bytearray(whole)
                damaged[place] ^= 1 << bit
                path.write_bytes(damaged)
                assert refused(folder)
        path.write_bytes(whole)
        check_folder(folder)


def test_missing_shortened_and_lengthened_files_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    write(folder, "some text")
    for name in ("a.txt", "sub/b.txt"):
        path = folder / name
        whole = path.read_bytes()
        for content in (whole[:-1], b"", whole + b"\n"):
            path.write_bytes(content)
            assert f"has {len(content)} bytes instead of {len(whole)}" in refused(folder)
        path.unlink()
        assert f"{path} is missing" in refused(folder)
        path.mkdir()
        assert f"{path} is missing" in refused(folder)
        path.rmdir()
        path.write_bytes(whole)
    (folder / MANIFEST).unlink()
    assert f"no {MANIFEST}" in refused(folder)


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "none")
    for name in ("model.bin", "model.pt", "model.pkl"):
        (tmp_path / name).write_bytes(b"\x80\x04N.")
        assert "a pickle, which is never read" in refused(tmp_path / name)
        folder = tmp_path / f"with-{name}"
        folder.mkdir()
        (folder / name).write_bytes(b"\x80\x04N.")
        assert f"holds {name}, a pickle, which is never read" in refused(folder)
    (tmp_path / "notes.txt").write_text("hello")
    assert "is a file" in refused(tmp_path / "notes.txt")


@pytest.fixture
def small_disk(disk_of: Callable[[int], Path]) -> Path:
    """A disk of 8 MiB."""
    return disk_of(8)


def test_a_full_disk_leaves_the_old_checkpoint_whatever_file_it_hits(small_disk: Path) -> None:
    codec = tiny_codec()
    model = tiny_model(codec, reduction_factor=16, task_embedding_dim=4, projector_hidden_dim=8)
    other = tiny_model(
        codec, seed=1, reduction_factor=16, task_embedding_dim=4, projector_hidden_dim=8
    )
    folder, fill = small_disk / "x", small_disk / "fill"
    save_checkpoint(folder, model, codec)
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST]
    failures = set()
    room = 0
    for file in sorted(files, key=lambda p: p.stat().st_mtime_ns):  # the order of writing
        page = os.statvfs(small_disk).f_bsize
        fill.write_bytes(bytes((os.statvfs(small_disk).f_bavail - room) * page))
        with pytest.raises(CheckpointError, match=f"the disk is full: {folder} was not") as caught:
            save_checkpoint(folder, other, codec, overwrite=True)
        failures.add(type(caught.value.__cause__).__name__)
        fill.unlink()
        assert [p.name for p in small_disk.iterdir()] == ["x"]
        room += -(-file.stat().st_size // page)
    kept = load_checkpoint(folder).model.state_dict()
    assert all(kept[name].equal(value) for name, value in model.state_dict().items())
    assert failures == {"OSError", "SafetensorError", "Exception"}
    save_checkpoint(folder, other, codec, overwrite=True)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES])
def test_a_failed_write_is_a_checkpoint_error(tmp_path: Path, number: int) -> None:
    write(tmp_path / "x", "old")
    failure = OSError(number, os.strerror(number))
    said = "cannot be written: Permission" if number == errno.EACCES else "the disk is full"
    with (
        mock.patch.object(os, "fsync", side_effect=failure),
        pytest.raises(CheckpointError, match=said),
    ):
        write(tmp_path / "x", "new")
    assert read(tmp_path / "x") == "old"
    (tmp_path / "f").write_text("old")
    with (
        mock.patch.object(os, "fsync", side_effect=failure),
        pytest.raises(CheckpointError, match=said),
    ):
        write_text(tmp_path / "f", "new")
    assert (tmp_path / "f").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f", "x"]
