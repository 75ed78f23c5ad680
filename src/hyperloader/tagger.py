"""The face that users see: texts in, spans with labels, character offsets and scores out."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import torch

from hyperloader.builtin import BUILTIN
from hyperloader.checkpoint import load_checkpoint, save_checkpoint
from hyperloader.codec.codec import Codec
from hyperloader.codec.collate import encode_words
from hyperloader.decoding.build import build_decoder
from hyperloader.decoding.engine import tag_words
from hyperloader.errors import HyperloaderError, unknown
from hyperloader.modeling.attached import AttachedModel
from hyperloader.types import TaggedSpan, TaggedText

_WORD = re.compile(r"\S+")


class Tagger:
    """One model for all its tagging tasks.

    Example:
        >>> tagger = Tagger.from_pretrained()
        >>> tagger.tag("a table at that thai place downtown", task="restaurant").spans[0].text
        'thai'
    """

    def __init__(self, model: AttachedModel, codec: Codec) -> None:
        self.model, self.codec = model.eval(), codec
        self._decoder = build_decoder(model, codec)

    @classmethod
    def from_pretrained(cls, path: str | Path = BUILTIN, device: str | None = None) -> "Tagger":
        """Load a checkpoint folder, the best checkpoint of a training run, or the builtin tagger.

        Args:
            path: a folder, or ``builtin``.
            device: such as ``cuda``; default: the CPU.

        Raises:
            CheckpointError: nothing there, incomplete, damaged or a pickle.
        """
        checkpoint = load_checkpoint(Path(path))
        if device is not None:
            try:
                checkpoint.model.to(device)
            except (RuntimeError, AssertionError) as error:
                reason = str(error).splitlines()[0]
                raise HyperloaderError(f"the device {device!r} cannot be used: {reason}") from error
        return cls(checkpoint.model, checkpoint.codec)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the model knows."""
        return self.model.config.tasks

    def labels(self, task: str) -> tuple[str, ...]:
        """The labels of one task."""
        return self.codec.labels[self._known(task)]

    @overload
    def tag(  # type: ignore[overload-overlap]  # a str is one text, not a sequence of letters
        self, texts: str, task: str, *, batch_size: int = 64
    ) -> TaggedText: ...

    @overload
    def tag(
        self, texts: Sequence[str], task: str | Sequence[str], *, batch_size: int = 64
    ) -> list[TaggedText]: ...

    def tag(
        self, texts: str | Sequence[str], task: str | Sequence[str], *, batch_size: int = 64
    ) -> TaggedText | list[TaggedText]:
        """Tag one text (the result is one) or several (the result is a list, in their order).

        Words are what white space separates, as in the paper. Text of any length is tagged
        whole; nothing is cut off.

        Args:
            task: one task for all texts, or one a text.

        Raises:
            HyperloaderError: an unknown task (the message lists the tasks), or a text with a
                character that is none (half of a surrogate pair).
        """
        if isinstance(texts, str):
            return self.tag([texts], task, batch_size=batch_size)[0]
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
        places = [[match.span() for match in _WORD.finditer(text)] for text in texts]
        words = [
            tuple(text[a:b] for a, b in spots) for text, spots in zip(texts, places, strict=True)
        ]
        encoded = [
            encode_words(self.codec, w, name) if w else []
            for w, name in zip(words, tasks, strict=True)
        ]
        found = tag_words(self._decoder, encoded, batch_size)
        return [
            TaggedText(
                text,
                w,
                tuple(spots),
                tuple(
                    TaggedSpan(
                        start=spots[s.start][0],
                        end=spots[s.end - 1][1],
                        text=text[spots[s.start][0] : spots[s.end - 1][1]],
                        label=s.label,
                        score=1.0 if s.score is None else s.score,
                        word_start=s.start,
                        word_end=s.end,
                    )
                    for s in spans
                ),
                name,
            )
            for text, w, spots, spans, name in zip(texts, words, places, found, tasks, strict=True)
        ]

    def pipe(
        self, texts: Iterable[str], task: str, *, batch_size: int = 64
    ) -> Iterator[TaggedText]:
        """Tag a stream of texts, in order, holding a few batches in memory at most."""
        waiting: list[str] = []
        for text in texts:
            waiting.append(text)
            if len(waiting) >= 4 * batch_size:
                yield from self.tag(waiting, task, batch_size=batch_size)
                waiting = []
        if waiting:
            yield from self.tag(waiting, task, batch_size=batch_size)

    def save_pretrained(self, path: str | Path) -> None:
        """Save model, labels and tokenizer as one folder, atomically."""
        save_checkpoint(Path(path), self.model, self.codec)

    def _known(self, task: str) -> str:
        if task not in self.tasks:
            raise HyperloaderError(unknown("task", task, self.tasks))
        return task

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device
