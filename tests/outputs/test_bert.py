"""UniPELT on BERT: what the golden file does not show (head, masks, families, files)."""

from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from torch import Tensor
from transformers import (
    BertConfig,
    BertForTokenClassification,
    BertModel,
    ElectraConfig,
    ElectraModel,
    GPT2Config,
    GPT2Model,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
)

from helpers import tiny_backbone, tiny_codec
from hyperloader.backbones.loading import load_backbone, meta_backbone
from hyperloader.errors import CheckpointError, ConfigError
from hyperloader.modeling.active import NoActiveWeightsError
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.modules.prefix import PrefixWeights
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.trust import trust_backbone

torch.set_num_threads(1)  # models this small are slower on several

CONFIG = ModelConfig(
    method="unipelt-bert", tasks=("one",), prefix_length=3, prefix_hidden_dim=8, reduction_factor=4
)
SIZE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 40,
}


def bert(**changes: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    return BertModel(BertConfig(**{**SIZE, **changes}), add_pooling_layer=False)


def tagger_of(
    backbone: PreTrainedModel | None = None, tags: int = 5, **settings: Any
) -> TokenTagger:
    """With random attached parts, so that all of them act."""
    config = CONFIG.model_copy(update=settings)
    model = TokenTagger(backbone or bert(), config, tags={"one": tags})
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.source.parameters():
            parameter.normal_(0.0, 0.3, generator=generator)
    return model.eval()


def encode(model: TokenTagger, ids: Tensor, mask: Tensor | None = None) -> Tensor:
    with model.use("one"):
        return model.backbone(ids, attention_mask=mask).last_hidden_state


ONE = {"task_ids": torch.tensor([0])}


def inputs() -> tuple[Tensor, Tensor]:
    """Three sentences, two of them padded."""
    ids = torch.randint(5, 50, (3, 9), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([9, 6, 4])
    return ids, (torch.arange(9)[None] < lengths[:, None]).long()


def test_counts_for_bert_base() -> None:
    config = ModelConfig(method="unipelt-bert", tasks=("atis",))
    with torch.device("meta"):
        model = TokenTagger(meta_backbone("bert-base"), config, tags={"atis": 7})
    backbone = sum(p.numel() for p in model.backbone.parameters())
    assert backbone == 109_482_240 - (768 * 768 + 768)  # bert-base without its pooling layer
    trainable = 11_083_376 + 7 * 769
    assert model.parameter_counts() == {"trainable": trainable, "total": backbone + trainable}
    made = model.weights(torch.tensor([0])).values()
    assert sum(isinstance(w, PrefixWeights) for w in made) == 12


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_masks_of_every_kind_see_the_prefix_and_not_the_padding(attention: str) -> None:
    model = tagger_of(bert(attn_implementation=attention))
    ids, mask = inputs()
    with torch.no_grad():
        states = encode(model, ids, mask)
        changed = ids.masked_fill(mask == 0, 7)
        other = encode(model, changed, mask)
    # The gates take the mean over all positions, padding included, as published.
    assert (states - other)[mask.bool()].abs().max() > 0
    with torch.no_grad():
        for name, parameter in model.source.named_parameters():
            if "gate_weight" in name:
                parameter.zero_()
        states, other = encode(model, ids, mask), encode(model, changed, mask)
        torch.testing.assert_close(states[mask.bool()], other[mask.bool()])
        whole = encode(model, ids, torch.ones_like(ids))
        torch.testing.assert_close(whole, encode(model, ids))
        prefix = model.source.sources[0]
        prefix.network[2].weight.mul_(3.0)
        assert (encode(model, ids, mask) - states)[mask.bool()].abs().max() > 1e-3


def test_two_implementations_of_attention_agree() -> None:
    ids, mask = inputs()
    with torch.no_grad():
        eager, sdpa = (
            encode(tagger_of(bert(attn_implementation=kind)), ids, mask)
            for kind in ("eager", "sdpa")
        )
    torch.testing.assert_close(eager[mask.bool()], sdpa[mask.bool()], atol=1e-5, rtol=1e-5)


def test_prefix_attention_is_what_it_is_by_hand() -> None:
    """One layer, no LoRA and no adapter: softmax over prefix and tokens, prefix scaled by gate."""
    model = tagger_of(bert(num_hidden_layers=1))
    with torch.no_grad():
        for name, parameter in model.source.named_parameters():
            if name.endswith((".b", "up_weight", "up_bias")):
                parameter.zero_()
    seen: dict[str, Tensor] = {}
    attention = model.backbone.encoder.layer[0].attention.self
    attention.register_forward_hook(lambda _, given, out: seen.update(x=given[0], y=out[0]))
    ids, _ = inputs()
    with torch.no_grad():
        encode(model, ids)
        (w,) = [w for w in model.weights(torch.tensor([0])).values() if type(w) is PrefixWeights]
        x = seen["x"]
        assert w.gate_weight is not None
        assert w.gate_bias is not None
        gate = (x @ w.gate_weight[0, 0] + w.gate_bias[0]).sigmoid().mean(1)[:, None, None]
        parts = (attention.query, attention.key, attention.value)
        q, k, v = (torch.nn.functional.linear(x, part.weight, part.bias) for part in parts)
        k, v = torch.cat([w.key * gate, k], 1), torch.cat([w.value * gate, v], 1)
        q, k, v = (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in (q, k, v))
        expected = (q @ k.transpose(-1, -2) / 8**0.5).softmax(-1) @ v
    torch.testing.assert_close(seen["y"], expected.transpose(1, 2).flatten(2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_the_family_shares_its_names(family: str) -> None:
    backbone = {
        "bert": bert,
        "roberta": lambda: RobertaModel(RobertaConfig(**SIZE), add_pooling_layer=False),
        "electra": lambda: ElectraModel(ElectraConfig(**{**SIZE, "embedding_size": 32})),
    }[family]()
    model = tagger_of(backbone)
    ids, mask = inputs()
    first = torch.tensor([[1, 3], [1, 2], [1, 1]])
    out = model.train()(
        ids, mask, first=first, **ONE, labels=torch.tensor([[0, 4], [2, -100], [1, 3]])
    )
    assert out.logits.shape == (3, 2, 5)
    out.loss.backward()
    silent = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert silent == []
    assert all(p.grad is None for p in model.backbone.parameters())


def test_backbones_of_other_kinds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a network the hub would be asked again and again, for 23 seconds.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    gpt = GPT2Model(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2))
    with pytest.raises(ConfigError, match=r"unknown kind of backbone 'gpt2'.*, bert,"):
        TokenTagger(gpt, CONFIG, tags={"one": 3})
    with pytest.raises(ConfigError, match="no place 'parallel_feed_forward'"):
        TokenTagger(bert(), ModelConfig(method="hyperdecoder", tasks=("a",)), tags={"a": 3})
    with pytest.raises(ConfigError, match="stands on an encoder, and a T5 backbone has a decoder"):
        TokenTagger(tiny_backbone(tiny_codec()), CONFIG, tags={"one": 3})
    with pytest.raises(ConfigError, match="the head and the model differ in the task 'two'"):
        TokenTagger(bert(), CONFIG, tags={"one": 3, "two": 3})
    with pytest.raises(ConfigError, match="did you mean 'bert-base'"):
        meta_backbone("bert-bas")
    model = tagger_of()
    with pytest.raises(NoActiveWeightsError):
        model.backbone(inputs()[0])
    with pytest.raises(ConfigError, match="already has modules attached"):
        TokenTagger(model.backbone, CONFIG, tags={"one": 3})


def test_words_take_the_state_of_their_first_sub_token() -> None:
    """Against the library's own token classification, with everything attached turned off."""
    model = tagger_of()
    with torch.no_grad():
        for name, parameter in model.source.named_parameters():
            if name.endswith((".b", "up_weight", "up_bias")):
                parameter.zero_()
        # A prefix that nobody looks at: its keys are zero and its number small against -1e9.
        other = BertForTokenClassification(BertConfig(**SIZE, num_labels=5)).eval()
        other.bert.load_state_dict(model.backbone.state_dict())
        head = model.source.sources[2].groups[0].weights
        other.classifier.weight.copy_(head["weight"][0, 0])
        other.classifier.bias.copy_(head["bias"][0, 0])
        for layer in model.backbone.encoder.layer:
            layer.attention.self._forward_pre_hooks.clear()
            layer.attention.self._forward_pre_hooks_with_kwargs.clear()
            layer.output.LayerNorm._forward_hooks.clear()
        ids, mask = inputs()
        first = torch.tensor([[1, 3, 6], [1, 2, 0], [1, 0, 0]])
        expected = other(ids, attention_mask=mask).logits
        ours = model(ids, mask, first=first, **ONE).logits
        for row in range(3):
            torch.testing.assert_close(ours[row], expected[row, first[row]])
        labels = torch.tensor([[0, 4, 1], [2, 3, -100], [1, -100, -100]])
        scattered = torch.full_like(ids, -100)
        scattered[torch.arange(3)[:, None], first] = labels
        scattered[1, 0], scattered[2, 0] = -100, -100
        loss = other(ids, attention_mask=mask, labels=scattered).loss
        torch.testing.assert_close(model(ids, mask, first=first, **ONE, labels=labels).loss, loss)


def test_it_learns_what_the_head_alone_cannot() -> None:
    """Random tags for 45 tokens of a random frozen encoder 32 wide; ln 2 is 0.69."""
    final = {}
    for attached in (True, False):
        torch.manual_seed(0)
        model = TokenTagger(bert(), CONFIG, tags={"one": 2}).train()
        frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
        learnt = [p for p in model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(
            learnt if attached else model.source.sources[2].parameters(), lr=1e-2
        )
        for _ in range(150):
            ids = torch.randint(5, 50, (16, 8))
            loss = model(ids, first=torch.arange(8).expand(16, -1), **ONE, labels=ids % 7 % 2).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        final[attached] = loss.item()
        now = dict(model.named_parameters())
        assert all(torch.equal(now[name], value) for name, value in frozen.items())
    assert 2 * final[True] < 0.3 < final[False]


@pytest.mark.parametrize("whole", [True, False])
def test_it_is_saved_and_loaded(tmp_path: Path, whole: bool) -> None:
    base = bert()
    base.save_pretrained(tmp_path / "base")
    encoder = load_backbone(str(tmp_path / "base"))
    assert not any(name.startswith("pooler") for name, _ in encoder.named_parameters())
    model = tagger_of(encoder, tags=4)
    model.backbone_name = str(tmp_path / "base")
    model.save_pretrained(tmp_path / "saved", whole=whole)
    trust_backbone(tmp_path / "base")
    loaded = TokenTagger.from_pretrained(tmp_path / "saved")
    first = torch.tensor([[1, 2]] * 3)
    with torch.no_grad():
        expected = model(*inputs(), first=first, **ONE).logits
        assert torch.equal(loaded(*inputs(), first=first, **ONE).logits, expected)
    with pytest.raises(CheckpointError, match="model that answers by 'token_tags'"):
        TaggingModel.from_pretrained(tmp_path / "saved")
    with pytest.raises(ConfigError, match="none' cannot be loaded"):
        load_backbone(str(tmp_path / "none"))
