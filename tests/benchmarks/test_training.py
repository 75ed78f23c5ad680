"""The benchmark of training: contenders are what they are called, on the same sentences."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hyperloader.benchmarks import training as benchmark_training
from hyperloader.benchmarks.models import planted_model
from hyperloader.benchmarks.training import (
    CONTENDERS,
    FREE,
    OURS,
    drawn_batches,
    measure_training,
    step_cost,
)
from hyperloader.cli.benchmark import app
from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import ConfigError
from hyperloader.modeling.methods import METHODS

LABELS = {"one": ("name", "place"), "two": ("date",)}


def test_free_modules_are_those_that_hyperloader_generates() -> None:
    free, _ = planted_model("tiny", LABELS, method=FREE)
    assert FREE.name not in METHODS
    ours, _ = planted_model("tiny", LABELS)
    ids = ours.task_ids(["one", "two"])
    theirs, generated = free.weights(ids), ours.weights(ids)
    assert theirs.keys() == generated.keys()
    # tiny: an adapter after both sublayers, LoRA on q and v of self- and cross-attention.
    assert len(theirs) == 2 * (2 + 2) + 2 * (2 + 4)
    for site, weights in generated.items():
        for name, value in weights._asdict().items():
            other = getattr(theirs[site], name)
            assert (value is None) == (other is None)
            assert value is None or value.shape[1:] == other.shape[1:]


def test_batches_are_of_one_task_and_the_same_for_all(shared: Path) -> None:
    corpora = load_corpora(shared / "data" / "labelled", ["restaurant", "snips"])
    labels = {name: corpus.labels() for name, corpus in corpora.items()}
    drawn = []
    for method in ("hyperloader", "full"):
        _, codec = planted_model("tiny", labels, method=method)
        drawn.append(drawn_batches(codec, corpora, 4, 3))
    for batches in drawn:
        assert [{w.task for w in b} for b in batches] == [{"restaurant"}, {"snips"}, {"restaurant"}]
        assert [len(b) for b in batches] == [4, 4, 4]
    ours, full = ([w for b in batches for w in b] for batches in drawn)
    assert [w.target for w in ours] == [w.target for w in full]
    # Full fine-tuning names the task in the source, HyperLoader need not.
    assert all(f.source[-len(o.source) :] == o.source for o, f in zip(ours, full, strict=True))
    assert len(full[0].source) > len(ours[0].source)


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda c: c.name)
def test_every_contender_makes_steps(contender: benchmark_training.Trained) -> None:
    cost, words = step_cost(contender, "tiny", None, 4, 2, "cpu")
    assert cost.seconds > 0
    assert words > 5
    assert (cost.trained == cost.total) == (contender.method == "full")


@pytest.mark.slow
def test_the_command_compares_with_hyperloader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = tuple(c for c in CONTENDERS if c.loss == "decisions" and c.method != FREE.name)
    monkeypatch.setattr(measure_training, "__kwdefaults__", {
        **measure_training.__kwdefaults__, "contenders": chosen
    })  # fmt: skip
    numbers = tmp_path / "step.json"
    command = ["train", "--shape", "tiny", "--batch", "4", "--repeats", "1"]
    done = CliRunner().invoke(app, [*command, "--json", str(numbers)])
    assert done.exit_code == 0, done.output
    (backbone,) = json.loads(numbers.read_text())["backbones"]
    assert backbone["time"][OURS] == 1
    assert backbone["time"].keys() == {c.name for c in chosen}
    # Full fine-tuning holds gradients and two moments of every weight, embeddings included.
    full = next(cost for cost in backbone["costs"] if cost["name"].startswith("full"))
    assert full["memory"] is None or full["memory"] > 3 * 4 * full["trained"] * 0.9
    assert not backbone["memory"] or backbone["memory"][full["name"]] > 1


def test_an_unknown_shape_is_said() -> None:
    with pytest.raises(ConfigError, match="did you mean 't5-small'"):
        measure_training(shapes=("t5-smal",))
