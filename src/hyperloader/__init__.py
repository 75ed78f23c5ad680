"""Sequence labelling for many tasks with one small frozen backbone and generated weights.

Tag with :class:`Tagger`, train with :func:`train`, which gives one.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Alternative",
    "CheckpointError",
    "ConfigError",
    "Corpus",
    "DataError",
    "Example",
    "HyperloaderError",
    "ModelConfig",
    "Span",
    "TaggedSequence",
    "TaggedSpan",
    "TaggedText",
    "Tagger",
    "TaggingModel",
    "TrainingError",
    "add_task",
    "load_corpora",
    "pipeline",
    "resume",
    "suggest",
    "train",
    "trust_backbone",
]

if TYPE_CHECKING:
    from hyperloader.api import resume, train
    from hyperloader.corpora.corpus import Corpus
    from hyperloader.corpora.registry import load_corpora
    from hyperloader.errors import (
        CheckpointError,
        ConfigError,
        DataError,
        HyperloaderError,
        TrainingError,
    )
    from hyperloader.growing.add import add_task
    from hyperloader.growing.suggest import suggest
    from hyperloader.integrations.transformers import pipeline
    from hyperloader.modeling.config import ModelConfig
    from hyperloader.outputs.sentt.model import TaggingModel
    from hyperloader.tagger import Tagger
    from hyperloader.trust import trust_backbone
    from hyperloader.types import (
        Alternative,
        Example,
        Span,
        TaggedSequence,
        TaggedSpan,
        TaggedText,
    )

_HOME = {
    "Alternative": "types",
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "Corpus": "corpora.corpus",
    "DataError": "errors",
    "Example": "types",
    "HyperloaderError": "errors",
    "ModelConfig": "modeling.config",
    "Span": "types",
    "TaggedSequence": "types",
    "TaggedSpan": "types",
    "TaggedText": "types",
    "Tagger": "tagger",
    "TaggingModel": "outputs.sentt.model",
    "TrainingError": "errors",
    "add_task": "growing.add",
    "load_corpora": "corpora.registry",
    "pipeline": "integrations.transformers",
    "resume": "api",
    "suggest": "growing.suggest",
    "train": "api",
    "trust_backbone": "trust",
}


def __getattr__(name: str) -> Any:
    # Loaded when first used, so that `hyperloader --help` does not wait for torch.
    if name in _HOME:
        from importlib import import_module

        value = getattr(import_module(f"hyperloader.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hyperloader' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
