"""Backbones by name: from the Hub, a folder, a package or what is bundled; or only their shape."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from hyperloader import trust
from hyperloader.backbones.registry import FAMILIES, family_of_type
from hyperloader.builtin import backbone_path
from hyperloader.errors import ConfigError, HyperloaderError, first_line, unknown

# transformers is imported where it is needed: tagging alone does without, and starts in less than
# half of the time.
if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SCRATCH = "scratch:"


def load_backbone(
    name: str, dropout: float | Mapping[str, float] | None = None
) -> "PreTrainedModel":
    """Load a pre-trained backbone of any known family, in float32 and evaluation mode.

    Only safetensors are read, and no code that comes with them is run.

    Args:
        name: ``builtin``, ``minilm``, a folder or a Hub name such as ``google-t5/t5-base``.
        dropout: instead of the backbone's own rates, one for all of them, or by their names.

    Raises:
        ConfigError: it cannot be had, or is of no known family.
    """
    path = backbone_path(name)
    with _quiet():
        try:
            family = family_of_type(trust.load_config(path).model_type)
            if not isinstance(dropout, Mapping):
                dropout = {} if dropout is None else dict.fromkeys(family.dropouts, dropout)
            return family.load(path, dropout)
        except HyperloaderError:
            raise
        except Exception as error:  # a damaged file can make a library raise anything
            raise _cannot_load(name, error) from error


def load_tokenizer(name: str) -> "PreTrainedTokenizerBase":
    """The tokenizer of the backbone ``name``. Raises ConfigError when it cannot be had."""
    path = backbone_path(name)
    with _quiet():
        try:
            return trust.load_tokenizer(path)
        except (OSError, ValueError, KeyError) as error:
            # Without sentencepiece transformers asks for tiktoken, which would not do.
            if "tiktoken" in str(error) and find_spec("sentencepiece") is None:
                raise ConfigError(
                    f"the tokenizer of {name!r} is there as a SentencePiece model alone, which "
                    "takes one more package to read; pip install sentencepiece"
                ) from error
            raise _cannot_load(name, error) from error


def shape_of(settings: dict[str, Any]) -> "PreTrainedModel":
    """A backbone with random weights from the configuration that a checkpoint has stored."""
    from transformers import AutoConfig

    family = family_of_type(settings.get("model_type"))
    return family.build(AutoConfig.for_model(**settings))


def meta_backbone(name: str) -> "PreTrainedModel":
    """The backbone ``name`` without weights (on the meta device): for counting parameters.

    ``name`` is a published shape (t5-base, bert-base, …) or what :func:`load_backbone` takes.
    """
    for family in FAMILIES.values():
        if name in family.shapes:
            with torch.device("meta"):
                return family.build(family.shape(family.shapes[name]))
    try:
        config = trust.load_config(backbone_path(name))
        with torch.device("meta"):
            return family_of_type(config.model_type).build(config)
    except (OSError, ValueError, KeyError) as error:
        shapes = [shape for family in FAMILIES.values() for shape in family.shapes]
        raise ConfigError(
            f"{unknown('backbone', name, shapes)}; it is no folder with a config.json either "
            f"({first_line(error)})"
        ) from error


def light_backbone(name: str, settings: dict[str, Any]) -> Any | None:
    """A stand-in for ``name`` that needs no transformers; None where there is none.

    Args:
        settings: the backbone's configuration as a checkpoint has stored it.
    """
    path = Path(backbone_path(name)) / "model.safetensors"
    if not path.is_file():
        return None
    try:
        return family_of_type(settings.get("model_type")).light(settings, load_file(path))
    except (SafetensorError, OSError):  # damaged; transformers' way of loading says so
        return None


def weights_hash(backbone: nn.Module, exclude: set[str] | None = None) -> str:
    """SHA-256 over the names, shapes and values of all parameters but ``exclude``."""
    digest = hashlib.sha256()
    for name, parameter in sorted(backbone.named_parameters()):
        if exclude and name in exclude:
            continue
        value = parameter.detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bar for a fraction of a second, or its report on unused weights."""
    from transformers.utils import logging

    bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _cannot_load(name: str, error: Exception) -> ConfigError:
    examples = "; ".join(family.example for family in FAMILIES.values())
    return ConfigError(
        f"the backbone {name!r} cannot be loaded ({first_line(error)}); give a folder made by "
        f"save_pretrained, or one of these kinds: {examples}"
    )
