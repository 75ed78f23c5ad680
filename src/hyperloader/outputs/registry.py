"""The ways of answering by name, and which of them a model has."""

from typing import Any

from hyperloader.backbones.family import Family
from hyperloader.errors import ConfigError, unknown
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.output import Output
from hyperloader.outputs.sentt.output import SentT
from hyperloader.outputs.token_tags.output import TokenTags

OUTPUTS: dict[str, Output[Any, Any]] = {output.name: output for output in (SentT(), TokenTags())}


def output_named(name: str) -> Output[Any, Any]:
    """The way of answering called ``name``. Raises ConfigError that lists the known ones."""
    if name not in OUTPUTS:
        raise ConfigError(unknown("output", name, OUTPUTS))
    return OUTPUTS[name]


def output_for(config: ModelConfig, family: Family) -> Output[Any, Any]:
    """How a model of ``config`` answers: as it says, else as suits the ``family`` of backbone."""
    return output_named(config.output or family.output)


def output_of(model: AttachedModel) -> Output[Any, Any]:
    """How ``model`` answers. Raises ConfigError where it does not (it has no output)."""
    return output_named(str(model.output))
