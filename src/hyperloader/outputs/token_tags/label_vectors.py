"""Vectors of label texts: what the backbone, with nothing attached, makes of a label's name."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hyperloader.backbones.registry import family_of
from hyperloader.codec.labels import label_text
from hyperloader.codec.pieces import SubTokens
from hyperloader.errors import ConfigError
from hyperloader.modeling.active import apart
from hyperloader.modeling.evaluating import evaluating


@torch.no_grad()
def label_vectors(backbone: Any, pieces: SubTokens, labels: Sequence[str]) -> Tensor:
    """The mean state (labels, d) of all tokens of the text of each of ``labels``.

    Modules that are attached to ``backbone`` do not act.

    Raises:
        ConfigError: a text that is longer than what the backbone can read.
    """
    family = family_of(backbone)
    found = [torch.zeros(0, family.width(backbone))]
    with evaluating(backbone), torch.autocast(backbone.device.type, enabled=False):
        for label in labels:
            # One by one: a vector depends, to the last bit, on its text alone.
            source = _source(label, pieces, family.max_tokens(backbone))
            ids = torch.tensor([source], device=backbone.device)
            states = apart(backbone)(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            found.append(states.mean(1).float().cpu())
    return torch.cat(found)


def check_texts(labels: Sequence[str], task: str) -> None:
    """Raise ConfigError where two ``labels`` of ``task`` have one text, which is all that a head of
    texts alone knows of them."""
    known: dict[str, str] = {}
    for label in labels:
        other = known.setdefault(label_text(label, "readable"), label)
        if other != label:
            raise ConfigError(
                f"task {task!r}: the labels {other!r} and {label!r} have the same text, so a head "
                "made of texts cannot tell them apart; rename one, or use model.head=text+free"
            )


def _source(label: str, pieces: SubTokens, most: int | None) -> list[int]:
    """The text of ``label`` as token ids, framed as sentences are."""
    words = label_text(label, "readable").split()
    source = [pieces.first, *(i for ids in pieces(words) for i in ids), pieces.last]
    if most is not None and len(source) > most:
        raise ConfigError(
            f"the label {label[:40]!r}… has {len(source)} sub-tokens, and the backbone reads "
            f"{most}; shorten it, or use model.head=free"
        )
    return source
