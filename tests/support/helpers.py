"""Small builders shared by the tests: a tokenizer, a codec, a backbone and a model in a blink."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hyperloader.backbones.family import Family
from hyperloader.backbones.t5.scratch import scratch_backbone
from hyperloader.codec.batch import Batch, collate, encode_example
from hyperloader.codec.tokenizer import train_tokenizer
from hyperloader.errors import ConfigError
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import METHODS
from hyperloader.outputs.sentt.codec import CodecConfig, SentTCodec
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.types import Example, Span

# Models this small are slower on several threads, and very much so on a busy machine.
torch.set_num_threads(1)

# One label begins with another, one with the tag I, and most take several pieces.
LABELS: dict[str, tuple[str, ...]] = {
    "music": ("TRACK", "TRACK_TITLE", "ARTIST", "MUSIC_ITEM", "ITEM"),
    "flights": ("fromloc.city_name", "toloc.city_name", "airline_code", "I_stop", "O_fare"),
    "one": ("thing",),
}
SENTENCES = (
    "play the song little robin redbreast",
    "show me flights from boston to denver",
    "which thing is the best thing",
    "O I TRACK ARTIST MUSIC ITEM",
    "what does the fare code mean",
)


@cache
def tiny_tokenizer(vocab_size: int = 400, sentinels: int = 100) -> PreTrainedTokenizerFast:
    """A unigram tokenizer learnt from SENTENCES and the label texts; made once a session."""
    texts = [*SENTENCES, *(label for labels in LABELS.values() for label in labels)]
    return train_tokenizer(texts, vocab_size=vocab_size, sentinels=sentinels)


def tiny_codec(labels: Mapping[str, Sequence[str]] = LABELS, **config: Any) -> SentTCodec:
    """A codec with the tiny tokenizer; ``config`` are fields of CodecConfig."""
    return SentTCodec(tiny_tokenizer(), labels, CodecConfig(**config))


def tiny_backbone(codec: SentTCodec, *, seed: int = 0, dropout: float = 0.0) -> PreTrainedModel:
    """A random T5 (64 wide, 2+2 layers) for the tokenizer of ``codec``."""
    torch.manual_seed(seed)
    return scratch_backbone("tiny", codec.tokenizer, dropout=dropout)


def tiny_model(
    codec: SentTCodec | None = None,
    *,
    seed: int = 0,
    random: bool = False,
    dropout: float = 0.0,
    **config: Any,
) -> TaggingModel:
    """A tagging model in eval mode over the tasks of ``codec``.

    Args:
        random: also draw the generated parts at random, so that tasks differ and LoRA acts
            (as initialised they hardly do).
        config: fields of ModelConfig other than ``tasks``.
    """
    codec = codec or tiny_codec()
    backbone = tiny_backbone(codec, seed=seed, dropout=dropout)
    model = TaggingModel(backbone, ModelConfig(tasks=tuple(codec.labels), **config))
    if random:
        randomise(model, seed)
    return model.eval()


def randomise(model: TaggingModel, seed: int = 0, std: float = 0.1) -> None:
    """Draw every parameter of the model's source from N(0, std^2), in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.source.parameters():
            parameter.normal_(0.0, std, generator=generator)


def batch_of(*tasks: str) -> Batch:
    """One window for each of ``tasks``, of different sentences and lengths."""
    codec, windows = tiny_codec(), []
    for i, task in enumerate(tasks):
        words = tuple(SENTENCES[i % len(SENTENCES)].split())
        spans = (Span(1, 3, LABELS[task][0]),)
        windows += encode_example(codec, Example(words, spans, task))
    return collate(windows, codec.pieces.pad)


def run(model: TaggingModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits, and the loss summed over all target tokens."""
    out = model(
        batch.input_ids,
        batch.attention_mask,
        task_ids=model.task_ids(batch.tasks),
        labels=batch.labels,
    )
    assert batch.labels is not None
    return out.logits, F.cross_entropy(
        out.logits.flatten(0, 1), batch.labels.flatten(), ignore_index=-100, reduction="sum"
    )


def methods_on(family: Family, *, several: bool = False) -> list[str]:
    """The methods that attach to backbones of ``family``; with ``several`` those for many tasks."""

    def attaches(name: str) -> bool:
        try:
            METHODS[name].on(family)
        except ConfigError:
            return False
        return not (several and METHODS[name].single_task)

    return [name for name in METHODS if attaches(name)]


def mt5_like_tokenizer() -> PreTrainedTokenizerFast:
    """Sentinels are ordinary vocabulary entries with the word mark; unknown letters are lost."""
    letters = "abcdefghijklmnopqrstuvwxyzOI_<>/0123456789"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [(letter, -4.0) for letter in letters] + [(f"▁{letter}", -5.0) for letter in letters]
    pieces += [(f"▁<extra_id_{i}>", -1.0) for i in reversed(range(100))]
    backend = Tokenizer(models.Unigram(pieces, unk_id=2))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
