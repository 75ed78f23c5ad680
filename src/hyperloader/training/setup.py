"""From a recipe and corpora to what a trainer needs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hyperloader.backbones.loading import SCRATCH, load_backbone, load_tokenizer
from hyperloader.backbones.registry import family_of
from hyperloader.backbones.t5.scratch import scratch_backbone
from hyperloader.checkpoint import Checkpoint, load_checkpoint
from hyperloader.codec.batch import encode_example
from hyperloader.codec.codec import Codec, CodecConfig
from hyperloader.codec.labels import verbalise
from hyperloader.codec.tokenizer import train_tokenizer
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import Recipe, parse_model
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.splits import subsample
from hyperloader.corpora.word_rule import span_marks, word_rule
from hyperloader.errors import ConfigError, DataError
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.tasks import check_growing
from hyperloader.outputs.registry import output_for
from hyperloader.task_part import with_parts
from hyperloader.task_start import beside

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


def check_labels(recipe: Recipe, selected: Mapping[str, Corpus]) -> None:
    """Raise DataError for a task that has nothing to learn."""
    for name, corpus in selected.items():
        if not corpus.labels("train", "validation"):
            share = recipe.data.fraction
            drawn = f" (of which data.fraction={share} is used)" if share < 1 else ""
            raise DataError(
                f"task {name!r} has no labelled span in its training and validation "
                f"sentences{drawn}; label some, or omit the task"
            )


def build(recipe: Recipe, corpora: Mapping[str, Corpus]) -> Checkpoint:
    """A fresh model and codec for the selected ``corpora``.

    A task's labels are those of its selected training and validation sentences.

    Raises:
        ConfigError: the backbone cannot be had, a field is unknown, labels collide.
        CheckpointError: the recipe starts from a tagger that is not there or damaged.
    """
    labels = {name: c.labels("train", "validation") for name, c in corpora.items()}
    if recipe.start is not None:
        return _go_on(recipe, corpora, labels)
    if "tasks" in recipe.model:
        raise ConfigError("model.tasks is not set in a recipe: the tasks are those of the data")
    settings = {**recipe.model, "tasks": tuple(corpora)}
    model_config = parse_model(ModelConfig, settings, "recipe, model")
    defaults = {
        "task_prefix": _wants_prefix(model_config),
        "words": word_rule(corpora),
        "marks": {name: span_marks(c.splits["train"]) for name, c in corpora.items()},
    }
    codec_settings = {**defaults, **recipe.codec}
    codec_config = parse_model(CodecConfig, codec_settings, "recipe, codec")
    torch.manual_seed(recipe.seed)
    if recipe.backbone.startswith(SCRATCH):
        tokenizer = _train_tokenizer(recipe, corpora, labels, codec_config)
        backbone: PreTrainedModel = scratch_backbone(
            recipe.backbone.removeprefix(SCRATCH),
            tokenizer,
            dropout=0.1 if recipe.dropout is None else recipe.dropout,
        )
        name = None
    else:
        name = recipe.backbone
        tokenizer = load_tokenizer(name)
        backbone = load_backbone(name, dropout=recipe.dropout)
        family_of(backbone).check_tokenizer(name, backbone, tokenizer)
    family = family_of(backbone)
    output = output_for(model_config, family)
    if (most := family.max_tokens(backbone)) is not None:
        most = min(codec_config.max_source_tokens, most)
        settings = {**codec_config.model_dump(), "max_source_tokens": most}
        codec_config = parse_model(CodecConfig, settings, f"backbone {name!r}")
    codec = output.codec(tokenizer, labels, codec_config)
    return Checkpoint(output.build(backbone, model_config, codec, name), codec)


def _go_on(
    recipe: Recipe, corpora: Mapping[str, Corpus], labels: Mapping[str, tuple[str, ...]]
) -> Checkpoint:
    """The trained tagger that the recipe starts from, for the tasks of ``corpora``."""
    trained = load_checkpoint(Path(str(recipe.start)))
    torch.manual_seed(recipe.seed)
    check_growing(trained.model)
    parts = [
        replace(beside(trained, name, labels[name]), marks=span_marks(corpus.splits["train"]))
        for name, corpus in corpora.items()
    ]
    return replace(with_parts(trained, parts), calibration=None)


def _wants_prefix(config: ModelConfig) -> bool:
    """Whether the method wants the task named in the source."""
    return {"never": False, "several": len(config.tasks) > 1, "always": True}[
        config.row.task_prefix
    ]


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
