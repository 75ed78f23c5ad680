"""No code runs from a checkpoint or a backbone, and no word in one leads elsewhere unasked."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers import tiny_backbone, tiny_codec, tiny_model
from hyperloader import trust
from hyperloader.backbones.loading import load_backbone, load_tokenizer, meta_backbone
from hyperloader.checkpoint import load_checkpoint, save_checkpoint, write_checkpoint
from hyperloader.errors import CheckpointError, ConfigError, HyperloaderError
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.store import Kind, atomic_folder, check_folder, file_hash
from training_helpers import cli, refused, settings, write_data

CODEC = tiny_codec()
CODE = 'open({canary!r}, "w").write("it ran")\nclass Mine:\n    pass\n'
AUTO_MAP = {"AutoConfig": "mine.Mine", "AutoModelForSeq2SeqLM": "mine.Mine"}


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that is there only if code has run."""
    return tmp_path / "canary"


@pytest.fixture
def backbone(tmp_path: Path, canary: Path) -> Path:
    """A backbone with its tokenizer, and a module that wants to be run."""
    folder = tmp_path / "t5"
    tiny_backbone(CODEC).save_pretrained(folder)
    CODEC.tokenizer.save_pretrained(folder)
    (folder / "mine.py").write_text(CODE.format(canary=str(canary)))
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, tiny_model(CODEC), CODEC)
    return folder


def change(path: Path, **values: Any) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **values}))


def sealed(folder: Path) -> Path:
    """``folder`` with a manifest of what it now holds, as whoever changed it would write one."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"]
    entries = {
        p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": file_hash(p)}
        for p in files
    }
    (folder / "manifest.json").write_text(json.dumps({"kind": "checkpoint", "files": entries}))
    return folder


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        ("config.json", {"auto_map": AUTO_MAP}, "auto_map"),
        ("config.json", {"auto_map": AUTO_MAP, "model_type": "mine"}, "auto_map"),
        ("config.json", {"text_config": {"auto_map": AUTO_MAP}}, "auto_map"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["mine.Mine", None]}}, "auto_map"),
        ("tokenizer_config.json", {"tokenizer_class": "Mine"}, "unknown tokenizer 'Mine'"),
        ("config.json", {"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
        ("config.json", {"_attn_implementation": "somebody/kernel"}, "attention by"),
        ("adapter_config.json", {"base_model_name_or_path": "/elsewhere"}, "holds an adapter"),
        ("config.json", {"num_layers": 10**9}, "num_layers cannot be"),
        ("config.json", {"d_model": -1}, "d_model cannot be"),
        ("config.json", {"n_layers": 10**9}, "n_layers cannot be"),
        ("config.json", {"hidden_dim": 10**9}, "hidden_dim cannot be"),
        ("config.json", {"position_buckets": 10**9}, "position_buckets cannot be"),
        ("config.json", {"max_relative_positions": -2}, "max_relative_positions cannot be"),
    ],
)
def test_a_backbone_that_asks_for_more_than_data_is_refused(
    backbone: Path, canary: Path, file: str, values: dict[str, Any], said: str
) -> None:
    change(backbone / file, **values)
    name = str(backbone)
    loads: list[Callable[[str], Any]] = [load_tokenizer]
    if file != "tokenizer_config.json":
        loads += [load_backbone, meta_backbone]
    for load in loads:
        with pytest.raises(HyperloaderError, match=said) as caught:
            load(name)
        assert "\n" not in str(caught.value)
    assert not canary.exists()


def test_text_on_standard_input_is_no_answer(backbone: Path, canary: Path, tmp_path: Path) -> None:
    change(backbone / "config.json", auto_map=AUTO_MAP)
    data, yes = write_data(tmp_path / "data"), b"yes please\n" * 3
    options = ("--data", data, "--out", tmp_path / "out", *settings(), "--backbone", backbone)
    assert "auto_map" in refused("train", *options, stdin=yes)
    assert "auto_map" in str(cli("methods", "--backbone", backbone, stdin=yes))
    assert not canary.exists()


@pytest.mark.parametrize("place", ["config.json", "tokenizer/tokenizer_config.json"])
def test_a_checkpoint_with_code_is_refused(checkpoint: Path, canary: Path, place: str) -> None:
    for folder in (checkpoint, checkpoint / "tokenizer"):
        (folder / "mine.py").write_text(CODE.format(canary=str(canary)))
    content = json.loads((checkpoint / place).read_text())
    code = {"AutoTokenizer": ["mine.Mine", None], **AUTO_MAP}
    if place == "config.json":
        content["backbone"]["config"]["auto_map"] = code
    content["auto_map"] = code
    (checkpoint / place).write_text(json.dumps(content))
    sealed(checkpoint)
    for tagging_only in (True, False):
        with pytest.raises(CheckpointError, match="auto_map"):
            load_checkpoint(checkpoint, tagging_only=tagging_only)
    said = refused("tag", checkpoint, "--task", "music", stdin=b"y\nyes\n")
    assert "auto_map" in said
    assert "auto_map" in refused("export", checkpoint, checkpoint.parent / "out", stdin=b"y\n")
    assert not canary.exists()


def named(folder: Path, backbone: str) -> Path:
    """A checkpoint that names a backbone by its path."""
    model = TaggingModel(load_backbone(backbone), ModelConfig(tasks=tuple(CODEC.labels)), backbone)
    with atomic_folder(folder, Kind.CHECKPOINT) as temporary:
        write_checkpoint(temporary, model, CODEC)
    return folder


def test_a_path_is_followed_only_where_the_user_has_said_it(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "_told", set())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(backbone)
    for name in (str(backbone), "t5", "./t5", "x/../t5", "link", f"{tmp_path}/x/../t5"):
        (tmp_path / "x").mkdir(exist_ok=True)
        folder = named(tmp_path / "checkpoint", name)
        with pytest.raises(CheckpointError, match="names a backbone outside of itself") as caught:
            load_checkpoint(folder)
        assert "--trust-backbone" in str(caught.value)
        shutil.rmtree(folder)
    folder = named(tmp_path / "checkpoint", str(backbone))
    with monkeypatch.context() as patch:
        patch.setenv("HYPERLOADER_TRUST_BACKBONE", os.pathsep.join(["/elsewhere", str(backbone)]))
        load_checkpoint(folder)
    with pytest.raises(CheckpointError, match="outside of itself"):
        load_checkpoint(folder)
    told = cli("--trust-backbone", backbone, "tasks", folder)
    assert told.code == 0, told.err
    load_checkpoint(folder)  # said in this process


def test_a_run_may_name_the_backbone_that_it_was_started_with(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "_told", set())
    folder = named(tmp_path / "run" / "checkpoints" / "step-00000000", str(backbone))
    (tmp_path / "run" / "run.yaml").write_text(f"recipe: {{backbone: {backbone}}}\n")
    load_checkpoint(folder)
    for other in (f"{{backbone: {backbone}x}}", "[]", "5", "[" * 100_000):
        (tmp_path / "run" / "run.yaml").write_text(f"recipe: {other}\n")
        with pytest.raises(CheckpointError, match="outside of itself"):
            load_checkpoint(folder)
    (tmp_path / "run" / "run.yaml").write_text(f"recipe: {{backbone: {backbone}}}\n")
    moved = folder.rename(tmp_path / "run" / "step-00000000")
    with pytest.raises(CheckpointError, match="outside of itself"):
        load_checkpoint(moved)


def test_the_name_of_a_backbone_is_text(checkpoint: Path) -> None:
    about = json.loads((checkpoint / "config.json").read_text())["backbone"]
    assert about["whole"]
    change(checkpoint / "config.json", backbone={**about, "name": 0.5})
    with pytest.raises(CheckpointError, match="a backbone's name is text"):
        load_checkpoint(sealed(checkpoint))


def test_names_that_are_no_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "builtin").mkdir()
    for name in ("builtin", "minilm", "t5-small", "google-t5/t5-base", "org_1/a.b-c"):
        assert trust.followed(name, tmp_path) == name
    (tmp_path / "google-t5" / "t5-base").mkdir(parents=True)
    paths = (
        "google-t5/t5-base",
        "/a",
        "a/b/c",
        "../a",
        "a/..",
        "~/a",
        "a\\b",
        "\\\\host\\a",
        "//h/a",
    )
    for name in (*paths, "", "a\0b", "a\nb"):
        with pytest.raises(CheckpointError) as caught:
            trust.followed(name, tmp_path)
        assert "\n" not in str(caught.value)


def test_what_is_saved_elsewhere_needs_no_path(backbone: Path, tmp_path: Path) -> None:
    model = TaggingModel(
        load_backbone(str(backbone)), ModelConfig(tasks=tuple(CODEC.labels)), str(backbone)
    )
    save_checkpoint(tmp_path / "saved", model, CODEC)
    shutil.rmtree(backbone)
    load_checkpoint(tmp_path / "saved")


# Integrity


def test_a_manifest_lists_all_that_is_loaded(checkpoint: Path) -> None:
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    assert manifest["kind"] == "checkpoint"
    for name in manifest["files"]:
        less = {key: entry for key, entry in manifest["files"].items() if key != name}
        for content in ({"kind": "checkpoint", "files": less}, less):
            (checkpoint / "manifest.json").write_text(json.dumps(content))
            with pytest.raises(CheckpointError, match=f"does not list {name}"):
                load_checkpoint(checkpoint)
    for content in ({}, {"kind": "checkpoint", "files": {}}, [], {"kind": "house", "files": less}):
        (checkpoint / "manifest.json").write_text(json.dumps(content))
        with pytest.raises(CheckpointError, match="manifest"):
            load_checkpoint(checkpoint)
    (checkpoint / "manifest.json").write_text(json.dumps(manifest["files"]))  # as it once was
    load_checkpoint(checkpoint)


def test_a_manifest_names_nothing_outside(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    entry = {"bytes": 1, "sha256": file_hash(tmp_path / "secret")}
    for name in ("../secret", str(tmp_path / "secret"), "tokenizer/../../secret", ".", ""):
        files = {**manifest["files"], name: entry}
        (checkpoint / "manifest.json").write_text(json.dumps({**manifest, "files": files}))
        with pytest.raises(CheckpointError, match="which lies outside"):
            check_folder(checkpoint)
    (checkpoint / "notes.txt").symlink_to(tmp_path / "secret")
    files = {**manifest["files"], "notes.txt": entry}
    (checkpoint / "manifest.json").write_text(json.dumps({**manifest, "files": files}))
    with pytest.raises(CheckpointError, match="is a symbolic link"):
        check_folder(checkpoint)


@pytest.mark.parametrize(
    "content", [b"[" * 200_000, b'{"a":' * 100_000, b"{" + b" " * (17 << 20), b"\xff", b"5", b""]
)
def test_json_is_bounded_in_size_and_depth(checkpoint: Path, content: bytes) -> None:
    for name in ("manifest.json", "config.json", "codec.json", "calibration.json"):
        shutil.copytree(checkpoint, checkpoint.parent / "copy")
        (checkpoint.parent / "copy" / name).write_bytes(content)
        if name != "manifest.json":
            sealed(checkpoint.parent / "copy")
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(checkpoint.parent / "copy")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
        shutil.rmtree(checkpoint.parent / "copy")


def test_devices_and_pipes_are_not_read(checkpoint: Path) -> None:
    for name in ("manifest.json", "config.json", "tokenizer/tokenizer.json"):
        whole = (checkpoint / name).read_bytes()
        for make in (lambda p: os.mkfifo(p), lambda p: p.symlink_to("/dev/zero"), Path.mkdir):
            (checkpoint / name).unlink()
            make(checkpoint / name)
            with pytest.raises(CheckpointError):
                load_checkpoint(checkpoint)
            shutil.rmtree(checkpoint / name) if (checkpoint / name).is_dir() else (
                checkpoint / name
            ).unlink()
            (checkpoint / name).write_bytes(whole)
    load_checkpoint(checkpoint)


def test_a_file_that_may_not_be_read_is_one_line(checkpoint: Path) -> None:
    if os.geteuid() != 0:
        (checkpoint / "model.safetensors").chmod(0)
        with pytest.raises(CheckpointError, match="cannot be read: Permission denied"):
            load_checkpoint(checkpoint)
        return
    os.chmod(checkpoint.parent, 0o755)
    (checkpoint / "model.safetensors").chmod(0)
    child = os.fork()
    if child == 0:  # as somebody whom permissions bind
        try:
            for parent in checkpoint.parents:
                os.chmod(parent, os.stat(parent).st_mode | 0o055)
            os.setuid(65534)
            check_folder(checkpoint)
        except CheckpointError as error:
            os._exit(7 if "cannot be read: Permission denied" in str(error) else 8)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_hashes_are_computed_once_per_load(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hyperloader.store import manifest

    seen: list[str] = []

    def counted(path: Path) -> str:
        seen.append(path.name)
        return file_hash(path)

    monkeypatch.setattr(manifest, "file_hash", counted)
    load_checkpoint(checkpoint, tagging_only=True)
    assert sorted(seen) == sorted(set(seen))
    assert "model.safetensors" in seen


def test_weights_that_are_no_numbers_are_refused(checkpoint: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    whole = load_file(checkpoint / "model.safetensors")
    name = next(iter(whole))
    for value in (float("nan"), float("inf")):
        tensors = {key: tensor.clone() for key, tensor in whole.items()}
        tensors[name].view(-1)[0] = value
        save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(CheckpointError, match="that are no numbers"):
            load_checkpoint(sealed(checkpoint))
    tensors = {**whole, name: torch.zeros(whole[name].shape, dtype=torch.int64)}
    save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError):
        load_checkpoint(sealed(checkpoint))


def test_a_tokenizer_without_its_parts_is_one_line(checkpoint: Path) -> None:
    for names in (["tokenizer.json"], ["tokenizer_config.json"], ["tokenizer.json"] * 2):
        copy = Path(shutil.copytree(checkpoint, checkpoint.parent / "copy"))
        for name in set(names):
            (copy / "tokenizer" / name).unlink()
        if len(names) > 1:
            (copy / "tokenizer" / "tokenizer.json").write_text('{"model": 5}')
        for tagging_only in (True, False):
            with pytest.raises((CheckpointError, ConfigError)) as caught:
                load_checkpoint(sealed(copy), tagging_only=tagging_only)
            assert "\n" not in str(caught.value)
        shutil.rmtree(copy)
