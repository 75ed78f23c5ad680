"""Parity with the published implementations, and that the comparison can fail."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from hyperloader.errors import CheckpointError
from hyperloader.modeling.methods import METHODS
from hyperloader.reproduction.golden import TOLERANCES, find_golden_files, verify_file

torch.set_num_threads(1)  # models this small are slower on several

HYPERNETWORKS = ("hyperloader", "hyperformer_pp")
FILES = {
    "hyperdecoder": "hyperdecoder",
    "hyperformer_pp": "hyperformer++",
    "hyperloader": "hyperloader",
    "unipelt_bert": "unipelt-bert",
    "unipelt_t5": "unipelt-t5",
}


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "reference" / "golden"


def rewrite(source: Path, target: Path, **changes: torch.Tensor | None) -> Path:
    """A copy of a golden file with tensors added to (named with _ for .), or taken out."""
    with safe_open(source, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, change in changes.items():
        if change is None:
            tensors = {key: t for key, t in tensors.items() if not key.startswith(name)}
        else:
            tensors[name] = tensors[name] + change
    save_file(tensors, target, metadata)
    return target


@pytest.mark.parametrize("name", FILES)
def test_published_implementations_are_matched(golden: Path, name: str) -> None:
    result = verify_file(golden / f"golden_{name}.safetensors")
    assert (result.file, result.method) == (f"golden_{name}.safetensors", name)
    assert result.differences is not None
    # Generated weights are in the files of the task hypernetworks only.
    without = set() if name in HYPERNETWORKS else {"generated"}
    assert result.differences.keys() == TOLERANCES.keys() - without
    assert result.passed


@pytest.mark.parametrize("name", HYPERNETWORKS)
@pytest.mark.parametrize(
    ("tensor", "kinds"),
    [
        ("logits.atis", {"logits"}),
        ("loss.snips", {"loss"}),
        ("generated.movie.decoder.1.self_attention.up.weight", {"generated"}),
        ("grad.decoder.adapter_layers_hyper_net.LayerNorm.bias", {"gradients"}),
        ("grad.encoder.final_layer_norm.weight", {"gradients"}),
        (
            "param.encoder.adapter_layers_hyper_net.task_hypernet.task_embeding_generator.2.bias",
            {"logits", "generated", "gradients"},
        ),
        ("param.decoder.block.1.layer.2.DenseReluDense.wo.weight", {"logits", "gradients"}),
    ],
)
@pytest.mark.parametrize("change", [0.01, float("nan")])
def test_a_changed_number_fails(
    golden: Path, tmp_path: Path, name: str, tensor: str, kinds: set[str], change: float
) -> None:
    file = f"golden_{name}.safetensors"
    with safe_open(golden / file, "pt") as content:
        delta = torch.zeros_like(content.get_tensor(tensor))
    delta.view(-1)[0] = change
    result = verify_file(rewrite(golden / file, tmp_path / file, **{tensor: delta}))
    assert not result.passed
    assert result.differences is not None
    failed = {k for k, worst in result.differences.items() if not worst <= TOLERANCES[k]}
    assert kinds <= failed
    if not tensor.startswith("param"):
        assert failed == kinds


_PREFIX = "encoder.layer.0.attention.self.prefix_tuning."
_CROSS, _SELF = "decoder.block.1.layer.1.EncDecAttention", "decoder.block.0.layer.0.SelfAttention"


@pytest.mark.parametrize(
    ("name", "tensor", "kinds"),
    [
        ("hyperdecoder", "logits", {"logits"}),
        ("hyperdecoder", "loss", {"loss"}),
        ("hyperdecoder", "grad.decoder.mlp.0.bias", {"gradients"}),
        ("hyperdecoder", "param.decoder.mlp.2.weight", {"logits", "gradients"}),
        ("hyperdecoder", "param.decoder.param_gen.decoder.weight_up.weight", {"logits"}),
        ("unipelt_t5", "logits", {"logits"}),
        (
            "unipelt_t5",
            "param.decoder.block.1.layer.1.EncDecAttention.v.loras.u.lora_B",
            {"logits"},
        ),
        ("unipelt_t5", "param.encoder.block.0.layer.1.adapters.u.adapter_up.bias", {"logits"}),
        (
            "unipelt_t5",
            "grad.decoder.block.0.layer.0.SelfAttention.q.loras.u.lora_A",
            {"gradients"},
        ),
        ("unipelt_bert", "last_hidden_state", {"logits"}),
        ("unipelt_bert", f"param.{_PREFIX}prefix_gates.u.bias", {"logits", "gradients"}),
        ("unipelt_bert", f"grad.{_PREFIX}prefix_gates.u.weight", {"gradients"}),
        ("unipelt_bert", "param.encoder.layer.1.output.adapters.u.gate.bias", {"logits"}),
        ("unipelt_bert", "param.encoder.layer.0.attention.self.key.bias", {"logits"}),
    ],
)
@pytest.mark.parametrize("change", [0.02, float("nan")])
def test_a_changed_number_of_the_other_methods_fails(
    golden: Path, tmp_path: Path, name: str, tensor: str, kinds: set[str], change: float
) -> None:
    file = f"golden_{name}.safetensors"
    with safe_open(golden / file, "pt") as content:
        delta = torch.zeros_like(content.get_tensor(tensor))
    delta.view(-1)[-1] = change
    result = verify_file(rewrite(golden / file, tmp_path / file, **{tensor: delta}))
    assert result.differences is not None
    failed = {k for k, worst in result.differences.items() if not worst <= TOLERANCES[k]}
    assert kinds <= failed
    if not tensor.startswith("param"):
        assert failed == kinds


def test_what_the_reference_never_uses_makes_no_difference(golden: Path, tmp_path: Path) -> None:
    """Hyperdecoders builds ordinary adapters in the decoder too and never runs them."""
    file = "golden_hyperdecoder.safetensors"
    unused = "param.decoder.block.0.layer.2.adapter_layer"
    assert verify_file(rewrite(golden / file, tmp_path / file, **{unused: None})).passed


@pytest.mark.parametrize(
    ("left_out", "named"),
    [
        ("generated.atis", r"generated\.atis"),
        ("logits", r"logits\.movie"),
        ("input_ids", "input_ids"),
        ("param.encoder.adapter", r"encoder\.adapter_layers_hyper_net"),
        ("param.shared", r"shared\.weight"),
    ],
)
def test_a_file_with_something_left_out_is_refused_not_passed(
    golden: Path, tmp_path: Path, left_out: str, named: str
) -> None:
    file = "golden_hyperloader.safetensors"
    with pytest.raises(CheckpointError, match=f"an incomplete golden file: it has no '{named}"):
        verify_file(rewrite(golden / file, tmp_path / file, **{left_out: None}))


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("hyperdecoder", "param.decoder.param_gen.layer_embed"),
        ("hyperdecoder", "grad.encoder.block.1.layer.1.adapter_layer"),
        ("unipelt_t5", "param.decoder.block.0.layer.1.EncDecAttention.q.loras"),
        ("unipelt_bert", f"param.{_PREFIX}pool"),
        ("unipelt_bert", "last_hidden_state"),
        ("unipelt_bert", "grad.encoder.layer.1.attention.self.query.loras.u.gate"),
    ],
)
def test_incomplete_files_of_the_other_methods_are_refused_too(
    golden: Path, tmp_path: Path, name: str, left_out: str
) -> None:
    file = f"golden_{name}.safetensors"
    with pytest.raises(CheckpointError, match="an incomplete golden file: it has no '"):
        verify_file(rewrite(golden / file, tmp_path / file, **{left_out: None}))


def test_a_gradient_without_a_counterpart_is_refused(golden: Path, tmp_path: Path) -> None:
    file = "golden_hyperloader.safetensors"
    with safe_open(golden / file, "pt") as content:
        metadata = content.metadata()
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    save_file({**tensors, "grad.lm_head.weight": torch.ones(2)}, tmp_path / file, metadata)
    with pytest.raises(CheckpointError, match=r"without a counterpart here: lm_head\.weight"):
        verify_file(tmp_path / file)


def test_every_golden_file_is_of_a_method_here(golden: Path, tmp_path: Path) -> None:
    files = find_golden_files([golden])
    assert [file.name for file in files] == [f"golden_{name}.safetensors" for name in FILES]
    assert set(FILES.values()) <= set(METHODS)
    result = verify_file(tmp_path / "golden_something_else.safetensors")
    assert (result.method, result.differences, result.passed) == ("something_else", None, False)


def test_unusable_paths_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="absent does not exist; give golden files"):
        find_golden_files([tmp_path / "absent"])
    with pytest.raises(CheckpointError, match=r"no golden_\*\.safetensors found"):
        find_golden_files([tmp_path])
    broken = tmp_path / "golden_hyperloader.safetensors"
    broken.write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match=r"golden_hyperloader\.safetensors is not a golden"):
        verify_file(broken)
    save_file({"x": torch.ones(1)}, broken)
    with pytest.raises(CheckpointError, match=r"golden_hyperloader\.safetensors is not a golden"):
        verify_file(broken)
