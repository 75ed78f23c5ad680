"""The face that users see: texts in, spans with labels, character offsets and scores out."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import overload

import torch

from hyperloader.builtin import BUILTIN
from hyperloader.calibration import Calibration
from hyperloader.checkpoint import load_checkpoint, save_checkpoint
from hyperloader.codec.batch import encode_words
from hyperloader.codec.codec import Codec
from hyperloader.errors import ConfigError, HyperloaderError, unknown
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.quantised import quantise
from hyperloader.outputs.decoded import DecodedWindow, decode_sentences
from hyperloader.outputs.registry import output_of
from hyperloader.types import TaggedSpan, TaggedText
from hyperloader.words import split_words

PRECISIONS = ("float32", "bfloat16", "int8")


class Tagger:
    """One model for all its tagging tasks.

    Args:
        calibration: makes scores probabilities that can be taken at their word; without it they
            are what the model says.

    Example:
        >>> tagger = Tagger.from_pretrained()
        >>> tagger.tag("a table at that thai place downtown", task="restaurant").spans[0].text
        'thai'
    """

    def __init__(
        self, model: AttachedModel, codec: Codec, calibration: Calibration | None = None
    ) -> None:
        self.model, self.codec, self.calibration = model.eval(), codec, calibration
        self._decoder = output_of(model).decoder(model, codec, self.temperatures)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path = BUILTIN,
        device: str | None = None,
        *,
        precision: str = "float32",
        tagging_only: bool = True,
    ) -> "Tagger":
        """Load a checkpoint folder, the best checkpoint of a training run, or the builtin tagger.

        Args:
            path: a folder, or ``builtin``.
            device: such as ``cuda``; default: the CPU.
            precision: float32, bfloat16 (for a GPU), or int8 (CPU only; faster, scores and now and
                then an answer differ a little: docs/decoding.md).
            tagging_only: start without transformers, in less than half the time, where that comes
                to the same. False: ``model`` is also for training and for ``generate``.

        Raises:
            CheckpointError: nothing there, incomplete, damaged or a pickle.
            ConfigError: an unknown precision, or int8 where it cannot be.
        """
        if precision not in PRECISIONS:
            raise ConfigError(unknown("precision", precision, PRECISIONS))
        checkpoint = load_checkpoint(Path(path), tagging_only=tagging_only)
        if device is not None:
            try:
                checkpoint.model.to(device)
            except (RuntimeError, AssertionError) as error:
                reason = str(error).splitlines()[0]
                raise HyperloaderError(f"the device {device!r} cannot be used: {reason}") from error
        if precision == "bfloat16":
            checkpoint.model.to(torch.bfloat16)
        elif precision == "int8":
            quantise(checkpoint.model)
        return cls(checkpoint.model, checkpoint.codec, checkpoint.calibration)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the model knows."""
        return self.model.config.tasks

    def labels(self, task: str) -> tuple[str, ...]:
        """The labels of one task."""
        return self.codec.labels[self._known(task)]

    @property
    def temperatures(self) -> dict[str, float]:
        """What divides each task's logits; a task that is not named has 1."""
        return {} if self.calibration is None else self.calibration.temperatures

    @overload
    def tag(  # type: ignore[overload-overlap]  # a str is one text, not a sequence of letters
        self,
        texts: str,
        task: str,
        *,
        batch_size: int = 64,
        min_score: float = 0.0,
        alternatives: int = 0,
    ) -> TaggedText: ...

    @overload
    def tag(
        self,
        texts: Sequence[str],
        task: str | Sequence[str],
        *,
        batch_size: int = 64,
        min_score: float = 0.0,
        alternatives: int = 0,
    ) -> list[TaggedText]: ...

    def tag(
        self,
        texts: str | Sequence[str],
        task: str | Sequence[str],
        *,
        batch_size: int = 64,
        min_score: float = 0.0,
        alternatives: int = 0,
    ) -> TaggedText | list[TaggedText]:
        """Tag one text (the result is one) or several (the result is a list, in their order).

        Words are found by the rule of the checkpoint, ``codec.config.words``: see
        :func:`~hyperloader.words.split_words`. Text of any length is tagged whole; nothing is cut
        off.

        Args:
            task: one task for all texts, or one a text.
            batch_size: windows of text decoded at once; it bounds the memory.
            min_score: spans with a lower score, in [0, 1], are left out. The others stay as they
                are, and so do the alternatives.
            alternatives: how many likely tags of every word to give.

        Raises:
            HyperloaderError: an unknown task (the message lists the tasks), a text with a
                character that is none (half of a surrogate pair), or a number out of its range.
        """
        if isinstance(texts, str):
            return self.tag(
                [texts],
                task,
                batch_size=batch_size,
                min_score=min_score,
                alternatives=alternatives,
            )[0]
        check_options(batch_size, min_score, alternatives)
        tasks = [task] * len(texts) if isinstance(task, str) else list(task)
        if len(tasks) != len(texts):
            raise HyperloaderError(f"{len(texts)} texts but {len(tasks)} tasks: give one a text")
        for name in set(tasks):
            self._known(name)
        for i, text in enumerate(texts):
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise HyperloaderError(
                    f"text {i} is not valid Unicode at character {error.start}; decode it as UTF-8"
                ) from error
        places = [split_words(text, self.codec.config.words) for text in texts]
        words = [
            tuple(text[a:b] for a, b in spots) for text, spots in zip(texts, places, strict=True)
        ]
        encoded = [
            encode_words(self.codec, w, name) if w else []
            for w, name in zip(words, tasks, strict=True)
        ]
        found = decode_sentences(
            self._decoder, encoded, batch_size=batch_size, alternatives=alternatives
        )
        return [
            _tagged(text, w, spots, name, decoded, min_score)
            for text, w, spots, name, decoded in zip(
                texts, words, places, tasks, found, strict=True
            )
        ]

    def pipe(
        self,
        texts: Iterable[str],
        task: str,
        *,
        batch_size: int = 64,
        min_score: float = 0.0,
        alternatives: int = 0,
    ) -> Iterator[TaggedText]:
        """Tag a stream of texts, in order, holding a few batches in memory at most."""
        rest = iter(texts)
        while waiting := list(islice(rest, max(4 * batch_size, 1))):
            yield from self.tag(
                waiting,
                task,
                batch_size=batch_size,
                min_score=min_score,
                alternatives=alternatives,
            )

    def save_pretrained(self, path: str | Path) -> None:
        """Save model, labels, tokenizer and calibration as one folder, atomically."""
        save_checkpoint(Path(path), self.model, self.codec, calibration=self.calibration)

    def _known(self, task: str) -> str:
        if task not in self.tasks:
            raise HyperloaderError(unknown("task", task, self.tasks))
        return task

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device


def check_options(batch_size: int, min_score: float, alternatives: int) -> None:
    """Raise HyperloaderError for numbers out of their range."""
    if batch_size < 1:
        raise HyperloaderError(f"a batch size of {batch_size} tags nothing; give at least 1")
    if not 0 <= min_score <= 1:
        raise HyperloaderError(
            f"a score lies in [0, 1]: {min_score} cannot be the smallest; give a number from 0 to 1"
        )
    if alternatives < 0:
        raise HyperloaderError(f"{alternatives} alternatives a word: give 0 (none) or more")


def _tagged(
    text: str,
    words: tuple[str, ...],
    offsets: Sequence[tuple[int, int]],
    task: str,
    found: DecodedWindow,
    min_score: float,
) -> TaggedText:
    spans = []
    for span in found.spans:
        score = 1.0 if span.score is None else span.score
        if score < min_score:
            continue
        start, end = offsets[span.word_start][0], offsets[span.word_end - 1][1]
        spans.append(
            TaggedSpan(
                start, end, text[start:end], span.label, score, span.word_start, span.word_end
            )
        )
    others = None if found.alternatives is None else tuple(found.alternatives)
    return TaggedText(text, words, tuple(offsets), tuple(spans), task, others)
