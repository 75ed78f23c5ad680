"""Backbones: loading a T5-family model, or building a small one here."""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hyperloader.builtin import backbone_path
from hyperloader.errors import ConfigError, unknown
from hyperloader.trust import load_config, refuse_code

# transformers is imported where a model of it is made: tagging alone needs none, and starts in less
# than half of the time.
if TYPE_CHECKING:
    from transformers import PreTrainedModel, T5ForConditionalGeneration

# Published sizes, so that parameters can be counted without any file or network.
_T5 = {"feed_forward_proj": "relu"}
_V1_1 = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
SHAPES: dict[str, dict] = {
    "t5-small": {"d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8, **_T5},
    "t5-base": {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12, **_T5},
    "t5-large": {"d_model": 1024, "d_ff": 4096, "num_layers": 24, "num_heads": 16, **_T5},
    "flan-t5-small": {"d_model": 512, "d_ff": 1024, "num_layers": 8, "num_heads": 6, **_V1_1},
    "flan-t5-base": {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12, **_V1_1},
}
# Trained from nothing on the user's own sentences; for trying things out, not for results.
SCRATCH: dict[str, dict] = {
    "tiny": {"d_model": 64, "d_ff": 128, "num_layers": 2, "num_heads": 4, "d_kv": 16},
    "mini": {"d_model": 128, "d_ff": 384, "num_layers": 3, "num_heads": 4, "d_kv": 32},
    "small": {"d_model": 256, "d_ff": 768, "num_layers": 4, "num_heads": 4, "d_kv": 64},
}


def meta_backbone(name: str) -> "PreTrainedModel":
    """The backbone ``name`` without weights (on the meta device): for counting parameters.

    ``name`` is a published shape (t5-base, …), ``builtin``, a folder with a config.json or a Hub
    id.
    """
    from transformers import AutoModelForSeq2SeqLM, T5Config, T5ForConditionalGeneration

    if name in SHAPES:
        config = T5Config(vocab_size=32128, d_kv=64, **SHAPES[name])
        with torch.device("meta"):
            return T5ForConditionalGeneration(config)
    try:
        config = load_config(backbone_path(name))
        with torch.device("meta"):
            return AutoModelForSeq2SeqLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{unknown('backbone', name, SHAPES)}; it is no folder with a T5 config.json either "
            f"({_first_line(error)})"
        ) from error


def load_backbone(name: str, dropout: float | None = None) -> "PreTrainedModel":
    """Load a pre-trained backbone: ``builtin``, a folder or a Hub id such as ``google-t5/t5-base``.

    Only safetensors are read. Raises ConfigError when it cannot be had or is not seq2seq.
    """
    from transformers import AutoModelForSeq2SeqLM

    changes = {} if dropout is None else {"dropout_rate": dropout}
    try:
        refuse_code(backbone_path(name))
        with _no_bar():
            model = AutoModelForSeq2SeqLM.from_pretrained(
                backbone_path(name),
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                attn_implementation=attention(),
                **changes,
            )
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"the backbone {name!r} cannot be loaded ({_first_line(error)}); give a folder made by "
            "save_pretrained or a T5-family name on the Hugging Face Hub"
        ) from error
    return model.eval()


@contextmanager
def _no_bar() -> Iterator[None]:
    """Without transformers' bar for the fraction of a second that a small backbone takes."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def scratch_backbone(
    size: str, *, vocab_size: int, sentinels: list[int], pad: int, eos: int, dropout: float = 0.1
) -> "PreTrainedModel":
    """A small T5 with random weights that learns to align by sentinel quickly.

    See :func:`structure_first_weights` for what is not T5's own initialisation.

    Args:
        size: one of :data:`SCRATCH`.
        vocab_size: of the tokenizer.
        sentinels: token ids of <extra_id_0>, <extra_id_1>, ….
    """
    from transformers import T5Config, T5ForConditionalGeneration

    if size not in SCRATCH:
        raise ConfigError(unknown("backbone size", size, SCRATCH))
    config = T5Config(
        vocab_size=vocab_size,
        feed_forward_proj="gated-gelu",
        dropout_rate=dropout,
        pad_token_id=pad,
        eos_token_id=eos,
        decoder_start_token_id=pad,
        tie_word_embeddings=True,
        **SCRATCH[size],
    )
    model = T5ForConditionalGeneration(config)
    model.set_attn_implementation(attention())
    structure_first_weights(model, sentinels)
    return model


def attention() -> str:
    """The implementation of attention in transformers that is fastest for short sequences."""
    return "sdpa" if torch.accelerator.is_available() else "eager"


@torch.no_grad()
def structure_first_weights(model: "T5ForConditionalGeneration", sentinels: list[int]) -> None:
    """Give a T5 with random weights a beginning from which it learns to align.

    Alignment (the decoder at sentinel i looking at sentinel i of the encoder) is the slow part of
    learning from nothing. Sentinels start as sinusoids of their number; cross-attention queries
    start as their keys, so that equal tokens attend to one another; heads look at fixed small
    distances; and an attention's output projection undoes its value projection, so that what is
    attended to arrives as it was.
    """
    config = model.config
    model.shared.weight[torch.tensor(sentinels)] = sinusoids(len(sentinels), config.d_model)
    for name, module in model.named_modules():
        if name.endswith("EncDecAttention"):
            module.q.weight.copy_(module.k.weight * config.d_kv**-0.5)
        if name.endswith("Attention"):
            nn.init.orthogonal_(module.v.weight)
            module.o.weight.copy_(module.v.weight.T)
        if getattr(module, "has_relative_attention_bias", False):
            _look_at_neighbours(module)


def _look_at_neighbours(attention: Any) -> None:
    """Point the heads of a stack at fixed small distances: 1 next, 1 back, 2 next, and so on.

    The last head stays free to look anywhere. Written from scratch by gradient steps a bias of
    this size takes thousands of them.
    """
    back, heads = attention.is_decoder, attention.n_heads
    distances = [-(i + 1) if back else (i // 2 + 1) * (-1) ** i for i in range(heads - 1)]
    buckets = attention._relative_position_bucket(
        torch.tensor(distances),
        bidirectional=not back,
        num_buckets=attention.relative_attention_num_buckets,
        max_distance=attention.relative_attention_max_distance,
    )
    for head, bucket in enumerate(buckets.tolist()):
        attention.relative_attention_bias.weight[bucket, head] = 5.0


def sinusoids(count: int, width: int) -> Tensor:
    """``count`` positions as sinusoids of ``width`` numbers with mean square 1: (count, width)."""
    # Evenly spread up to half a turn a step, so that even neighbours are nearly orthogonal.
    rates = math.pi * (torch.arange(0, width, 2) + 1) / width
    angles = torch.arange(count)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width] * math.sqrt(2)


def backbone_hash(backbone: nn.Module, exclude: set[str] | None = None) -> str:
    """SHA-256 over the names, shapes and values of all parameters but ``exclude``."""
    digest = hashlib.sha256()
    for name, parameter in sorted(backbone.named_parameters()):
        if exclude and name in exclude:
            continue
        value = parameter.detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
