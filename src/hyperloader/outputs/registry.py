"""The ways of answering by name, and which of them a model has."""

from typing import Any, TypeAlias

from hyperloader.backbones.family import Family
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.output import Output
from hyperloader.outputs.sentt.output import SentT
from hyperloader.outputs.token_tags.onnx.model import OnnxTagger
from hyperloader.outputs.token_tags.output import TokenTags
from hyperloader.outputs.token_tags.zero_shot import ZeroShotTagger
from hyperloader.registry import Registry

# What answers: a model, what runs an exported one, or one that is asked for other labels.
Answering: TypeAlias = AttachedModel | OnnxTagger | ZeroShotTagger

OUTPUTS: Registry[Output[Any, Any]] = Registry("output", (SentT(), TokenTags()))


def output_for(config: ModelConfig, family: Family) -> Output[Any, Any]:
    """How a model of ``config`` answers: as it says, else as suits the ``family`` of backbone."""
    return OUTPUTS.named(config.output or family.output)


def output_of(model: Answering) -> Output[Any, Any]:
    """How ``model`` answers. Raises ConfigError where it does not (it has no output)."""
    return OUTPUTS.named(str(model.output))
