"""SentT' (paper, section 3.6): the tags are written as text, by a backbone with a decoder."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hyperloader.backbones.t5.family import output_scale
from hyperloader.codec.batch import collate
from hyperloader.codec.codec import CodecConfig
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.modeling.evaluating import evaluating
from hyperloader.outputs.output import BATCH, GoldScores, Labels, Output
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.outputs.sentt.decisions import find_decisions
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder
from hyperloader.outputs.sentt.grammar import Grammar
from hyperloader.outputs.sentt.loss import SentTLoss, decision_scores
from hyperloader.outputs.sentt.model import TaggingModel


class SentT(Output[TaggingModel, SentTCodec]):
    """Text to text, decoded under the grammar of answers."""

    name = "sentt"
    model = TaggingModel

    def codec(self, tokenizer: Any, labels: Labels, config: CodecConfig) -> SentTCodec:
        """See :meth:`Output.codec`."""
        return SentTCodec(tokenizer, labels, config)

    def check(self, model: TaggingModel, codec: SentTCodec) -> None:
        """See :meth:`Output.check`: labels are text, so every codec of this kind does."""

    def loss(self, model: TaggingModel, codec: SentTCodec, config: TrainingSection) -> SentTLoss:
        """See :meth:`Output.loss`."""
        return SentTLoss(model, codec, config)

    def decoder_of(
        self, model: TaggingModel, codec: SentTCodec, temperatures: Mapping[str, float] | None
    ) -> SentTDecoder:
        """See :meth:`Output.decoder_of`."""
        return SentTDecoder(model, codec, temperatures=temperatures)

    def gold_scores(
        self, model: TaggingModel, codec: SentTCodec, windows: Sequence[EncodedWindow]
    ) -> list[GoldScores]:
        """See :meth:`Output.gold_scores`."""
        ordered = sorted(windows, key=lambda window: len(window.source))
        with evaluating(model):
            return [
                self._gold_scores(model, codec, ordered[start : start + BATCH])
                for start in range(0, len(ordered), BATCH)
            ]

    @torch.no_grad()
    def _gold_scores(
        self, model: TaggingModel, codec: SentTCodec, windows: Sequence[EncodedWindow]
    ) -> GoldScores:
        grammar = Grammar(codec.tag_ids)
        decisions = find_decisions(windows, codec, grammar)
        batch = collate(windows, codec.pieces.pad).to(model.device)
        states = model.decoder_states(
            batch.input_ids,
            batch.attention_mask,
            batch.labels,
            task_ids=model.task_ids(batch.tasks),
        )
        scale = output_scale(model.backbone.config)
        scores = decision_scores(states, decisions, grammar, model.backbone.lm_head.weight, scale)
        # The columns of other tasks' tags are of no use here.
        used = decisions.allowed.any(0).nonzero()[:, 0]
        return GoldScores(scores.cpu()[:, used], torch.searchsorted(used, decisions.choice))
