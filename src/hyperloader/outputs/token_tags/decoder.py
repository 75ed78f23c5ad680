"""Tagging with a tagging head: every word gets its likeliest tag, every span a probability."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hyperloader.codec.batch import alike, collate
from hyperloader.codec.windows import EncodedWindow
from hyperloader.errors import HyperloaderError
from hyperloader.modeling.evaluating import evaluating
from hyperloader.outputs.decoded import DecodedWindow, max_tokens_on
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.tags import parse_tags
from hyperloader.types import Alternative, Span


class TagDecoder:
    """Tags windows with a model that has a tagging head.

    Tags are read by the CoNLL rule of :mod:`hyperloader.tags`, as published systems are scored:
    an I without its B starts a span. A span's score is the product of its tags' probabilities and
    of the probability that the word after it has not its label's I.

    Args:
        temperatures: divide a task's logits before they become probabilities (1 where a task is
            not named). The answer stays what it is.
    """

    def __init__(
        self,
        model: TokenTagger,
        codec: TokenCodec,
        temperatures: Mapping[str, float] | None = None,
    ) -> None:
        self.model, self.codec = model, codec
        self.temperatures = dict(temperatures or {})

    def decode(
        self, windows: Sequence[EncodedWindow], *, batch_size: int = 64, alternatives: int = 0
    ) -> list[DecodedWindow]:
        """Decode ``windows`` in their order, with so many ``alternatives`` per word.

        Windows share a batch with those of their own length only. The published gates take a
        mean over all positions of a row, so that padding would change what is found.
        """
        found: dict[int, DecodedWindow] = {}
        with evaluating(self.model), torch.no_grad():
            for chosen in alike(windows, batch_size, max_tokens_on(self.model.device.type)):
                decoded = self._decode([windows[i] for i in chosen], alternatives)
                found.update(zip(chosen, decoded, strict=True))
        return [found[i] for i in range(len(windows))]

    def _decode(self, windows: Sequence[EncodedWindow], limit: int) -> list[DecodedWindow]:
        model = self.model
        batch = collate(windows, self.codec.pieces.pad, multiple=1).to(model.device)
        assert batch.first is not None
        task_ids = model.task_ids(batch.tasks)
        with model.in_runs(task_ids):
            logits = model.score(
                batch.input_ids, batch.attention_mask, task_ids=task_ids, first=batch.first
            )
        number = logits.argmax(-1)
        temperature = [self.temperatures.get(task, 1.0) for task in batch.tasks]
        by = torch.tensor(temperature, device=model.device)[:, None, None]
        distribution = (logits.float() / by).softmax(-1)
        probability = distribution.gather(-1, number[..., None])[..., 0]
        if not probability.isfinite().all():
            raise HyperloaderError(
                "the model's scores are not finite numbers; its weights are damaged or its "
                "precision is too small (use float32 or bfloat16)"
            )
        rows = zip(windows, number.tolist(), probability.tolist(), distribution, strict=True)
        return [
            DecodedWindow(
                self._spans(window, numbers, scores, row),
                self._alternatives(window, row, limit) if limit else None,
            )
            for window, numbers, scores, row in rows
        ]

    def _alternatives(
        self, window: EncodedWindow, distribution: Tensor, limit: int
    ) -> list[tuple[Alternative, ...]]:
        """The ``limit`` likeliest tags of every word, of ``distribution`` (words, T)."""
        tags = self.codec.tags[window.task]
        best, number = distribution[: window.words].topk(min(limit, len(tags)))
        return [
            tuple(Alternative((tags[n],), p) for n, p in zip(*word, strict=True))
            for word in zip(number.tolist(), best.tolist(), strict=True)
        ]

    def _spans(
        self,
        window: EncodedWindow,
        numbers: Sequence[int],
        scores: Sequence[float],
        distribution: Tensor,
    ) -> list[Span]:
        tags, spans = self.codec.tags[window.task], []
        for span in parse_tags([tags[n] for n in numbers[: window.words]], scheme="bio"):
            score = math.prod(scores[span.word_start : span.word_end])
            if span.word_end < window.words:
                inside = tags.index(f"I-{span.label}")
                score *= 1 - float(distribution[span.word_end, inside])
            spans.append(Span(span.word_start, span.word_end, span.label, score))
        return spans
