"""The loss of SentT' answers: of all tokens of the target, or of its decisions alone."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hyperloader.backbones.t5.family import output_scale
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.errors import ConfigError
from hyperloader.outputs.loss import WindowLoss, choice_loss, token_loss
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.outputs.sentt.decisions import Decisions, find_decisions
from hyperloader.outputs.sentt.grammar import Grammar
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.outputs.sentt.rows import pack


class SentTLoss(WindowLoss):
    """Cross-entropy of all target tokens (``full``) or of the ``decisions`` alone.

    Raises:
        ConfigError: consistency or label sets, which are for tagging heads.
    """

    def __init__(self, model: TaggingModel, codec: SentTCodec, config: TrainingSection) -> None:
        super().__init__()
        if config.consistency:
            raise ConfigError(
                "training.consistency is for taggers on encoders (output token_tags); set it to 0"
            )
        if config.label_sets != "own":
            raise ConfigError(
                "training.label_sets is for taggers on encoders (output token_tags); set it to own"
            )
        self.model, self.codec, self.kind = model, codec, config.loss
        self.grammar = Grammar(codec.tag_ids)
        self.scale = output_scale(model.backbone.config)

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
        ).to(device)
        states = self.model.decoder_states(
            batch.input_ids,
            batch.source_mask,
            task_ids=self.model.task_ids(batch.tasks),
            decoder_input_ids=batch.decoder_input_ids,
            decoder_attention_mask=batch.target_mask,
            cross_attention_mask=batch.cross_mask,
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
        output = backbone.lm_head.weight
        scores = decision_scores(states, decisions, self.grammar, output, self.scale)
        allowed, choice = decisions.allowed.to(device), decisions.choice.to(device)
        return choice_loss(scores, allowed, choice, smoothing), found.row

    def count(self, windows: Sequence[EncodedWindow]) -> int:
        """Target tokens, or decisions."""
        if self.kind == "full":
            return sum(len(window.target) for window in windows)
        return len(find_decisions(windows, self.codec, self.grammar).choice)


def decision_scores(
    states: Tensor, decisions: Decisions, grammar: Grammar, output: Tensor, scale: float
) -> Tensor:
    """Log-probabilities (N, K + 1) of every decision's options; minus infinity where forbidden.

    ``states`` (batch, length, d) are the decoder's, ``output`` (vocabulary, d) its output
    embedding.
    """
    device = states.device
    chosen = states[decisions.row.to(device), decisions.position.to(device)] * scale
    logits = torch.cat(
        [
            chosen @ output[grammar.tokens.to(device)].T.to(chosen.dtype),
            (chosen * output[decisions.closing.to(device)]).sum(-1, keepdim=True).to(chosen.dtype),
        ],
        dim=1,
    ).float()
    return logits.masked_fill(~decisions.allowed.to(device), -torch.inf).log_softmax(-1)
