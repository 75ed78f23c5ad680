"""The face that users see: texts in, spans with labels, character offsets and scores out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

import torch

from hyperloader import hub, tagging
from hyperloader.builtin import BUILTIN
from hyperloader.calibration import Calibration
from hyperloader.checkpoint import Checkpoint, checkpoint_folder, load_checkpoint
from hyperloader.codec.codec import Codec
from hyperloader.errors import HyperloaderError
from hyperloader.onnx_checkpoint import OnnxCheckpoint, is_onnx, load_onnx
from hyperloader.outputs.registry import Answering, output_of
from hyperloader.tagger_state import State
from hyperloader.tagger_tasks import Tasks
from hyperloader.tagging import TagOptions
from hyperloader.types import TaggedText
from hyperloader.words import check_rule, split_words

if TYPE_CHECKING:
    from hyperloader.corpora.given import Labelled
    from hyperloader.evaluation.evaluate import Evaluation

_Context = TypeVar("_Context")


class Tagger(Tasks):
    """One model for all its tagging tasks. Threads may share it.

    Wherever a ``task`` is asked for, it may be omitted if the tagger has exactly one.

    Args:
        calibration: makes scores probabilities to rely on; without it they are the model's own.

    Example:
        >>> tagger = Tagger.from_pretrained()
        >>> tagger.tag("a table at that thai place downtown", task="restaurant").spans[0].text
        'thai'
    """

    def __init__(
        self, model: Answering, codec: Codec, calibration: Calibration | None = None
    ) -> None:
        self._now = State.of(model.eval(), codec, calibration)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path = BUILTIN,
        device: str | None = None,
        *,
        precision: str = "float32",
        words: str | None = None,
        tagging_only: bool = True,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> "Tagger":
        """Load a checkpoint, the best one of a training run, a bundled tagger, or one on the Hub.

        Args:
            path: a folder; ``builtin-minilm``, ``builtin-t5``, or ``builtin`` for the first one
                whose backbone is installed; or ``owner/name`` on the Hub, if there is no such
                folder and no folder ``owner``, or if ``revision`` is given.
            device: such as ``cuda``; default: the CPU.
            precision: float32, bfloat16 (for a GPU), or int8 (CPU; faster: docs/decoding.md).
            words: how raw text is split into words (docs/words.md); default: as was trained.
            tagging_only: start without transformers, in less than half the time, if that gives
                the same tagger. False: ``model`` is also for training and for ``generate``.
            revision: a branch, tag or commit on the Hub.
            cache_dir: where files from the Hub are kept; default: huggingface_hub's folder.
            local_files_only: take what the cache has and open no connection.
            token: for private taggers; default: the one of ``hf auth login``.

        Raises:
            CheckpointError: nothing there, incomplete, damaged or a pickle.
            ConfigError: an unknown precision or word rule, or int8 where it cannot be.
        """
        tagging.check_precision(precision)
        check_rule(words)
        if revision is not None or hub.is_repository(path):
            path = hub.fetch(str(path), revision, cache_dir, local_files_only, token)
        checkpoint: Checkpoint | OnnxCheckpoint
        if tagging_only and is_onnx(folder := checkpoint_folder(Path(path))):
            checkpoint = load_onnx(folder)
        else:
            checkpoint = load_checkpoint(Path(path), tagging_only=tagging_only)
        if words is not None:
            checkpoint.codec.config = checkpoint.codec.config.model_copy(update={"words": words})
        tagging.place(checkpoint.model, device, precision)
        return cls(checkpoint.model, checkpoint.codec, checkpoint.calibration)

    @property
    def model(self) -> Answering:
        """What answers."""
        return self._now.model

    @property
    def codec(self) -> Codec:
        """The labels of every task, and how words become ids."""
        return self._now.codec

    @property
    def calibration(self) -> Calibration | None:
        """What makes scores probabilities."""
        return self._now.calibration

    @property
    def checkpoint(self) -> Checkpoint:
        """See :attr:`Saving.checkpoint`."""
        return self._now.checkpoint

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the model knows."""
        return self.model.config.tasks

    def labels(self, task: str | None = None) -> tuple[str, ...]:
        """The labels of one task."""
        now = self._now
        return now.codec.labels[now.known(task)]

    def cut_marks(self, task: str | None = None) -> frozenset[str]:
        """The sentence marks that are cut off both ends of a task's spans of raw text."""
        return self._now.cut.get(self._known(task), frozenset())

    @property
    def temperatures(self) -> dict[str, float]:
        """What divides each task's logits; a task that is not named has 1."""
        return {} if self.calibration is None else self.calibration.temperatures

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def zero_shot(self) -> bool:
        """Whether it is asked for labels that it was not trained on."""
        return self._now.zero_shot

    def for_labels(self, labels: tagging.Asked, task: str = tagging.ZERO_SHOT) -> "Tagger":
        """A tagger that finds ``labels`` by their names (or by a line on each, in a dict of names),
        without having been trained on them.

        It has them as its one ``task``, shares all weights with this one, and tags and is evaluated
        like any other. Its scores are not calibrated.

        Raises:
            ConfigError: this tagger knows nothing of names (it was not trained for that), or two
                labels read the same.
            HyperloaderError: no labels, or one that is blank.
        """
        texts = tagging.check_labels(labels)
        return Tagger(*output_of(self.model).asking_for(self.model, self.codec, task, texts))

    @overload
    def tag(  # type: ignore[overload-overlap]  # a str is one text, not a sequence of letters
        self, texts: str, task: str | None = None, **options: Unpack[TagOptions]
    ) -> TaggedText: ...

    @overload
    def tag(
        self,
        texts: Sequence[str],
        task: str | Sequence[str] | None = None,
        **options: Unpack[TagOptions],
    ) -> list[TaggedText]: ...

    def tag(
        self,
        texts: str | Sequence[str],
        task: str | Sequence[str] | None = None,
        *,
        batch_size: int = 64,
        min_score: float = 0.0,
        alternatives: int = 0,
        sequences: int = 0,
        labels: tagging.Asked | None = None,
    ) -> TaggedText | list[TaggedText]:
        """Tag one text (the result is one) or several (the result is a list, in their order).

        Words are found by the rule of the checkpoint, ``codec.config.words``: see
        :func:`~hyperloader.words.split_words`. Sentence marks at which no span of the training
        data ends are cut off (``codec.config.marks``). Text of any length is tagged whole.

        Args:
            task: one task for all texts, or a sequence with one per text.
            batch_size: windows of text decoded at once at most; smaller batches take less memory.
            min_score: spans with a lower score, in [0, 1], are left out. The others stay as they
                are, and so do the alternatives.
            alternatives: how many likely tags of every word to give.
            sequences: how many of the likeliest answers to the whole text to give, with exact
                probabilities (taggers on encoders; a text that fits one window).
            labels: find these in place of a task's, without having been trained on them: see
                :meth:`for_labels`.

        Raises:
            HyperloaderError: an unknown task (the message lists the tasks), no task where there
                are several, a text that is not a string or holds a lone surrogate, a number
                out of its range, or sequences where there are none.
        """
        if labels is not None:
            if task is not None:
                raise HyperloaderError("give a task, or labels in place of it, and not both")
            options: TagOptions = {
                "batch_size": batch_size,
                "min_score": min_score,
                "alternatives": alternatives,
                "sequences": sequences,
            }
            return self.for_labels(labels).tag(texts, **options)
        self._check(batch_size, min_score, alternatives, sequences)
        given = [texts] if isinstance(texts, str) else texts
        for i, text in enumerate(given):
            tagging.check_text(text, f"text {i}")
        places = [split_words(text, self.codec.config.words) for text in given]
        words = [
            tuple(text[a:b] for a, b in spots) for text, spots in zip(given, places, strict=True)
        ]
        numbers = batch_size, min_score, alternatives, sequences
        found = self._now.tagged(given, words, places, task, *numbers, raw=True)
        return found[0] if isinstance(texts, str) else found

    @overload
    def tag_words(  # type: ignore[overload-overlap]  # as above
        self,
        sentences: Sequence[str],
        task: str | None = None,
        **options: Unpack[TagOptions],
    ) -> TaggedText: ...

    @overload
    def tag_words(
        self,
        sentences: Sequence[Sequence[str]],
        task: str | Sequence[str] | None = None,
        **options: Unpack[TagOptions],
    ) -> list[TaggedText]: ...

    def tag_words(
        self,
        sentences: Sequence[Any],
        task: str | Sequence[str] | None = None,
        *,
        batch_size: int = 64,
        min_score: float = 0.0,
        alternatives: int = 0,
        sequences: int = 0,
    ) -> TaggedText | list[TaggedText]:
        """Tag one sentence (the result is one) or several (a list) that are split into words.

        As :meth:`tag`, with the words as they are given. The text of a result is its words joined
        by single spaces, and its offsets lie in that text; ``word_start`` and ``word_end`` of a
        span count the words. An empty sequence is no sentences.

        Raises:
            HyperloaderError: as :meth:`tag`, a string in place of words, and an empty word.
        """
        self._check(batch_size, min_score, alternatives, sequences)
        one = not isinstance(sentences, str) and bool(sentences) and isinstance(sentences[0], str)
        given = [sentences] if one or isinstance(sentences, str) else sentences
        tagging.check_words(given)
        words = [tuple(sentence) for sentence in given]
        texts = [" ".join(sentence) for sentence in words]
        places = [tagging.joined_places(sentence) for sentence in words]
        options = batch_size, min_score, alternatives, sequences
        found = self._now.tagged(texts, words, places, task, *options)
        return found[0] if one else found

    @overload
    def pipe(
        self,
        texts: Iterable[str],
        task: str | Iterable[str] | None = None,
        *,
        as_tuples: Literal[False] = False,
        **options: Unpack[TagOptions],
    ) -> Iterator[TaggedText]: ...

    @overload
    def pipe(
        self,
        texts: Iterable[tuple[str, _Context]],
        task: str | Iterable[str] | None = None,
        *,
        as_tuples: Literal[True],
        **options: Unpack[TagOptions],
    ) -> Iterator[tuple[TaggedText, _Context]]: ...

    def pipe(
        self,
        texts: Iterable[Any],
        task: str | Iterable[str] | None = None,
        *,
        as_tuples: bool = False,
        batch_size: int = 64,
        min_score: float = 0.0,
        alternatives: int = 0,
        sequences: int = 0,
    ) -> Iterator[Any]:
        """As :meth:`tag`, for a stream: in order, holding four batches in memory at most.

        Args:
            task: one task for all texts, or an iterable with one per text, read along with them.
            as_tuples: ``texts`` and results are pairs with a context, which stays as it is.

        Example:
            >>> rows = [("play some jazz", {"id": 7})]
            >>> for tagged, row in tagger.pipe(rows, "snips", as_tuples=True):
            ...     print(row["id"], tagged.spans)
        """
        self._check(batch_size, min_score, alternatives, sequences)
        if isinstance(task, Sized) and not isinstance(task, str) and isinstance(texts, Sized):
            tagging.check_count(len(texts), len(task))
        tasks = repeat(self._known(task)) if isinstance(task, str | None) else task
        for some, names in tagging.in_step(texts, tasks, 4 * batch_size):
            found = self.tag(
                [text for text, _ in some] if as_tuples else some,
                names,
                batch_size=batch_size,
                min_score=min_score,
                alternatives=alternatives,
                sequences=sequences,
            )
            contexts = [context for _, context in some] if as_tuples else []
            yield from zip(found, contexts, strict=True) if as_tuples else found

    def map_function(
        self,
        task: str | None = None,
        text_column: str = "text",
        column: str = "spans",
        **options: Unpack[TagOptions],
    ) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        """What ``datasets.Dataset.map`` takes, best with ``batched=True``.

        It adds a ``column`` with the spans of every text: start, end, text, label, score.

        Raises:
            HyperloaderError: as :meth:`tag`; when it is called also for a missing ``text_column``.
        """
        return partial(tagging.map_rows, self.tag, self._known(task), text_column, column, options)

    def evaluate(
        self,
        data: "Labelled",
        split: str = "test",
        *,
        tasks: Sequence[str] | None = None,
        batch_size: int = 64,
        advance: Callable[[str, int], None] = lambda task, sentences: None,
    ) -> "Evaluation":
        """Precision, recall and F1 of every task; ``to_dict()`` is what ``evaluate --json`` prints.

        Args:
            data: a path, as for ``--data``, or what :func:`hyperloader.train` takes.
            split: train, validation or test.
            tasks: only these; default: the tagger's tasks that ``data`` has.
            advance: told of every task how many more of its sentences are done.

        Raises:
            DataError: no sentences in that part of the data, or data that cannot be read.
        """
        from hyperloader.corpora.given import corpora_of
        from hyperloader.evaluation.evaluate import evaluate_tagger

        if not isinstance(data, str | Path):
            data = corpora_of(data, tasks, require=())
        return evaluate_tagger(
            self, data, split, tasks=tasks, batch_size=batch_size, advance=advance
        )

    def __repr__(self) -> str:
        backbone = self.model.backbone_name or "a backbone of its own"
        tasks = tagging.shown(self.tasks)
        return (
            f"<Tagger: {self.model.config.method} on {backbone}, tasks {tasks}, "
            f"{'' if self.calibration else 'not '}calibrated, on {self.device}>"
        )

    def _check(self, batch_size: int, min_score: float, alternatives: int, sequences: int) -> None:
        """Raise HyperloaderError for options that cannot be."""
        tagging.check_options(batch_size, min_score, alternatives, sequences)
        if sequences:
            self._now.decoder.check_sequences()

    def _take_over(self, checkpoint: Checkpoint) -> None:
        """See :meth:`Tasks._take_over`."""
        self._now = State.of(checkpoint.model.eval(), checkpoint.codec, checkpoint.calibration)

    def _known(self, task: str | None) -> str:
        """``task``, or the only one."""
        return self._now.known(task)
