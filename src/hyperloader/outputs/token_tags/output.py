"""Token tags: a tagging head on an encoder gives every word its tag."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hyperloader.codec.batch import IGNORED, alike, collate
from hyperloader.codec.codec import CodecConfig
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.errors import ConfigError
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.evaluating import evaluating
from hyperloader.outputs.output import BATCH, GoldScores, Labels, Output
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.decoder import TagDecoder
from hyperloader.outputs.token_tags.loss import TagLoss
from hyperloader.outputs.token_tags.model import TokenTagger


class TokenTags(Output[TokenTagger, TokenCodec]):
    """A BIO tag for each word, from the state of its first sub-token."""

    name = "token_tags"
    model = TokenTagger

    def codec(self, tokenizer: Any, labels: Labels, config: CodecConfig) -> TokenCodec:
        """See :meth:`Output.codec`."""
        return TokenCodec(tokenizer, labels, config)

    def build(
        self, backbone: Any, config: ModelConfig, codec: TokenCodec, backbone_name: str | None
    ) -> TokenTagger:
        """See :meth:`Output.build`."""
        return TokenTagger(backbone, config, backbone_name, tags=_counts(codec))

    def check(self, model: TokenTagger, codec: TokenCodec) -> None:
        """See :meth:`Output.check`."""
        for task, count in _counts(codec).items():
            if model.tags.get(task) != count:
                raise ConfigError(
                    f"task {task!r} has {count} tags and the head {model.tags.get(task)}: the "
                    "head is for other labels"
                )

    def loss(self, model: TokenTagger, codec: TokenCodec, config: TrainingSection) -> TagLoss:
        """See :meth:`Output.loss`; every word is a decision, so ``config.loss`` has no effect."""
        return TagLoss(model, codec)

    def decoder(
        self,
        model: TokenTagger,
        codec: TokenCodec,
        temperatures: Mapping[str, float] | None = None,
    ) -> TagDecoder:
        """See :meth:`Output.decoder`."""
        return TagDecoder(model, codec, temperatures)

    def gold_scores(
        self, model: TokenTagger, codec: TokenCodec, windows: Sequence[EncodedWindow]
    ) -> list[GoldScores]:
        """See :meth:`Output.gold_scores`."""
        with evaluating(model):
            return [
                self._gold_scores(model, codec, [windows[i] for i in chosen])
                for chosen in alike(windows, BATCH)
            ]

    @torch.no_grad()
    def _gold_scores(
        self, model: TokenTagger, codec: TokenCodec, windows: Sequence[EncodedWindow]
    ) -> GoldScores:
        batch = collate(windows, codec.pieces.pad, multiple=1).to(model.device)
        assert batch.labels is not None
        assert batch.first is not None
        logits = model(
            batch.input_ids,
            batch.attention_mask,
            task_ids=model.task_ids(batch.tasks),
            first=batch.first,
        ).logits
        kept = batch.labels != IGNORED
        return GoldScores(logits.float().log_softmax(-1)[kept].cpu(), batch.labels[kept].cpu())


def _counts(codec: TokenCodec) -> dict[str, int]:
    return {task: len(tags) for task, tags in codec.tags.items()}
