"""The T5 that is pre-trained: made by recipe or gone on from, and written as a backbone."""

from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, T5Config

from hyperloader.backbones.loading import load_backbone
from hyperloader.backbones.t5.scratch import random_t5, structure_first_weights
from hyperloader.codec.pieces import WordPieces
from hyperloader.errors import ConfigError
from hyperloader.modeling.pretrained import write_tensors
from hyperloader.pretraining.recipe import BackboneSection
from hyperloader.pretraining.tokenizer import load_tokenizer
from hyperloader.store import Kind, atomic_folder

WEIGHTS = "model.safetensors"
_MULTIPLE = 64  # a vocabulary of a round number of rows is a faster product on a GPU


def build_backbone(section: BackboneSection, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A T5 for ``tokenizer`` with first weights drawn from torch's generator, or ``start``.

    Raises:
        ConfigError: a shape that T5 does not take, or a ``start`` that the tokenizer does not fit.
    """
    if section.start is not None:
        backbone = load_backbone(section.start, dropout=section.dropout)
        check_fit(tokenizer, backbone, section.start)
        if load_tokenizer(section.start).get_vocab() != tokenizer.get_vocab():
            raise ConfigError(
                f"the tokenizer does not fit the backbone {section.start!r}: it is not the one in "
                f"that folder; set tokenizer.folder={section.start}"
            )
        return backbone
    pieces = WordPieces(tokenizer)
    try:
        model = random_t5(
            tokenizer,
            multiple=_MULTIPLE,
            dropout_rate=section.dropout,
            **section.model_dump(exclude={"start", "dropout", "first_weights"}),
        )
    except (ValueError, KeyError) as error:
        raise ConfigError(f"recipe, backbone: T5 refuses this shape ({error})") from error
    if section.first_weights == "structured":
        structure_first_weights(model, pieces.sentinels)
    return model


def check_fit(tokenizer: PreTrainedTokenizerBase, backbone: PreTrainedModel, name: str) -> None:
    """Raise ConfigError unless ``backbone`` is one that speaks the language of ``tokenizer``.

    Every id needs a row, at most a round number of rows may be left over, and padding and end
    must be the same ids.
    """
    rows, ids, config = backbone.config.vocab_size, len(tokenizer), backbone.config
    ends = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    if not 0 <= rows - ids < 2 * _MULTIPLE or ends != (config.pad_token_id, config.eos_token_id):
        raise ConfigError(
            f"the tokenizer does not fit the backbone {name!r}: it has {ids} pieces (padding and "
            f"end are {ends[0]} and {ends[1]}), the backbone rows for {rows} "
            f"({config.pad_token_id} and {config.eos_token_id}); use the tokenizer that the "
            "backbone was trained with"
        )


def write_backbone(
    folder: Path,
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    precision: str = "float32",
) -> None:
    """Write a folder that transformers and ``--backbone`` read, into an existing ``folder``."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    config = backbone.config.to_dict() | {"dtype": str(dtype).removeprefix("torch.")}
    T5Config.from_dict(config).save_pretrained(folder)
    tensors = {
        name: parameter.detach().to("cpu", dtype).contiguous()
        for name, parameter in backbone.named_parameters()
    }
    write_tensors(folder / WEIGHTS, tensors)
    tokenizer.save_pretrained(folder)


def export_backbone(
    target: Path,
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    precision: str = "float32",
) -> None:
    """:func:`write_backbone` as ``target``, atomically.

    Raises:
        ConfigError: the tokenizer does not fit the backbone.
    """
    check_fit(tokenizer, backbone, str(target))
    with atomic_folder(target, Kind.BACKBONE, overwrite=True) as temporary:
        write_backbone(temporary, backbone, tokenizer, precision)
