"""The worked examples of docs/extending.md do what its text says."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AlbertConfig, AlbertModel

from bert_helpers import bert_tokenizer
from folders import ROOT
from helpers import methods_on, tiny_model
from hyperloader.backbones.bert.family import Bert
from hyperloader.backbones.loading import meta_backbone
from hyperloader.backbones.registry import FAMILIES, family_of
from hyperloader.corpora.formats import FORMATS
from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import ConfigError
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import METHODS
from hyperloader.modeling.modules.registry import KINDS
from hyperloader.tagger import Tagger
from training_helpers import cli, corpora, make_trainer, write_data

PAGE = ROOT / "docs" / "extending.md"


@pytest.fixture
def run_example() -> Iterator[Any]:
    """Runs the example under a heading; what it registers is gone after the test."""
    registries: list[dict[str, Any]] = [METHODS, KINDS, FAMILIES, FORMATS]
    before = [dict(registry) for registry in registries]

    def run(heading: str) -> None:
        (section,) = re.findall(
            rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
        )
        (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
        exec(compile(example, str(PAGE), "exec"), {"__name__": "example"})

    yield run
    for registry, content in zip(registries, before, strict=True):
        registry.clear()
        registry.update(content)


def test_a_method_is_counted_and_refused_twice(run_example: Any) -> None:
    run_example("A method")
    with torch.device("meta"):
        config = ModelConfig(method="queries", tasks=("a", "b", "c"))
        model = AttachedModel(meta_backbone("t5-base"), config)
    adapters = 24 * (2 * 768 * 48 + 48 + 768)  # 12 + 12 layers, 768 / 16 wide
    lora = (24 + 12) * 2 * 8 * 768  # queries of self-attention, and of the decoder's cross
    norms = 24 * 2 * 768  # shared by the tasks
    assert model.parameter_counts()["trainable"] == 3 * (adapters + lora) + norms
    assert "queries: adapters after self-attention" in cli("methods", "--backbone", "t5-small").out
    assert "queries" in methods_on(Bert())
    with pytest.raises(ConfigError, match="there is a method 'queries' already"):
        run_example("A method")


@pytest.mark.parametrize(
    ("heading", "method"), [("A method", "queries"), ("A kind of module", "ia3")]
)
def test_it_trains_is_saved_and_tags(
    heading: str, method: str, run_example: Any, tmp_path: Path
) -> None:
    run_example(heading)
    trainer = make_trainer(
        tmp_path / "run",
        model={"method": method},
        training={"steps": 2},
        validation={"every": 2},
    )
    trainer.train()
    tagger = Tagger.from_pretrained(tmp_path / "run")
    assert tagger.model.config.method == method
    assert tagger.tag("a table for two at noon", "dining").words[-1] == "noon"


def test_a_kind_computes_what_it_says(run_example: Any) -> None:
    run_example("A kind of module")
    model = tiny_model(method="ia3", random=True)
    value = model.backbone.encoder.block[0].layer[0].SelfAttention.v
    x = torch.randn(2, 3, 64)
    ids = model.task_ids(["music", "flights"])
    with torch.no_grad(), model.use(["music", "flights"]):
        (site,) = [s for s in model.weights(ids) if s[:2] == ("encoder", 0) and "value" in s.place]
        scale = model.weights(ids)[site].scale
        expected = torch.nn.functional.linear(x, value.weight) * (1 + scale[:, None])
        torch.testing.assert_close(value(x), expected)
    assert not torch.equal(scale[0], scale[1])


def test_a_format_is_recognised_read_and_written(run_example: Any, tmp_path: Path) -> None:
    corpus = corpora()["dining"]
    write_data(tmp_path / "conll")
    source, target = tmp_path / "conll" / "dining", tmp_path / "slash" / "dining"
    assert cli("data", "convert", source, target, "--to", "slash").code == 2
    run_example("A file format")
    done = cli("data", "convert", source, target, "--to", "slash")
    assert done.code == 0, done
    assert (target / "test.slash").read_text().count("/B-") == sum(
        len(e.spans) for e in corpus.splits["test"]
    )
    read = load_corpora(tmp_path / "slash")["dining"].splits
    for part, examples in corpus.splits.items():
        assert [(e.words, e.spans) for e in read[part]] == [(e.words, e.spans) for e in examples]
    said = cli("data", "stats", tmp_path / "slash")
    assert "slash" in said.out + said.err
    (target / "train.slash").write_text("a/B-x\nb/I- c/O\n")
    refused = cli("data", "stats", target)
    assert (refused.code, "train.slash" in refused.err) == (2, True)


def test_a_family_carries_every_method_whose_places_it_has(
    run_example: Any, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    config = AlbertConfig(
        vocab_size=len(bert_tokenizer()), embedding_size=16, hidden_size=32, intermediate_size=48,
        num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=40,
    )  # fmt: skip
    AlbertModel(config).save_pretrained(tmp_path / "albert")
    bert_tokenizer().save_pretrained(tmp_path / "albert")
    with pytest.raises(ConfigError, match="unknown kind of backbone 'albert'"):
        make_trainer(tmp_path / "none", backbone=str(tmp_path / "albert"))
    run_example("A family of backbones")
    family = FAMILIES["ALBERT"]
    several = set(methods_on(family, several=True))
    assert several == set(methods_on(Bert(), several=True))
    assert "unipelt-bert" not in methods_on(family)
    for method in sorted(several):
        trainer = make_trainer(
            tmp_path / method,
            backbone=str(tmp_path / "albert"),
            model={"method": method, "train_backbone": "layer_norms"}
            if method != "full"
            else {"method": method},
            training={"steps": 2},
            validation={"every": 2},
        )
        norms = [n for n in trainer.model.trainable_names() if "norm" in n.lower()]
        assert len([n for n in norms if n.startswith("backbone.")]) == 2 * 3
        trainer.train()
        tagger = Tagger.from_pretrained(tmp_path / method)
        assert family_of(tagger.model.backbone) is family
        assert tagger.codec.config.max_source_tokens == 40
        assert len(tagger.tag("a table for two at noon " * 20, "dining").words) == 120
