"""A small random backbone of every T5 family."""

import torch
from transformers import (
    MT5Config,
    MT5ForConditionalGeneration,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5ForConditionalGeneration,
)

from helpers import tiny_codec

CODEC = tiny_codec()


def t5_shape(kind: type, **changes: object) -> T5Config:
    shape = {"d_model": 48, "d_ff": 64, "num_layers": 2, "num_heads": 4, "d_kv": 16}
    return kind(
        vocab_size=len(CODEC.tokenizer),
        pad_token_id=CODEC.pieces.pad,
        eos_token_id=CODEC.pieces.eos,
        decoder_start_token_id=CODEC.pieces.pad,
        dropout_rate=0.0,
        **{**shape, **changes},
    )


def t5_family(name: str) -> PreTrainedModel:
    torch.manual_seed(3)
    gated = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    return {
        "t5": lambda: T5ForConditionalGeneration(t5_shape(T5Config)),
        "v1.1": lambda: T5ForConditionalGeneration(t5_shape(T5Config, **gated)),
        "deep decoder": lambda: T5ForConditionalGeneration(
            t5_shape(T5Config, num_decoder_layers=3)
        ),
        "mt5": lambda: MT5ForConditionalGeneration(t5_shape(MT5Config)),
        "umt5": lambda: UMT5ForConditionalGeneration(t5_shape(UMT5Config)),
    }[name]()
