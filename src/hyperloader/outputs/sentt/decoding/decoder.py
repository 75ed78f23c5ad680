"""Constrained greedy decoding: always a valid answer, one tag for every word, with its score.

The answer is that of taking one token after the other, the best that the grammar allows each
time. It is found in a few wide passes over the decoder: all words are drafted, a pass scores every
decision of the draft, the longest prefix that agrees with its own scores is kept, and the same
scores make a better draft of the rest.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from hyperloader.codec.batch import Batch, collate
from hyperloader.codec.windows import EncodedWindow
from hyperloader.errors import HyperloaderError
from hyperloader.modeling.evaluating import evaluating
from hyperloader.outputs.decoded import DecodedWindow, max_tokens_on
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.outputs.sentt.decoding.alternatives import Alternatives
from hyperloader.outputs.sentt.decoding.memory import DraftMemory
from hyperloader.outputs.sentt.decoding.paths import TagPaths
from hyperloader.outputs.sentt.decoding.search import Scorer, TagScorer, search
from hyperloader.outputs.sentt.grammar import Grammar
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.tags import sbio_to_spans
from hyperloader.types import Alternative, Span


@dataclass(slots=True)
class Work:
    """What a decoder has done: ``passes`` over the decoder stack and ``tokens`` fed in them."""

    passes: int = 0
    tokens: int = 0


class SentTDecoder:
    """Tags windows with a model; reusable, and made again when the label sets change.

    Args:
        learn: draft words by what they were tagged as before. It saves passes and does not touch
            the answer, only the rounding of scores, which depends on how tokens share a pass.
        temperatures: divide a task's logits before they become probabilities (1 where a task is
            not named). The answer stays what it is.

        scorer: gives the scores of decisions; default: the model's own, by its output embedding.

    Attributes:
        work: what decoding has taken so far.
    """

    def __init__(
        self,
        model: TaggingModel,
        codec: SentTCodec,
        *,
        learn: bool = True,
        temperatures: Mapping[str, float] | None = None,
        scorer: Scorer | None = None,
    ) -> None:
        self.model, self.codec = model, codec
        self.temperatures = dict(temperatures or {})
        self.paths = TagPaths(Grammar(codec.tag_ids), codec.tag_ids)
        self.memory = DraftMemory() if learn else None
        self.scorer = scorer or TagScorer(model, self.paths, codec.pieces.sentinels)
        self.work = Work()
        self._sentinels = torch.tensor(codec.pieces.sentinels)
        self._alternatives: Alternatives | None = None

    def check_sequences(self) -> None:
        """See :class:`WindowDecoder`."""
        raise HyperloaderError(
            "the likeliest sequences are known to taggers on encoders alone, and this one writes "
            "its tags; ask for alternatives of every word"
        )

    def decode(
        self,
        windows: Sequence[EncodedWindow],
        *,
        batch_size: int = 64,
        max_tokens: int | None = None,
        alternatives: int = 0,
        sequences: int = 0,
    ) -> list[DecodedWindow]:
        """Decode ``windows`` in their order, batched by task and length.

        Args:
            batch_size: windows of a batch at most.
            max_tokens: source tokens of a batch at most, padding included (one window always
                goes): it bounds the memory. Default: 4,096 on a CPU, 32,768 elsewhere.
            alternatives: how many likely tags of every word to give.

        Raises:
            HyperloaderError: ``sequences`` are wanted.
        """
        if sequences:
            self.check_sequences()
        if max_tokens is None:
            max_tokens = max_tokens_on(self.model.device.type)
        results: list[DecodedWindow | None] = [None] * len(windows)
        for chosen in _batches(windows, batch_size, max_tokens):
            batch = collate([windows[i] for i in chosen], self.codec.pieces.pad)
            decoded = self.decode_batch(batch, alternatives=alternatives)
            for i, result in zip(chosen, decoded, strict=True):
                results[i] = result
        return [result for result in results if result is not None]

    @torch.no_grad()
    def decode_batch(self, batch: Batch, *, alternatives: int = 0) -> list[DecodedWindow]:
        """Decode one batch; rows may have different tasks."""
        with evaluating(self.model):
            return self._decode(batch.to(self.model.device), alternatives)

    def _decode(self, batch: Batch, alternatives: int) -> list[DecodedWindow]:
        device = self.model.device
        paths, sentinels = self.paths.to(device), self._sentinels.to(device)
        answer = search(
            self.model,
            paths,
            sentinels,
            batch,
            self._draft(batch).to(device),
            scorer=self.scorer,
            temperature=self._temperature(batch.tasks),
            keep_decisions=alternatives > 0,
        )
        self.work.passes += answer.passes
        self.work.tokens += answer.tokens
        tags = [row[:words] for row, words in zip(answer.tags.tolist(), batch.words, strict=True)]
        if self.memory is not None:
            for task, text, row in zip(batch.tasks, batch.pieces, tags, strict=True):
                self.memory.learn(task, text, row)
        others: Sequence[list[tuple[Alternative, ...]] | None] = [None] * len(tags)
        if alternatives:
            if self._alternatives is None:
                self._alternatives = Alternatives(paths)
            others = self._alternatives.of_words(answer.decided, tags, alternatives)
        return [
            DecodedWindow(_spans([paths.names[tag] for tag in row], scores, goes_on), other)
            for row, scores, goes_on, other in zip(
                tags, answer.probability.tolist(), answer.goes_on.tolist(), others, strict=True
            )
        ]

    def _temperature(self, tasks: Sequence[str]) -> Tensor | None:
        values = [self.temperatures.get(task, 1.0) for task in tasks]
        if all(value == 1 for value in values):
            return None
        return torch.tensor(values, device=self.model.device)

    def _draft(self, batch: Batch) -> Tensor:
        """First guesses (batch, W): what the memory says, else O."""
        width = max(1, *batch.words)
        rows = [[self.paths.outside[task]] * width for task in batch.tasks]
        if self.memory is not None:
            for task, text, row in zip(batch.tasks, batch.pieces, rows, strict=True):
                inside, opened = self.paths.inside[task], False
                for i, tag in enumerate(self.memory.guess(task, text)):
                    if tag is not None and (opened or tag != inside):
                        row[i] = tag
                    opened = row[i] != self.paths.outside[task]
        return torch.tensor(rows)


def _batches(
    windows: Sequence[EncodedWindow], batch_size: int, max_tokens: int
) -> Iterator[list[int]]:
    """Indices of each batch: windows of like length, of one task while they fill a batch."""

    def length(i: int) -> tuple[int, int]:
        return -windows[i].words, -len(windows[i].source)

    def cut(order: Sequence[int]) -> list[list[int]]:
        batches: list[list[int]] = []
        width = 0
        for i in order:
            width = max(width, len(windows[i].source))
            full = batches and len(batches[-1]) == batch_size
            if not batches or full or (len(batches[-1]) + 1) * width > max_tokens:
                batches.append([])
                width = len(windows[i].source)
            batches[-1].append(i)
        return batches

    rest: list[int] = []
    by_task = sorted(range(len(windows)), key=lambda i: (windows[i].task, length(i)))
    for _, group in groupby(by_task, key=lambda i: windows[i].task):
        *whole, last = cut(list(group))
        yield from whole
        rest += last
    # Rows of a task stand together.
    for batch in cut(sorted(rest, key=length)):
        yield sorted(batch, key=lambda i: windows[i].task)


def _spans(tags: Sequence[str], scores: Sequence[float], goes_on: Sequence[float]) -> list[Span]:
    spans = []
    for span in sbio_to_spans(tags):
        score = math.prod(scores[span.word_start : span.word_end])
        if span.word_end < len(tags):
            score *= 1 - goes_on[span.word_end]
        spans.append(Span(span.word_start, span.word_end, span.label, score))
    return spans
