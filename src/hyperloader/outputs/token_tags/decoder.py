"""Tagging with a tagging head: every word gets its likeliest tag, every span a probability."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hyperloader.codec.windows import EncodedWindow
from hyperloader.errors import HyperloaderError
from hyperloader.outputs.sentt.decoding.decoder import DecodedWindow
from hyperloader.outputs.token_tags.codec import TokenCodec, collate_tokens
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.tags import parse_tags
from hyperloader.types import Alternative, Span


class TokenDecoder:
    """Tags windows with a model that has a tagging head.

    Tags are read by the CoNLL rule of :mod:`hyperloader.tags`, as published systems are scored:
    an I without its B starts a span. A span's score is the product of its tags' probabilities and
    of the probability that the word after it has not its label's I.

    Args:
        temperatures: that of the codec's task divides the logits before they become
            probabilities (1 where it is not named). The answer stays what it is.
    """

    def __init__(
        self,
        model: TokenTagger,
        codec: TokenCodec,
        temperatures: Mapping[str, float] | None = None,
    ) -> None:
        self.model, self.codec = model, codec
        (task,) = codec.labels
        self.temperature = (temperatures or {}).get(task, 1.0)

    def decode(
        self, windows: Sequence[EncodedWindow], *, batch_size: int = 64, alternatives: int = 0
    ) -> list[DecodedWindow]:
        """Decode ``windows`` in their order, with so many ``alternatives`` a word.

        Windows share a batch with those of their own length only. The published gates take a
        mean over all positions of a row, so that padding would change what is found.
        """
        alike: dict[int, list[int]] = defaultdict(list)
        for i, window in enumerate(windows):
            alike[len(window.source)].append(i)
        found: dict[int, DecodedWindow] = {}
        training = self.model.training
        self.model.eval()
        try:
            for places in alike.values():
                for start in range(0, len(places), batch_size):
                    chosen = places[start : start + batch_size]
                    decoded = self._decode([windows[i] for i in chosen], alternatives)
                    found.update(zip(chosen, decoded, strict=True))
        finally:
            self.model.train(training)
        return [found[i] for i in range(len(windows))]

    @torch.no_grad()
    def _decode(self, windows: Sequence[EncodedWindow], limit: int) -> list[DecodedWindow]:
        batch, device = collate_tokens(windows, self.codec.pieces.pad), self.model.device
        logits = self.model(
            batch.input_ids.to(device),
            batch.attention_mask.to(device),
            first=batch.first.to(device),
        ).logits
        number = logits.argmax(-1)
        distribution = (logits.float() / self.temperature).softmax(-1)
        probability = distribution.gather(-1, number[..., None])[..., 0]
        if not probability.isfinite().all():
            raise HyperloaderError(
                "the model's scores are not finite numbers; its weights are damaged or its "
                "precision is too small (use float32 or bfloat16)"
            )
        others: Sequence[list[tuple[Alternative, ...]] | None] = [None] * len(windows)
        if limit:
            others = self._alternatives(distribution, limit)
        return [
            DecodedWindow(
                self._spans(tags[: window.words], scores, row),
                None if words is None else words[: window.words],
            )
            for window, tags, scores, row, words in zip(
                windows, number.tolist(), probability.tolist(), distribution, others, strict=True
            )
        ]

    def _alternatives(
        self, distribution: Tensor, limit: int
    ) -> list[list[tuple[Alternative, ...]]]:
        """The ``limit`` likeliest tags of every word, of ``distribution`` (batch, words, tags)."""
        best, number = distribution.topk(min(limit, distribution.shape[-1]))
        return [
            [
                tuple(Alternative((self.codec.tags[n],), p) for n, p in zip(*word, strict=True))
                for word in zip(*row, strict=True)
            ]
            for row in zip(number.tolist(), best.tolist(), strict=True)
        ]

    def _spans(
        self, numbers: Sequence[int], scores: Sequence[float], distribution: Tensor
    ) -> list[Span]:
        spans = []
        for span in parse_tags([self.codec.tags[n] for n in numbers], scheme="bio"):
            score = math.prod(scores[span.word_start : span.word_end])
            if span.word_end < len(numbers):
                inside = self.codec.tags.index(f"I-{span.label}")
                score *= 1 - float(distribution[span.word_end, inside])
            spans.append(Span(span.word_start, span.word_end, span.label, score))
        return spans
