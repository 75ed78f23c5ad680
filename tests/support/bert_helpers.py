"""A BERT in a blink: a random encoder with a WordPiece tokenizer, as a folder or in memory."""

import string
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from helpers import randomise
from hyperloader.codec.batch import encode_words
from hyperloader.codec.codec import CodecConfig
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.outputs.token_tags.rows import pack
from hyperloader.tagger import Tagger
from training_helpers import corpora

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
POSITIONS = 40
# Of unipelt-bert: its prefixes, its adapters and LoRA, its head.
HEAD_WEIGHT = "sources.2.groups.0.weights.weight"


@cache
def bert_tokenizer(train: int = 24) -> PreTrainedTokenizerFast:
    """Words of ``corpora(train)`` that occur often, and letters for all the others."""
    counts: dict[str, int] = {}
    for corpus in corpora(train).values():
        for example in corpus.splits["train"]:
            for word in example.words:
                counts[word.lower()] = counts.get(word.lower(), 0) + 1
    letters = string.ascii_lowercase + string.digits + string.punctuation
    frequent = sorted(word for word, count in counts.items() if count > 2)
    pieces = dict.fromkeys([*SPECIAL, *letters, *(f"##{c}" for c in letters), *frequent])
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, **{f"{name}_token": token for name, token in names.items()}
    )


def bert_encoder(seed: int = 0, *, width: int = 32, train: int = 24, layers: int = 2) -> BertModel:
    """Random weights, 40 positions."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(bert_tokenizer(train)),
        hidden_size=width,
        intermediate_size=width * 3 // 2,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=POSITIONS,
    )
    return BertModel(config, add_pooling_layer=False)


def bert_folder(folder: Path, *, width: int = 32, train: int = 24) -> Path:
    """The encoder and its tokenizer as ``save_pretrained`` writes them."""
    bert_encoder(width=width, train=train).save_pretrained(folder)
    bert_tokenizer(train).save_pretrained(folder)
    return folder


def bert_tagger(tasks: int = 2, *, layers: int = 2, **config: Any) -> Tagger:
    """A tagger for the last ``tasks`` of ``corpora()``, random in all its parts; ``config`` are
    fields of ModelConfig."""
    labels = {name: corpus.labels("train") for name, corpus in [*corpora().items()][-tasks:]}
    codec = TokenCodec(bert_tokenizer(), labels, CodecConfig(max_source_tokens=POSITIONS))
    tags = {task: len(names) for task, names in codec.tags.items()}
    model = TokenTagger(
        bert_encoder(layers=layers), ModelConfig(tasks=tuple(labels), **config), tags=tags
    )
    randomise(model, std=0.2)
    return Tagger(model, codec)


def tag_logits(model: TokenTagger, codec: TokenCodec, words: Sequence[str], task: str) -> Tensor:
    """What the head says of one sentence by itself: (words, tags)."""
    (window,) = encode_words(codec, words, task)
    rows = pack([window], pad=codec.pieces.pad, together=False)
    with torch.no_grad():
        return model.read(rows)[0]
