"""Token tags: a tagging head on an encoder gives every word its tag."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hyperloader.codec.batch import IGNORED, alike
from hyperloader.codec.codec import CodecConfig
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.errors import ConfigError
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.evaluating import evaluating
from hyperloader.outputs.output import BATCH, Gold, GoldScores, Labels, Output
from hyperloader.outputs.token_tags.chain import GoldTags
from hyperloader.outputs.token_tags.codec import TokenCodec, tag_names
from hyperloader.outputs.token_tags.decoder import TagDecoder
from hyperloader.outputs.token_tags.first_head import fit_head
from hyperloader.outputs.token_tags.label_vectors import check_texts, label_vectors
from hyperloader.outputs.token_tags.loss import RandomSetsLoss, TagLoss
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.outputs.token_tags.onnx.model import OnnxTagger
from hyperloader.outputs.token_tags.rows import pack
from hyperloader.outputs.token_tags.zero_shot import ZeroShotTagger


class TokenTags(Output[TokenTagger, TokenCodec]):
    """A BIO tag for each word, from the state of its first sub-token."""

    name = "token_tags"
    model = TokenTagger

    def codec(self, tokenizer: Any, labels: Labels, config: CodecConfig) -> TokenCodec:
        """See :meth:`Output.codec`."""
        return TokenCodec(tokenizer, labels, config)

    def tag_names(self, labels: Sequence[str]) -> tuple[str, ...]:
        """See :meth:`Output.tag_names`."""
        return tag_names(labels)

    def settings(self, codec: TokenCodec) -> dict[str, Any]:
        """See :meth:`Output.settings`."""
        return {"tags": _counts(codec)}

    def build(
        self, backbone: Any, config: ModelConfig, codec: TokenCodec, backbone_name: str | None
    ) -> TokenTagger:
        """See :meth:`Output.build`."""
        model = super().build(backbone, config, codec, backbone_name)
        for source in model.label_texts:
            for number, task in enumerate(config.tasks):
                for row in self.of_texts(model, codec, task, codec.labels[task]).values():
                    source.read(number, row)
        return model

    def of_texts(
        self, model: TokenTagger, codec: TokenCodec, task: str, labels: Sequence[str]
    ) -> dict[str, Tensor]:
        """See :meth:`Output.of_texts`."""
        tables = model.source.tables().items()
        names = [name for name, table in tables if table.labels is not None]
        if not names:
            return {}
        if model.config.head == "text":
            check_texts(labels, task)
        return dict.fromkeys(names, label_vectors(model.backbone, codec.pieces, labels))

    def check(self, model: TokenTagger | OnnxTagger, codec: TokenCodec) -> None:
        """See :meth:`Output.check`."""
        for task, count in _counts(codec).items():
            if model.tags.get(task) != count:
                raise ConfigError(
                    f"task {task!r} has {count} tags and the head {model.tags.get(task)}: the "
                    "head is for other labels"
                )

    def loss(self, model: TokenTagger, codec: TokenCodec, config: TrainingSection) -> TagLoss:
        """See :meth:`Output.loss`; every word is a decision, so ``config.loss`` has no effect."""
        kind = RandomSetsLoss if config.label_sets == "random" else TagLoss
        return kind(model, codec, config.label_smoothing, config.consistency)

    def begin(
        self, model: TokenTagger, codec: TokenCodec, windows: Sequence[EncodedWindow]
    ) -> None:
        """See :meth:`Output.begin`: what is free of a head is fitted to the states of words as
        they are."""
        if "free" in model.config.head:
            fit_head(model, codec, windows)

    def decoder_of(
        self,
        model: TokenTagger | OnnxTagger | ZeroShotTagger,
        codec: TokenCodec,
        temperatures: Mapping[str, float] | None,
    ) -> TagDecoder:
        """See :meth:`Output.decoder_of`."""
        return TagDecoder(model, codec, temperatures)

    def asking_for(
        self, model: TokenTagger, codec: TokenCodec, task: str, labels: Mapping[str, str]
    ) -> tuple[ZeroShotTagger, TokenCodec]:
        """See :meth:`Output.asking_for`."""
        if not isinstance(model, TokenTagger):
            return super().asking_for(model, codec, task, labels)
        check_texts([*labels.values()], task)
        # No span of this task ever began or ended with a sentence mark.
        config = codec.config.model_copy(update={"marks": {task: ()}})
        asked = TokenCodec(codec.tokenizer, {task: tuple(labels)}, config)
        return ZeroShotTagger(model, asked, [*labels.values()]), asked

    def gold_scores(
        self, model: TokenTagger, codec: TokenCodec, windows: Sequence[EncodedWindow]
    ) -> list[Gold]:
        """See :meth:`Output.gold_scores`."""
        with evaluating(model):
            return [
                self._gold(model, codec, [windows[i] for i in chosen])
                for chosen in alike(windows, BATCH)
            ]

    @torch.no_grad()
    def _gold(
        self, model: TokenTagger, codec: TokenCodec, windows: Sequence[EncodedWindow]
    ) -> Gold:
        rows = pack(windows, pad=codec.pieces.pad, together=model.packs).to(model.device)
        logits = model.read(rows).float()
        if model.config.tags == "sequence":
            return GoldTags(*(part.cpu() for part in rows.sentences(logits)))
        kept = rows.labels != IGNORED
        return GoldScores(logits.log_softmax(-1)[kept].cpu(), rows.labels[kept].cpu())


def _counts(codec: TokenCodec) -> dict[str, int]:
    return {task: len(tags) for task, tags in codec.tags.items()}
