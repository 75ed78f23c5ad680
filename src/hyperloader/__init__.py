"""Sequence labelling for many tasks with one frozen T5 and generated weights."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["ModelConfig", "Span", "TaggedText", "Tagger", "TaggingModel", "trust_backbone"]

if TYPE_CHECKING:
    from hyperloader.modeling.config import ModelConfig
    from hyperloader.outputs.sentt.model import TaggingModel
    from hyperloader.tagger import Tagger
    from hyperloader.trust import trust_backbone
    from hyperloader.types import Span, TaggedText

_HOME = {
    "ModelConfig": "hyperloader.modeling.config",
    "Span": "hyperloader.types",
    "TaggedText": "hyperloader.types",
    "Tagger": "hyperloader.tagger",
    "TaggingModel": "hyperloader.outputs.sentt.model",
    "trust_backbone": "hyperloader.trust",
}


def __getattr__(name: str) -> Any:
    # Loaded when first used, so that `hyperloader --help` does not wait for torch.
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'hyperloader' has no attribute {name!r}")
