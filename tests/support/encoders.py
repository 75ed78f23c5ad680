"""One small random encoder of every kind, with a tokenizer such as its own, and taggers on it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
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
from helpers import randomise
from hyperloader.backbones.registry import FAMILIES, family_of
from hyperloader.codec.batch import encode_example
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import METHODS
from hyperloader.outputs.registry import output_of
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.types import Example, Span
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


EVERY = pytest.mark.parametrize("kind", KINDS)
# Different numbers of labels, so that heads are padded.
LABELS = {"music": ("artist", "track"), "travel": ("city",)}
SENTENCES = (
    ("play little robin redbreast", "music", (Span(1, 4, "track"),)),
    ("a flight to oslo now please and back", "travel", (Span(3, 4, "city"),)),
    ("play robin", "music", (Span(1, 2, "artist"),)),
    ("from rome to oslo", "travel", (Span(1, 2, "city"), Span(3, 4, "city"))),
)
SMALL: dict[str, dict[str, Any]] = {"unipelt-bert": {"prefix_length": 3, "prefix_hidden_dim": 8}}


def family(kind: str) -> Any:
    return FAMILIES[KINDS[kind].family]


def codec_of(kind: str, tasks: tuple[str, ...] = tuple(LABELS)) -> TokenCodec:
    return TokenCodec(tokenizer_of(kind), {task: LABELS[task] for task in tasks})


def model_of(
    kind: str, method: str, *, random: bool = True, backbone: Any = None, **settings: Any
) -> TokenTagger:
    """In evaluation mode, with random attached parts; methods for one task get the first one."""
    tasks = tuple(LABELS)[: 1 if METHODS[method].single_task else None]
    tags = {task: len(names) for task, names in codec_of(kind, tasks).tags.items()}
    config = ModelConfig(method=method, tasks=tasks, **{**SMALL.get(method, {}), **settings})
    torch.manual_seed(0)
    model = TokenTagger(backbone or load_again(kind), config, tags=tags)
    if random:
        randomise(model, std=0.2)
    return model.eval()


def load_again(kind: str, **changes: Any) -> Any:
    """The encoder without its pooling layer, as the family makes it."""
    encoder = encoder_of(kind, **changes)
    built = family_of(encoder).build(encoder.config)
    built.load_state_dict(encoder.state_dict(), strict=False)
    return built.eval()


def windows(kind: str, tasks: tuple[str, ...] = tuple(LABELS)) -> list[EncodedWindow]:
    codec = codec_of(kind, tasks)
    return [
        window
        for text, task, spans in SENTENCES
        if task in tasks
        for window in encode_example(codec, Example(tuple(text.split()), spans, task))
    ]


def terms(model: TokenTagger, kind: str, given: list[EncodedWindow]) -> tuple[Tensor, Tensor]:
    """The loss of every word of ``given``, and which window each is of."""
    codec = codec_of(kind, model.config.tasks)
    return output_of(model).loss(model, codec, TrainingSection()).terms(given)


def states(model: TokenTagger, ids: Tensor, *tasks: str, mask: Tensor | None = None) -> Tensor:
    with torch.no_grad(), model.use(list(tasks)):
        return model.backbone(ids, attention_mask=mask).last_hidden_state


def some_ids(kind: str, rows: int = 2, length: int = 11) -> Tensor:
    """Of ordinary tokens."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(6, len(tokenizer_of(kind)) - 8, (rows, length), generator=generator)
