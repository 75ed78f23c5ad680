"""The worked example of docs/adding-a-method.md does what its text says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hyperloader.backbones.loading import meta_backbone
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import METHODS
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.tagger import Tagger
from training_helpers import cli, make_trainer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adding-a-method.md"


@pytest.fixture
def queries() -> Iterator[None]:
    """The example's method, for one test."""
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(example.splitlines()) < 40
    exec(compile(example, str(PAGE), "exec"), {})
    yield
    del METHODS["queries"]


@pytest.mark.usefixtures("queries")
def test_it_is_counted() -> None:
    with torch.device("meta"):
        config = ModelConfig(method="queries", tasks=("a", "b", "c"))
        model = TaggingModel(meta_backbone("t5-base"), config)
    adapters = 24 * (2 * 768 * 48 + 48 + 768)  # 12 + 12 layers, 768 / 16 wide
    lora = (24 + 12) * 2 * 8 * 768  # queries of self-attention, and of the decoder's cross
    norms = 24 * 2 * 768  # shared by the tasks
    assert model.parameter_counts()["trainable"] == 3 * (adapters + lora) + norms
    assert "queries: adapters after self-attention" in cli("methods", "--backbone", "t5-small").out


@pytest.mark.usefixtures("queries")
def test_it_trains_is_saved_and_tags(tmp_path: Path) -> None:
    trainer = make_trainer(
        tmp_path / "run",
        model={"method": "queries"},
        training={"steps": 2},
        validation={"every": 2},
    )
    trainer.train()
    tagger = Tagger.from_pretrained(tmp_path / "run")
    assert tagger.model.config.method == "queries"
    assert tagger.tag("a table for two at noon", "dining").words[-1] == "noon"
