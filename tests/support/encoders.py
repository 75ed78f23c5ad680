"""One small random encoder of every kind, with a tokenizer such as its own is, in a blink."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    DebertaV2Tokenizer,
    MPNetTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

from bert_helpers import bert_tokenizer
from training_helpers import corpora

BERT_LIKE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 42,
}
# As microsoft/deberta-v3-base has it.
DEBERTA_V3 = {
    **BERT_LIKE,
    "relative_attention": True,
    "position_buckets": 6,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
}
_BERT_NAMES = {
    f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")
}


@cache
def words() -> dict[str, int]:
    """How often each word of the sample sentences occurs."""
    counts: dict[str, int] = {}
    for corpus in corpora().values():
        for example in corpus.splits["train"]:
            for word in example.words:
                counts[word.lower()] = counts.get(word.lower(), 0) + 1
    return counts


def _byte_pairs() -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator([" " + " ".join(sorted(words()))], trainer)
    return backend


def _roberta() -> PreTrainedTokenizerBase:
    model = json.loads(_byte_pairs().to_str())["model"]
    special = ("<s>", "<pad>", "</s>", "<unk>")
    vocabulary = {piece: number for number, piece in enumerate((*special, *model["vocab"]))}
    vocabulary["<mask>"] = len(vocabulary)
    return RobertaTokenizer(vocab=vocabulary, merges=[tuple(pair) for pair in model["merges"]])


def _modernbert() -> PreTrainedTokenizerBase:
    backend = _byte_pairs()
    backend.add_special_tokens(list(_BERT_NAMES.values()))
    frame = [(token, backend.token_to_id(token)) for token in ("[SEP]", "[CLS]")]
    backend.post_processor = processors.BertProcessing(*frame)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **_BERT_NAMES)


def _unigrams(*special: str) -> list[tuple[str, float]]:
    letters = sorted({letter for word in words() for letter in word})
    pieces = [(f"▁{word}", -1.0) for word, count in sorted(words().items()) if count > 2]
    inside = [(letter, -6.0) for letter in letters]
    return [*((piece, 0.0) for piece in special), ("▁", -5.0), *inside, *pieces, ("<mask>", 0.0)]


def _xlm_roberta() -> PreTrainedTokenizerBase:
    return XLMRobertaTokenizer(vocab=_unigrams("<s>", "<pad>", "</s>", "<unk>"))


def _deberta() -> PreTrainedTokenizerBase:
    vocabulary = _unigrams("[PAD]", "[CLS]", "[SEP]", "[UNK]")
    return DebertaV2Tokenizer(vocab=vocabulary, unk_id=3, mask_token="<mask>")


def _mpnet() -> PreTrainedTokenizerBase:
    pieces = [p for p in bert_tokenizer().get_vocab() if not p.startswith("[")]
    special = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")
    return MPNetTokenizer(vocab={p: i for i, p in enumerate((*special, *sorted(pieces)))})


@dataclass(frozen=True)
class Kind:
    """A kind of encoder: the family's name, its ``model_type``, its size, and its tokenizer."""

    family: str
    model_type: str
    size: dict[str, Any]
    tokenizer: Callable[[], PreTrainedTokenizerBase]
    most: int = 42  # sub-tokens at once


KINDS: dict[str, Kind] = {
    "bert": Kind("BERT", "bert", BERT_LIKE, bert_tokenizer),
    "roberta": Kind("BERT", "roberta", BERT_LIKE, _roberta, 40),
    "xlm-roberta": Kind("BERT", "xlm-roberta", BERT_LIKE, _xlm_roberta, 40),
    "electra": Kind("BERT", "electra", {**BERT_LIKE, "embedding_size": 16}, bert_tokenizer),
    "distilbert": Kind(
        "DistilBERT",
        "distilbert",
        {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 42},
        bert_tokenizer,
    ),
    "mpnet": Kind("MPNet", "mpnet", BERT_LIKE, _mpnet, 40),
    "deberta-v3": Kind("DeBERTa", "deberta-v2", DEBERTA_V3, _deberta),
    # With absolute positions too, projections of their own for distances, and a convolution.
    "deberta-v2": Kind(
        "DeBERTa",
        "deberta-v2",
        {
            **DEBERTA_V3,
            "share_att_key": False,
            "position_biased_input": True,
            "conv_kernel_size": 3,
            "type_vocab_size": 2,
        },
        _deberta,
    ),
    "modernbert": Kind(
        "ModernBERT",
        "modernbert",
        # Three layers, of which the second and third see only what is near.
        {**BERT_LIKE, "num_hidden_layers": 3, "local_attention": 8, "norm_bias": True},
        _modernbert,
    ),
}


@cache
def tokenizer_of(kind: str) -> PreTrainedTokenizerBase:
    """Words of the sample sentences, and letters or bytes for all the others."""
    return KINDS[kind].tokenizer()


def encoder_of(kind: str, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """Random weights, in evaluation mode, as transformers itself makes it (pooling layer and all).

    Biases and norms are random too, so that none is left out unseen.
    """
    tokenizer = tokenizer_of(kind)
    ids = {f"{n}_token_id": getattr(tokenizer, f"{n}_token_id") for n in ("pad", "cls", "sep")}
    config = AutoConfig.for_model(
        KINDS[kind].model_type,
        **{**KINDS[kind].size, **changes},
        vocab_size=len(tokenizer),
        bos_token_id=ids["cls_token_id"],
        eos_token_id=ids["sep_token_id"],
        **ids,
    )
    torch.manual_seed(seed)
    encoder = AutoModel.from_config(config).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return encoder


def encoder_folder(folder: Path, kind: str) -> Path:
    """The encoder and its tokenizer as ``save_pretrained`` writes them."""
    encoder_of(kind).save_pretrained(folder)
    tokenizer_of(kind).save_pretrained(folder)
    return folder
