"""A teacher beside the objectives: the encoder learns to say what a trained encoder says of a word.

The teacher (MiniLM, or any encoder of the BERT family) reads the words as they were; the student
reads the source, in which words are missing. The student's state at the sentinel before a word
goes through a linear map and is to come close to the mean of the teacher's states of that word's
sub-tokens. The maps stay behind in the run; the backbone has nothing of the teacher in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hyperloader.backbones.bert.family import Bert
from hyperloader.backbones.loading import load_backbone, load_tokenizer
from hyperloader.backbones.registry import family_of_type
from hyperloader.codec.pieces import SubTokens
from hyperloader.errors import ConfigError
from hyperloader.pretraining.objectives import Ids, Words, word_parts
from hyperloader.pretraining.recipe import DistillationSection, Objective, PretrainRecipe

# A teacher's encoder and tokenizer.
Loaded: TypeAlias = tuple[PreTrainedModel, PreTrainedTokenizerBase]

_WITHOUT_WORDS: tuple[Objective, ...] = ("spans",)
_LEAST = 1e-3  # deviation of a dimension, so that one that never changes does not explode
_CACHED = 1 << 17  # words whose sub-tokens are remembered


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the teacher says of the words of some sources.

    ``rows`` and ``numbers``: (words), which word of which row; ``states``: (layers, words, width).
    """

    rows: Tensor
    numbers: Tensor
    states: Tensor

    def part(self, start: int, step: int) -> "Lesson":
        """The lesson of the rows ``start``, ``start + step`` and so on, numbered anew."""
        mine = self.rows % step == start
        return Lesson(self.rows[mine] // step, self.numbers[mine], self.states[:, mine])


class Teacher:
    """A frozen encoder that reads words given as the ids of another tokenizer.

    Args:
        encoder: of the BERT family, without a pooling layer.
        tokenizer: of the encoder.
        pieces: the tokenizer that the ids of the words belong to.
        layers: whose states are told, from 1 to the encoder's last.
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        pieces: PreTrainedTokenizerBase,
        layers: Sequence[int],
    ) -> None:
        self.depth = encoder.config.num_hidden_layers
        self.encoder = encoder.eval().requires_grad_(False)
        self.layers = tuple(layers)
        # What is above the highest layer asked for need not be computed.
        encoder.encoder.layer = encoder.encoder.layer[: max(layers)]
        self.subtokens, self.pieces = SubTokens(tokenizer), pieces
        self.room = Bert().max_tokens(encoder)
        self._of_word = lru_cache(_CACHED)(self._encode)

    @torch.no_grad()
    def __call__(self, texts: Sequence[Words]) -> Lesson:
        """What it says of each word; of what exceeds the length that it can read, nothing."""
        rows: list[list[int]] = []
        found: list[tuple[int, int, int, int]] = []  # row, number, first sub-token, how many
        for row, text in enumerate(texts):
            ids = [self.subtokens.first]
            for number, word in enumerate(word_parts(text)):
                given = self._of_word(word.tobytes())
                if len(ids) + len(given) >= self.room:
                    break
                if given:
                    found.append((row, number, len(ids), len(given)))
                    ids += given
            rows.append([*ids, self.subtokens.last])
        width, device = max(map(len, rows)), self.encoder.device
        pad = self.subtokens.pad
        ids_ = torch.tensor([ids + [pad] * (width - len(ids)) for ids in rows], device=device)
        mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in rows])
        hidden = self.encoder(
            ids_, attention_mask=mask.to(device), output_hidden_states=True
        ).hidden_states
        about = torch.tensor(found, dtype=torch.long, device=device).reshape(-1, 4)
        states = torch.stack([_means(hidden[layer].float(), about) for layer in self.layers])
        return Lesson(about[:, 0], about[:, 1], states)

    def _encode(self, ids: bytes) -> tuple[int, ...]:
        word = self.pieces.decode(np.frombuffer(ids, dtype=np.int64).tolist())
        return tuple(i for part in self.subtokens(word.split()) for i in part)


class Distiller(nn.Module):
    """The maps from the student's states to the teacher's, and how much is lost on the way.

    Each dimension of the teacher is measured by its own deviation over held-out text, so with
    ``mse`` a loss of 1 a word is what saying the mean would give. A middle layer of the teacher
    is told by the student's layer at the same height.

    Args:
        sample: the teacher's states (layers, words, width) of held-out text.
        width: of the student; ``depth``: layers of its encoder.
        height: layers of the teacher.
        sentinels: ids of the tokens that stand before words.
    """

    def __init__(
        self,
        section: DistillationSection,
        sample: Tensor,
        *,
        width: int,
        depth: int,
        height: int,
        sentinels: Ids,
    ) -> None:
        super().__init__()
        self.sentinels: Tensor
        self.mean: Tensor
        self.scale: Tensor
        self.loss = section.loss
        self.register_buffer("sentinels", torch.from_numpy(sentinels), persistent=False)
        self.levels = [max(1, round(layer * depth / height)) for layer in section.layers]
        self.maps = nn.ModuleList(nn.Linear(width, sample.shape[-1]) for _ in self.levels)
        self.register_buffer("mean", sample.mean(1, keepdim=True))
        self.register_buffer("scale", sample.std(1, keepdim=True, correction=0).clamp_min(_LEAST))

    def forward(self, hidden: Sequence[Tensor], source: Tensor, lesson: Lesson) -> Tensor:
        """The loss summed over the words of ``lesson``, the mean over the layers.

        Args:
            hidden: the student's states (rows, length, d) before the first layer and after each;
                the last ones normalised.
            source: (rows, length); its n-th sentinel stands before the n-th word.
        """
        is_sentinel = torch.isin(source, self.sentinels).int()
        places = is_sentinel.argsort(dim=1, descending=True, stable=True)
        at = places[lesson.rows, lesson.numbers]
        wanted = (lesson.states - self.mean) / self.scale
        losses = []
        for level, linear, states in zip(self.levels, self.maps, wanted, strict=True):
            student = hidden[level][lesson.rows, at]
            if level < len(hidden) - 1:  # what T5 adds up between layers has no size of its own
                student = F.rms_norm(student, student.shape[-1:])
            said = linear(student).float()
            if self.loss == "cosine":
                losses.append((1 - F.cosine_similarity(said, states, dim=-1)).sum())
            else:
                losses.append((said - states).square().mean(-1).sum())
        return torch.stack(losses).mean()


def load_teacher(recipe: PretrainRecipe) -> Loaded:
    """The encoder and the tokenizer of the teacher that the recipe names, which it must.

    Raises:
        ConfigError: it is not installed or cannot be loaded, lacks a layer, or no objective of the
            mix has words.
    """
    section = recipe.distillation
    name = section.teacher or ""
    if not any(recipe.objectives.mix.get(o) for o in get_args(Objective) if with_words(o)):
        raise ConfigError(
            "recipe, distillation: spans have no words that a teacher could tell anything of; "
            "give objectives.mix a share of words, restore or copy"
        )
    try:
        encoder = load_backbone(name)
        family = family_of_type(encoder.config.model_type)
        if not isinstance(family, Bert):
            raise ConfigError(
                f"{name} is of the {family.name} family, not of BERT's; name such a one"
            )
        tokenizer = load_tokenizer(name)
    except ConfigError as error:
        raise ConfigError(f"recipe, distillation.teacher: {error}") from error
    depth = encoder.config.num_hidden_layers
    if wrong := [layer for layer in section.layers if layer > depth]:
        raise ConfigError(
            f"recipe, distillation.layers: the teacher has {depth} layers, so there is no layer "
            f"{wrong[0]}"
        )
    return encoder, tokenizer


def with_words(objective: Objective) -> bool:
    """Whether sources of ``objective`` have a sentinel before every word."""
    return objective not in _WITHOUT_WORDS


def _means(hidden: Tensor, about: Tensor) -> Tensor:
    """The mean states (words, width) of the sub-tokens that ``about`` lists."""
    rows, _, first, count = about.unbind(1)
    words = torch.repeat_interleave(torch.arange(len(about), device=about.device), count)
    inside = torch.arange(len(words), device=about.device) - (count.cumsum(0) - count)[words]
    states = hidden[rows[words], first[words] + inside]
    sums = hidden.new_zeros(len(about), hidden.shape[-1]).index_add_(0, words, states)
    return sums / count[:, None]
