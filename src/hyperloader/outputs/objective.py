"""The training objective: the summed loss of some windows, as one module."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from hyperloader.codec.batch import IGNORED
from hyperloader.codec.codec import Codec
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.modeling.attached import AttachedModel
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.outputs.sentt.decisions import find_decisions
from hyperloader.outputs.sentt.grammar import Grammar
from hyperloader.outputs.sentt.losses import decision_loss, token_loss
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.outputs.sentt.rows import pack
from hyperloader.outputs.token_tags.codec import TokenCodec, collate_tokens
from hyperloader.outputs.token_tags.model import TokenTagger


class WindowLoss(nn.Module, ABC):
    """A loss that is a sum of terms, so that a batch may be cut into parts."""

    @abstractmethod
    def terms(
        self, windows: Sequence[EncodedWindow], smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Every term of the loss, and the index of its window; both (:meth:`count`,)."""

    def forward(self, windows: Sequence[EncodedWindow], smoothing: float = 0.0) -> Tensor:
        """The loss summed over ``windows``; divide by :meth:`count` for the mean."""
        return self.terms(windows, smoothing)[0].sum()

    @torch.no_grad()
    def mean_of_each(self, windows: Sequence[EncodedWindow]) -> Tensor:
        """The mean of each window's terms, 0 where it has none; (windows,)."""
        terms, window = (part.cpu() for part in self.terms(windows))
        sums = torch.zeros(len(windows)).index_add(0, window, terms.float())
        return sums / window.bincount(minlength=len(windows)).clamp(min=1)

    @abstractmethod
    def count(self, windows: Sequence[EncodedWindow]) -> int:
        """How many terms the loss of ``windows`` sums."""


class Objective(WindowLoss):
    """Cross-entropy of all target tokens (``full``) or of the ``decisions`` alone."""

    def __init__(self, model: TaggingModel, codec: SentTCodec, config: TrainingSection) -> None:
        super().__init__()
        self.model, self.codec, self.kind = model, codec, config.loss
        self.grammar = Grammar(codec.tag_ids)
        self.scale = model.output_scale

    def terms(
        self, windows: Sequence[EncodedWindow], smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """See :class:`WindowLoss`."""
        backbone, device = self.model.backbone, self.model.device
        batch = pack(
            windows,
            pad=self.codec.pieces.pad,
            start=backbone.config.decoder_start_token_id,
            together=self.model.by_token,
        )
        states = self.model.decoder_states(
            batch.input_ids.to(device),
            batch.source_mask.to(device),
            task_ids=self.model.task_ids(batch.tasks),
            decoder_input_ids=batch.decoder_input_ids.to(device),
            decoder_attention_mask=None
            if batch.target_mask is None
            else batch.target_mask.to(device),
            cross_attention_mask=batch.cross_mask.to(device),
        )
        if self.kind == "full":
            lengths = torch.tensor([len(window.target) for window in windows])
            index = torch.arange(len(windows)).repeat_interleave(lengths)
            place = torch.cat([torch.arange(length) for length in lengths])
            chosen = states[batch.row[index], batch.offset[index] + place]
            labels = torch.tensor([token for window in windows for token in window.target])
            logits = backbone.lm_head(chosen * self.scale)
            return token_loss(logits, labels.to(device), smoothing), index
        found = find_decisions(windows, self.codec, self.grammar)
        decisions = replace(
            found,
            row=batch.row[found.row],
            position=batch.offset[found.row] + found.position,
        )
        loss = decision_loss(
            states, decisions, self.grammar, backbone.lm_head.weight, self.scale, smoothing
        )
        return loss, found.row

    def count(self, windows: Sequence[EncodedWindow]) -> int:
        """Target tokens, or decisions."""
        if self.kind == "full":
            return sum(len(window.target) for window in windows)
        return len(find_decisions(windows, self.codec, self.grammar).choice)


class TagObjective(WindowLoss):
    """Cross-entropy of the words' tags: every word is a decision, and there is nothing else."""

    def __init__(self, model: TokenTagger, codec: TokenCodec) -> None:
        super().__init__()
        self.model, self.codec = model, codec

    def terms(
        self, windows: Sequence[EncodedWindow], smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """See :class:`WindowLoss`."""
        batch, device = collate_tokens(windows, self.codec.pieces.pad), self.model.device
        assert batch.labels is not None
        logits = self.model(
            batch.input_ids.to(device),
            batch.attention_mask.to(device),
            first=batch.first.to(device),
        ).logits
        kept = batch.labels != IGNORED
        labels = batch.labels[kept].to(device)
        return token_loss(logits[kept.to(device)], labels, smoothing), kept.nonzero()[:, 0]

    def count(self, windows: Sequence[EncodedWindow]) -> int:
        """Words."""
        return sum(window.words for window in windows)


def build_objective(model: AttachedModel, codec: Codec, config: TrainingSection) -> WindowLoss:
    """The objective of a text-to-text model, or of one with a tagging head.

    Raises:
        TypeError: ``codec`` is of the other kind.
    """
    if isinstance(model, TaggingModel) and isinstance(codec, SentTCodec):
        return Objective(model, codec, config)
    if isinstance(model, TokenTagger) and isinstance(codec, TokenCodec):
        return TagObjective(model, codec)
    raise TypeError(f"a {type(model).__name__} does not go with a {type(codec).__name__}")
