"""Tagging with a tagging head: the best tags of every sentence, and how likely each span is."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch

from hyperloader.codec.batch import alike, near
from hyperloader.codec.windows import EncodedWindow
from hyperloader.errors import HyperloaderError
from hyperloader.modeling.evaluating import evaluating
from hyperloader.outputs.decoded import DecodedSequence, DecodedWindow, max_tokens_on
from hyperloader.outputs.token_tags.chain import Floats, Lattice, Lengths
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.outputs.token_tags.onnx.model import OnnxTagger
from hyperloader.outputs.token_tags.rows import pack
from hyperloader.outputs.token_tags.single import SingleWords
from hyperloader.outputs.token_tags.zero_shot import ZeroShotTagger
from hyperloader.tags import parse_tags
from hyperloader.types import Alternative, Span

# Source tokens of a batch on a CPU: of more, its caches do not hold the states.
CPU_TOKENS = 256


class Tagging(Protocol):
    """What the logits of some sentences come to."""

    def best(self) -> list[list[int]]:
        """The tags of each sentence."""

    def span_probability(self, sentence: int, start: int, end: int, label: int) -> float:
        """Of a span that the best tags have."""

    def tag_probabilities(self, sentence: int) -> Floats:
        """Of every tag of every word, (words, T)."""


class TagDecoder:
    """Tags windows with a model that has a tagging head.

    By ``model.config.tags`` it gives the best valid sequence of tags, and a span's score is the
    probability that this very span is there (:mod:`~hyperloader.outputs.token_tags.chain`); or each
    word's likeliest tag by itself (:mod:`~hyperloader.outputs.token_tags.single`).

    Args:
        temperatures: divide a task's logits before they become probabilities (1 where a task is
            not named). The answer stays what it is.
    """

    def __init__(
        self,
        model: TokenTagger | OnnxTagger | ZeroShotTagger,
        codec: TokenCodec,
        temperatures: Mapping[str, float] | None = None,
    ) -> None:
        self.model, self.codec = model, codec
        self.temperatures = dict(temperatures or {})
        # A function of logits (N, W, T) and how many words each sentence has.
        self._tagging: Callable[[Floats, Lengths], Tagging] = (
            Lattice if model.config.tags == "sequence" else SingleWords
        )

    def check_sequences(self) -> None:
        """See :class:`WindowDecoder`."""
        if self.model.config.tags == "single":
            raise HyperloaderError(
                "this tagger chooses every word's tag by itself (model.tags=single) and knows no "
                "sequences; ask for alternatives of every word"
            )

    def decode(
        self,
        windows: Sequence[EncodedWindow],
        *,
        batch_size: int = 64,
        alternatives: int = 0,
        sequences: int = 0,
    ) -> list[DecodedWindow]:
        """Decode ``windows`` in their order: see :class:`WindowDecoder`.

        The published gates take a mean over all positions of a row, so that padding would change
        what is found: with them windows share a batch with those of their own length only.
        """
        if sequences:
            self.check_sequences()
        batches = near if self.model.by_token else alike
        on = self.model.device.type
        most = CPU_TOKENS if on == "cpu" else max_tokens_on(on)
        found: dict[int, DecodedWindow] = {}
        with evaluating(self.model), torch.no_grad():
            for chosen in batches(windows, batch_size, most):
                decoded = self._decode([windows[i] for i in chosen], alternatives, sequences)
                found.update(zip(chosen, decoded, strict=True))
        return [found[i] for i in range(len(windows))]

    def _decode(
        self, windows: Sequence[EncodedWindow], limit: int, sequences: int
    ) -> list[DecodedWindow]:
        model, codec = self.model, self.codec
        rows = pack(windows, pad=codec.pieces.pad, together=False).to(model.device)
        task_ids = model.task_ids(rows.tasks)
        with model.in_runs(task_ids):
            logits = model.score(
                rows.input_ids,
                rows.attention_mask,
                task_ids=task_ids,
                first=rows.first,
                last=rows.last,
                shapes=rows.shapes,
            )
        used = max(len(codec.tags[task]) for task in rows.tasks)
        scores = logits[..., :used].double().cpu().numpy()
        if not (scores < np.inf).all():
            raise HyperloaderError(
                "the model's scores are not finite numbers; its weights are damaged or its "
                "precision is too small (use float32 or bfloat16)"
            )
        temperature = [self.temperatures.get(task, 1.0) for task in rows.tasks]
        tagging = self._tagging(
            scores / np.array(temperature)[:, None, None],
            np.array([window.words for window in windows]),
        )
        return [
            DecodedWindow(
                self._spans(window, tagging, row, tags),
                self._alternatives(window, tagging, row, limit) if limit else None,
                self._sequences(window, tagging, row, sequences) if sequences else None,
            )
            for row, (window, tags) in enumerate(zip(windows, tagging.best(), strict=True))
        ]

    def _spans(
        self, window: EncodedWindow, tagging: Tagging, row: int, numbers: Sequence[int]
    ) -> list[Span]:
        tags, spans = self.codec.tags[window.task], []
        for span in parse_tags([tags[n] for n in numbers], scheme="bio"):
            label = (numbers[span.word_start] - 1) // 2
            score = tagging.span_probability(row, span.word_start, span.word_end, label)
            spans.append(Span(span.word_start, span.word_end, span.label, score))
        return spans

    def _sequences(
        self, window: EncodedWindow, tagging: Tagging, row: int, count: int
    ) -> list[DecodedSequence]:
        """The ``count`` likeliest sequences."""
        assert isinstance(tagging, Lattice)
        return [
            DecodedSequence(self._spans(window, tagging, row, tags), probability)
            for tags, probability in tagging.likeliest(row, count)
        ]

    def _alternatives(
        self, window: EncodedWindow, tagging: Tagging, row: int, limit: int
    ) -> list[tuple[Alternative, ...]]:
        """The ``limit`` likeliest tags of every word."""
        tags = self.codec.tags[window.task]
        probability = tagging.tag_probabilities(row)[:, : len(tags)]
        best = np.argsort(-probability, axis=-1, kind="stable")[:, :limit]
        return [
            tuple(Alternative((tags[n],), float(word[n])) for n in numbers)
            for word, numbers in zip(probability, best.tolist(), strict=True)
        ]
