"""From a recipe and corpora to what a trainer needs."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hyperloader.builtin import backbone_path
from hyperloader.checkpoint import Checkpoint
from hyperloader.codec.collate import EncodedWindow, encode_example
from hyperloader.codec.labels import verbalise
from hyperloader.codec.pieces import WordPieces
from hyperloader.codec.sentt import CodecConfig, SentTCodec
from hyperloader.codec.tokenizer import train_tokenizer
from hyperloader.config import Recipe, parse_model
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.splits import subsample
from hyperloader.errors import ConfigError, DataError
from hyperloader.modeling.backbone import load_backbone, scratch_backbone
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.model import TaggingModel

SCRATCH = "scratch:"
Windows = dict[str, list[EncodedWindow]]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The encoded sentences of every task."""

    train: Windows
    validation: Windows


def select_data(recipe: Recipe, corpora: Mapping[str, Corpus]) -> dict[str, Corpus]:
    """The share of ``corpora`` that the recipe trains on (test parts stay whole)."""
    for name, corpus in corpora.items():
        if not corpus.splits.get("train"):
            raise DataError(f"corpus {name!r} has no training sentences")
    if recipe.data.fraction == 1:
        return dict(corpora)
    return {
        name: subsample(corpus, recipe.data.fraction, recipe.seed)
        for name, corpus in corpora.items()
    }


def build(recipe: Recipe, corpora: Mapping[str, Corpus]) -> Checkpoint:
    """A fresh model and codec for the selected ``corpora``.

    A task's labels are those of its selected training and validation sentences.

    Raises:
        ConfigError: the backbone cannot be had, a field is unknown, labels collide.
    """
    labels = {name: c.labels("train", "validation") for name, c in corpora.items()}
    if "tasks" in recipe.model:
        raise ConfigError("model.tasks is not set in a recipe: the tasks are those of the data")
    settings = {**recipe.model, "tasks": tuple(corpora)}
    model_config = parse_model(ModelConfig, settings, "recipe, model")
    codec_config = parse_model(CodecConfig, recipe.codec, "recipe, codec")
    torch.manual_seed(recipe.seed)
    if recipe.backbone.startswith(SCRATCH):
        tokenizer = _train_tokenizer(recipe, corpora, labels, codec_config)
        codec = SentTCodec(tokenizer, labels, codec_config)
        backbone = scratch_backbone(
            recipe.backbone.removeprefix(SCRATCH),
            vocab_size=len(tokenizer),
            sentinels=codec.pieces.sentinels,
            pad=codec.pieces.pad,
            eos=codec.pieces.eos,
            dropout=0.1 if recipe.dropout is None else recipe.dropout,
        )
        return Checkpoint(TaggingModel(backbone, model_config), codec)
    tokenizer = _load_tokenizer(recipe.backbone)
    backbone = load_backbone(recipe.backbone, dropout=recipe.dropout)
    codec = SentTCodec(tokenizer, labels, codec_config)
    if (largest := max(codec.pieces.sentinels)) >= backbone.config.vocab_size:
        raise ConfigError(
            f"the tokenizer of {recipe.backbone!r} does not fit the backbone: it has the id "
            f"{largest}, the backbone a vocabulary of {backbone.config.vocab_size}"
        )
    return Checkpoint(TaggingModel(backbone, model_config, backbone_name=recipe.backbone), codec)


def encode(codec: SentTCodec, corpora: Mapping[str, Corpus]) -> TrainingData:
    """Encode the training and validation sentences."""

    def part(split: str) -> Windows:
        return {
            name: [w for example in c.splits[split] for w in encode_example(codec, example)]
            for name, c in corpora.items()
        }

    return TrainingData(part("train"), part("validation"))


def _train_tokenizer(
    recipe: Recipe,
    corpora: Mapping[str, Corpus],
    labels: Mapping[str, tuple[str, ...]],
    codec: CodecConfig,
) -> PreTrainedTokenizerBase:
    """A tokenizer of the training sentences; label texts often enough to be cheap to write."""
    sentences = [" ".join(e.words) for c in corpora.values() for e in c.splits["train"]]
    texts = [t for names in labels.values() for t in verbalise(names, codec.label_text).values()]
    often = max(1, len(sentences) // 100)
    return train_tokenizer([*sentences, *(texts * often)], vocab_size=recipe.vocab_size)


def _load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(backbone_path(name))
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise ConfigError(
            f"the backbone {name!r} cannot be loaded ({reason}); give a folder made by "
            "save_pretrained, a T5-family name on the Hugging Face Hub, builtin or scratch:mini"
        ) from error
    WordPieces(tokenizer)
    return tokenizer
