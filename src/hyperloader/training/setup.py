"""From a recipe and corpora to what a trainer needs."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hyperloader.backbones.packaged import encoder_path
from hyperloader.backbones.sites import BERT
from hyperloader.backbones.t5.backbone import load_backbone, scratch_backbone
from hyperloader.builtin import BUILTIN, backbone_path
from hyperloader.checkpoint import Checkpoint
from hyperloader.codec.batch import encode_example
from hyperloader.codec.codec import Codec, CodecConfig
from hyperloader.codec.labels import verbalise
from hyperloader.codec.tokenizer import train_tokenizer
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import Recipe, parse_model
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.splits import subsample
from hyperloader.errors import ConfigError, DataError
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger, load_encoder, positions
from hyperloader.trust import load_tokenizer

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
    codec_settings = {"task_prefix": _wants_prefix(model_config), **recipe.codec}
    codec_config = parse_model(CodecConfig, codec_settings, "recipe, codec")
    torch.manual_seed(recipe.seed)
    if model_config.row.family is BERT:
        return _with_tagging_head(recipe, labels, model_config, codec_config)
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
    name = recipe.backbone
    tokenizer = _load_tokenizer(
        name, backbone_path(name), "a T5-family name", "builtin or scratch:mini"
    )
    codec = SentTCodec(tokenizer, labels, codec_config)
    backbone = load_backbone(name, dropout=recipe.dropout)
    _check_fit(name, max(codec.pieces.sentinels), backbone)
    return Checkpoint(TaggingModel(backbone, model_config, backbone_name=name), codec)


def _with_tagging_head(
    recipe: Recipe,
    labels: Mapping[str, tuple[str, ...]],
    model_config: ModelConfig,
    codec_config: CodecConfig,
) -> Checkpoint:
    name = recipe.backbone
    if name == BUILTIN or name.startswith(SCRATCH):
        raise ConfigError(
            f"method {model_config.method!r} needs a BERT-family backbone and {name!r} is a T5; "
            "give --backbone minilm, a folder or a Hub name such as google-bert/bert-base-uncased"
        )
    tokenizer = _load_tokenizer(name, encoder_path(name), "a BERT-family name", "minilm")
    encoder = load_encoder(name, dropout=recipe.dropout)
    most = min(codec_config.max_source_tokens, positions(encoder))
    config = parse_model(
        CodecConfig, {**codec_config.model_dump(), "max_source_tokens": most}, f"backbone {name!r}"
    )
    codec = TokenCodec(tokenizer, labels, config)
    _check_fit(name, max(tokenizer.get_vocab().values()), encoder)
    model = TokenTagger(encoder, model_config, len(codec.tags), backbone_name=name)
    return Checkpoint(model, codec)


def _wants_prefix(config: ModelConfig) -> bool:
    """Whether the method wants the task named in the source."""
    return {"never": False, "several": len(config.tasks) > 1, "always": True}[
        config.row.task_prefix
    ]


def _check_fit(name: str, largest: int, backbone: PreTrainedModel) -> None:
    if largest >= backbone.config.vocab_size:
        raise ConfigError(
            f"the tokenizer of {name!r} does not fit the backbone: it has the id {largest}, the "
            f"backbone a vocabulary of {backbone.config.vocab_size}"
        )


def encode(codec: Codec, corpora: Mapping[str, Corpus]) -> TrainingData:
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
    """A tokenizer of the training sentences; what is not in them, label texts above all, comes
    often enough to be cheap to write."""
    sentences = [" ".join(e.words) for c in corpora.values() for e in c.splits["train"]]
    texts = [t for names in labels.values() for t in verbalise(names, codec.label_text).values()]
    if codec.task_prefix:
        texts += labels
    often = max(1, len(sentences) // 100)
    return train_tokenizer([*sentences, *(texts * often)], vocab_size=recipe.vocab_size)


def _load_tokenizer(name: str, path: str, on_hub: str, others: str) -> PreTrainedTokenizerBase:
    try:
        return load_tokenizer(path)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise ConfigError(
            f"the backbone {name!r} cannot be loaded ({reason}); give a folder made by "
            f"save_pretrained, {on_hub} on the Hugging Face Hub, {others}"
        ) from error
