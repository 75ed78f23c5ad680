"""What lies where a command is told to write is never lost."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers import tiny_codec, tiny_model
from hyperloader.checkpoint import save_checkpoint
from hyperloader.errors import HyperloaderError, TargetError
from hyperloader.pretraining.prepared import prepare
from hyperloader.store import (
    MANIFEST,
    Kind,
    atomic_folder,
    claim_file,
    claim_target,
    remove_checkpoints,
    write_text,
)
from hyperloader.tagger import Tagger
from pretraining_helpers import recipe
from training_helpers import cli, refused, settings, write_data


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every name below ``folder`` with the file's bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def made(folder: Path, kind: Kind = Kind.CHECKPOINT) -> Path:
    with atomic_folder(folder, kind) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "a.txt").write_text("ours")
    return folder


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder of the user's, as in the report."""
    folder = tmp_path / "theirs"
    (folder / "sub").mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    (folder / "sub" / "x.csv").write_text("a,b\n")
    return folder


def test_new_and_empty_places_may_be_written(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "deep/er/new", "empty", "with space/ü"):
        assert claim_target(tmp_path / name, Kind.CHECKPOINT) == tmp_path / name
        made(tmp_path / name)
    assert claim_file(tmp_path / "scores.json") == tmp_path / "scores.json"


def test_our_own_is_replaced_only_when_told_so(tmp_path: Path) -> None:
    folder = made(tmp_path / "x")
    with pytest.raises(TargetError, match="holds a checkpoint already"):
        claim_target(folder, Kind.CHECKPOINT)
    assert claim_target(folder, Kind.CHECKPOINT, overwrite=True) == folder
    for kind in (Kind.MODEL, Kind.BACKBONE, Kind.PREPARED):
        with pytest.raises(TargetError, match=f"is not replaced by a {kind}"):
            claim_target(folder, kind, overwrite=True)
    (folder / "sub" / "notes.md").write_text("mine")
    with pytest.raises(TargetError, match=r"also holds sub/notes\.md"):
        claim_target(folder, Kind.CHECKPOINT, overwrite=True)
    (folder / "sub" / "notes.md").unlink()
    (folder / MANIFEST).write_text("{")
    with pytest.raises(HyperloaderError, match="not valid JSON"):
        claim_target(folder, Kind.CHECKPOINT, overwrite=True)


def bad_places(theirs: Path) -> Iterator[Path]:
    root = theirs.parent
    (root / "link").symlink_to(theirs, target_is_directory=True)
    (root / "to-nothing").symlink_to(root / "nothing")
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe")
    yield from (theirs, theirs / "sub" / "..", theirs / "thesis.txt", theirs / "thesis.txt" / "x")
    yield from (root / "link", root / "to-nothing", root / "loop", root / "loop" / "x")
    yield from (root / "pipe", root, Path("/"), Path("/proc"), Path("/dev/null"), Path("/dev"))
    yield Path("a\0b")


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_else_is_ever_claimed(theirs: Path, overwrite: bool) -> None:
    before = contents(theirs)
    for place in bad_places(theirs):
        with pytest.raises(TargetError) as caught:
            claim_target(place, Kind.CHECKPOINT, overwrite=overwrite)
        assert "\n" not in str(caught.value)
        with (
            pytest.raises(TargetError),
            atomic_folder(place, Kind.CHECKPOINT, overwrite=overwrite),
        ):
            raise AssertionError("the work must not begin")
    assert contents(theirs) == before


def test_the_working_folder_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (".", "", "./", "../" + tmp_path.name):
        with pytest.raises(TargetError, match="the folder you are in"):
            claim_target(name, Kind.CHECKPOINT)
    assert claim_target("x", Kind.CHECKPOINT) == tmp_path / "x"


def test_a_source_and_what_holds_it_are_refused(tmp_path: Path) -> None:
    source = made(tmp_path / "deep" / "er" / "source")
    (tmp_path / "link").symlink_to(source)
    for place, said in ((source, "is"), (source / ".." / "source", "is"), (source.parent, "holds")):
        for read in (source, tmp_path / "link"):
            with pytest.raises(TargetError, match=f"{said} .*, which is being read"):
                claim_target(place, Kind.CHECKPOINT, overwrite=True, sources=[read])


def test_nothing_is_written_into_a_folder_that_would_not_load_with_it(tmp_path: Path) -> None:
    tagger = made(tmp_path / "tagger")
    for place in (tagger / "new", tagger / "sub" / "new"):
        for claim in (claim_file, lambda path: claim_target(path, Kind.TASK)):
            with pytest.raises(TargetError, match="tagger, a checkpoint that could not be read"):
                claim(place)
    (tmp_path / "website").mkdir()
    (tmp_path / "website" / MANIFEST).write_text('{"name": "a site", "icons": []}')
    assert claim_file(tmp_path / "website" / "scores.json")


def test_what_arrives_during_the_work_is_kept(tmp_path: Path) -> None:
    folder = made(tmp_path / "x")
    with (
        pytest.raises(TargetError, match="also holds late"),
        atomic_folder(folder, Kind.CHECKPOINT, overwrite=True),
    ):
        (folder / "late").write_text("mine")
    assert (folder / "late").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_mount_point_is_not_replaced(disk_of: Callable[[int], Path]) -> None:
    disk = disk_of(1)
    with pytest.raises(TargetError, match="is a mount point; name a new folder inside it"):
        claim_target(disk, Kind.CHECKPOINT)
    assert claim_target(disk / "x", Kind.CHECKPOINT) == disk / "x"


def test_a_report_is_replaced_and_no_other_file(theirs: Path) -> None:
    places = (theirs, Path("/dev/null"), Path("/dev/stdout"), theirs / "thesis.txt" / "x")
    for place in (theirs / "thesis.txt", *places):
        with pytest.raises(TargetError):
            claim_file(place)
    for content in ("", '{"tasks": 1}', "<!DOCTYPE html>", '<?xml version="1.0"?>'):
        (theirs / "report").write_text(content)
        assert claim_file(theirs / "report") == theirs / "report"
    with pytest.raises(HyperloaderError, match="no regular file"):
        write_text(Path("/dev/null"), "not here")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_only_step_folders_are_removed(tmp_path: Path) -> None:
    names = ("step-00000001", "step-00000002", ".step-00000003.hyperloader-new")
    others = ("bert-large", "step-1", "step-000000011", ".thesis.hyperloader-new", "step-x")
    for name in (*names, *others):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.txt").write_text("mine")
    (tmp_path / "step-00000009").write_text("a file")
    (tmp_path / "step-00000008").symlink_to(tmp_path / "bert-large")
    remove_checkpoints(tmp_path, keep={"step-00000002"})
    left = {*others, "step-00000002", "step-00000008", "step-00000009"}
    assert {p.name for p in tmp_path.iterdir()} == left
    assert (tmp_path / "bert-large" / "weights.txt").read_text() == "mine"


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_get_the_permissions_of_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    codec = tiny_codec()
    before = os.umask(mask)
    try:
        save_checkpoint(tmp_path / "x", tiny_model(codec), codec)
    finally:
        os.umask(before)
    files = [p for p in (tmp_path / "x").rglob("*") if p.is_file()]
    assert {p.name for p in files} >= {"model.safetensors", "config.json", "tokenizer.json"}
    assert {stat.S_IMODE(p.stat().st_mode) for p in files} == {mode}


# The commands, each before any work


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    done = cli(
        *("train", "--data", write_data(folder / "data"), "--out", folder / "runs" / "a"),
        *settings(),
    )
    assert done.code == 0, done.err
    return folder / "runs" / "a"


def test_export_leaves_what_is_there(run: Path, theirs: Path, tmp_path: Path) -> None:
    (tmp_path / "afile").write_text("mine")
    before, kept = contents(theirs), contents(run.parent)
    for options in ((), ("--overwrite",)):
        assert "holds other files" in refused("export", run, theirs, *options)
        assert "which is being read" in refused("export", run, run, *options)
        assert "which is being read" in refused("export", run, run.parent, *options)
        assert "is a file" in refused("export", run, tmp_path / "afile", *options)
    assert contents(theirs) == before
    assert contents(run.parent) == kept
    assert cli("export", run, tmp_path / "exported").code == 0
    assert "holds a checkpoint already" in refused("export", run, tmp_path / "exported")
    assert cli("export", run, tmp_path / "exported", "--overwrite").code == 0


def test_a_tagger_is_not_saved_over_other_files(run: Path, theirs: Path, tmp_path: Path) -> None:
    tagger, before = Tagger.from_pretrained(run), contents(theirs)
    for overwrite in (False, True):
        with pytest.raises(TargetError, match="holds other files"):
            tagger.save_pretrained(theirs, overwrite=overwrite)
    assert contents(theirs) == before
    tagger.save_pretrained(tmp_path / "t")
    with pytest.raises(TargetError, match="overwrite=True"):
        tagger.save_pretrained(tmp_path / "t")
    tagger.save_pretrained(tmp_path / "t", overwrite=True)


def test_training_leaves_foreign_checkpoints(run: Path, tmp_path: Path) -> None:
    data = run.parent.parent / "data"
    mine = tmp_path / "project" / "checkpoints" / "bert-large" / "weights.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    said = refused("train", "--data", data, "--out", tmp_path / "project", *settings())
    assert "is not empty (it holds checkpoints)" in said
    assert "is not empty" in refused("train", "--data", data, "--out", data, *settings())
    assert mine.read_text() == "mine"
    out = Path(shutil.copytree(run, tmp_path / "copy"))
    (out / "checkpoints" / "bert-large").mkdir()
    shutil.rmtree(out / "checkpoints" / "step-00000006")
    assert cli("train", "--resume", out, "--data", data).code == 0
    assert (out / "checkpoints" / "bert-large").is_dir()


def test_pretraining_leaves_the_text(text: Path, theirs: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(text, tmp_path / "text"))
    before = contents(copy)
    for place in (copy, tmp_path):
        with pytest.raises(TargetError, match="which is being read"):
            prepare(copy, place, recipe())
    with pytest.raises(TargetError, match="holds other files"):
        prepare(copy, theirs, recipe())
    assert "is not empty" in refused("pretrain", "--text", copy, "--out", theirs)
    assert contents(copy) == before


def test_the_other_commands_leave_what_is_there(run: Path, theirs: Path) -> None:
    before = contents(theirs)
    assert "is not empty" in refused("quickstart", "--out", theirs)
    assert "already holds a run" in refused("quickstart", "--out", run)
    data = run.parent.parent / "data"
    kept = contents(data)
    for place in (data / "home", data, data.parent):
        said = refused("data", "convert", data / "home", place, "--to", "jsonl", "--force")
        assert "the source" in said
    assert contents(theirs) == before
    assert contents(data) == kept
