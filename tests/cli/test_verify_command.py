"""``hyperloader verify`` and ``hyperloader methods``: what they print and the exit codes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from hyperloader.cli.methods import methods
from hyperloader.cli.verify import verify
from hyperloader.errors import CheckpointError, ConfigError, HyperloaderError

torch.set_num_threads(1)  # models this small are slower on several

app = typer.Typer()
app.command()(verify)
app.command()(methods)


def call(*args: object) -> Result:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if isinstance(result.exception, HyperloaderError):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "reference" / "golden"


@pytest.fixture
def off_by_a_bit(golden: Path, tmp_path: Path) -> Path:
    name = "golden_hyperformer_pp.safetensors"
    with safe_open(golden / name, "pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    tensors["loss.movie"] = tensors["loss.movie"] + 0.001
    tensors["logits.movie"] = tensors["logits.movie"] * torch.nan
    save_file(tensors, tmp_path / name, metadata)
    return tmp_path / name


def test_matching_files_pass_and_missing_methods_are_said(golden: Path) -> None:
    result = call("verify", golden)
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split()[1:] for line in result.output.splitlines() if line}
    assert rows["hyperloader"][4] == rows["hyperformer_pp"][4] == "pass"
    assert all(float(number) < 1e-4 for number in rows["hyperloader"][:3])
    assert rows["tolerance"] == ["1e-04", "1e-04", "1e-05", "1e-03"]
    assert "FAIL" not in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_a_difference_is_shown_and_fails(golden: Path, off_by_a_bit: Path) -> None:
    result = call("verify", golden / "golden_hyperloader.safetensors", off_by_a_bit)
    assert result.exit_code == 1
    (row,) = (line.split() for line in result.output.splitlines() if "FAIL" in line)
    assert row[:3] == ["hyperformer_pp", "inf", "1.0e-03"]


def test_json_says_the_same(golden: Path, off_by_a_bit: Path) -> None:
    result = call("verify", "--json", off_by_a_bit)
    assert result.exit_code == 1
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    assert document["passed"] is False
    assert document["tolerances"]["gradients"] == 1e-3
    (file,) = document["files"]
    assert (file["method"], file["outcome"]) == ("hyperformer_pp", "fail")
    assert file["differences"]["logits"] is None
    assert file["differences"]["loss"] == pytest.approx(1e-3, abs=1e-4)
    assert json.loads(call("verify", "--json", golden).stdout)["passed"] is True


def test_nothing_compared_is_no_success(golden: Path, tmp_path: Path) -> None:
    other = tmp_path / "golden_something_else.safetensors"
    shutil.copy(golden / "golden_hyperloader.safetensors", other)
    result = call("verify", other)
    assert result.exit_code == 1
    assert "something_else" in result.output
    assert "no such method here yet" in result.output
    assert "nothing was compared" in result.output
    assert call("verify", other, golden / "golden_hyperloader.safetensors").exit_code == 0


def test_unusable_paths_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no golden_"):
        call("verify", tmp_path)


def test_methods_have_the_published_counts() -> None:
    document = json.loads(call("methods", "--json").stdout)
    counts = {
        (row["method"], *row["settings"].values()): (row["trainable"], row["total"])
        for row in document["methods"]
    }
    published = {
        ("hyperloader",): (6_784_368, 229_640_304),
        ("hyperloader", 512): (6_902_192, 229_758_128),
        ("hyperloader", 16): (8_357_232, 231_213_168),
        ("hyperloader", "per_place"): (11_502_960, 234_358_896),
        ("hyperformer++",): (5_210_992, 228_066_928),
        ("hyperformer",): (10_289_312, 233_145_248),
    }
    assert published.items() <= counts.items()
    first = document["methods"][0]
    assert first["percent"] == 2.95
    assert first["attached"] == {
        "adapter": ["feed_forward", "self_attention"],
        "lora": ["self_query", "self_value", "cross_query", "cross_value"],
    }


def test_methods_table_fits_a_terminal() -> None:
    output = call("methods", "--backbone", "t5-small", "--tasks", 3).output
    assert "lora at self_query, self_value, cross_query, cross_value" in output
    assert max(map(len, output.splitlines())) <= 80
    rows = [line.split() for line in output.splitlines()[1:]]
    assert [row[0] for row in rows if row[0] == "hyperformer++"] == ["hyperformer++"]


def test_an_unusable_backbone_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"known: t5-small, t5-base, .* no folder with a conf"):
        call("methods", "--backbone", tmp_path)


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys, hyperloader.cli.verify, hyperloader.cli.methods; "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
