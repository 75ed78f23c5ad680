"""All that a tagger tags by, and how it does."""

from collections.abc import Sequence
from typing import NamedTuple

from hyperloader import tagging
from hyperloader.calibration import Calibration
from hyperloader.checkpoint import Checkpoint
from hyperloader.codec.batch import stream_windows
from hyperloader.codec.codec import Codec
from hyperloader.outputs.decoded import WindowDecoder, decode_sentences
from hyperloader.outputs.registry import Answering, output_of
from hyperloader.outputs.token_tags.zero_shot import ZeroShotTagger
from hyperloader.types import TaggedText
from hyperloader.words import SENTENCE_MARKS


class State(NamedTuple):
    """All that a tagger tags by. It is never changed: where tasks come or go, a new one takes its
    place, and calls that are under way end with the old one.

    Attributes:
        cut: of each task the marks that its spans never begin or end with.
    """

    model: Answering
    codec: Codec
    calibration: Calibration | None
    decoder: WindowDecoder
    cut: dict[str, frozenset[str]]

    @classmethod
    def of(cls, model: Answering, codec: Codec, calibration: Calibration | None) -> "State":
        """What a model, its codec and its temperatures come to."""
        temperatures = calibration.temperatures if calibration else {}
        decoder = output_of(model).decoder(model, codec, temperatures)
        marks = codec.config.marks or {}
        cut = {task: SENTENCE_MARKS - set(kept) for task, kept in marks.items()}
        return cls(model, codec, calibration, decoder, cut)

    @property
    def checkpoint(self) -> Checkpoint:
        """What can be saved. Raises ConfigError for a tagger in ONNX."""
        return Checkpoint(tagging.whole(self.model), self.codec, self.calibration)

    @property
    def zero_shot(self) -> bool:
        """Whether it is asked for labels that it was not trained on."""
        return isinstance(self.model, ZeroShotTagger)

    def known(self, task: str | None) -> str:
        """``task``, or the only one. Raises HyperloaderError for an unknown one."""
        return tagging.known_task(task, self.model.config.tasks)

    def tagged(
        self,
        texts: Sequence[str],
        words: Sequence[tuple[str, ...]],
        places: Sequence[tagging.Places],
        task: str | Sequence[str] | None,
        batch_size: int,
        min_score: float,
        alternatives: int,
        sequences: int,
        *,
        raw: bool = False,
    ) -> list[TaggedText]:
        """Tag ``texts`` whose ``words`` lie at ``places`` (characters, end exclusive)."""
        tasks = [self.known(task)] * len(texts) if isinstance(task, str | None) else task
        tagging.check_count(len(texts), len(tasks))
        for name in dict.fromkeys(tasks):
            self.known(name)
        encoded = (
            stream_windows(self.codec, w, name) if w else ()
            for w, name in zip(words, tasks, strict=True)
        )
        found = decode_sentences(
            self.decoder,
            encoded,
            batch_size=batch_size,
            alternatives=alternatives,
            sequences=sequences,
        )
        cut = self.cut if raw else {}
        return [
            tagging.tagged_text(
                *about, min_score, cut.get(about[3], frozenset()), zero_shot=self.zero_shot
            )
            for about in zip(texts, words, places, tasks, found, strict=True)
        ]
