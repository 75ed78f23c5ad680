"""The training objective: the summed loss of some windows, as one module."""

from collections.abc import Sequence

from torch import Tensor, nn

from hyperloader.codec.collate import EncodedWindow, collate
from hyperloader.codec.decisions import find_decisions
from hyperloader.codec.grammar import Grammar
from hyperloader.codec.sentt import SentTCodec
from hyperloader.config import TrainingSection
from hyperloader.modeling.model import TaggingModel
from hyperloader.training.losses import decision_loss, token_loss


class Objective(nn.Module):
    """Cross-entropy of all target tokens (``full``) or of the ``decisions`` alone."""

    def __init__(self, model: TaggingModel, codec: SentTCodec, config: TrainingSection) -> None:
        super().__init__()
        self.model, self.codec, self.kind = model, codec, config.loss
        self.grammar = Grammar(codec.tag_ids)
        self.scale = model.output_scale

    def forward(self, windows: Sequence[EncodedWindow], smoothing: float = 0.0) -> Tensor:
        """The loss summed over ``windows``; divide by :meth:`count` for the mean."""
        batch = collate(windows, self.codec.pieces.pad)
        device = self.model.device
        assert batch.labels is not None
        labels = batch.labels.to(device)
        inputs = {
            "input_ids": batch.input_ids.to(device),
            "attention_mask": batch.attention_mask.to(device),
            "task_ids": self.model.task_ids(batch.tasks),
            "labels": labels,
        }
        if self.kind == "full":
            return token_loss(self.model(**inputs).logits, labels, smoothing)
        decisions = find_decisions(windows, self.codec, self.grammar)
        states = self.model.decoder_states(**inputs)
        output = self.model.backbone.lm_head.weight
        return decision_loss(states, decisions, self.grammar, output, self.scale, smoothing)

    def count(self, windows: Sequence[EncodedWindow]) -> int:
        """How many terms the loss of ``windows`` sums: target tokens, or decisions."""
        if self.kind == "full":
            return sum(len(window.target) for window in windows)
        return len(find_decisions(windows, self.codec, self.grammar).choice)
