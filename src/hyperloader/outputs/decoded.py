"""What decoders give, and whole sentences put together from their windows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

from hyperloader.codec.windows import EncodedWindow, Window, stitch_words
from hyperloader.errors import HyperloaderError
from hyperloader.types import Alternative, Span

# Source tokens of a batch that is decoded at once. The memory that it takes grows with them; on a
# CPU larger batches save no time.
MAX_TOKENS = {"cpu": 4096}
MAX_TOKENS_ELSEWHERE = 32768
# Windows that are there at once, to be sorted into batches of like length.
AT_ONCE = 1024


class DecodedSequence(NamedTuple):
    """The spans of one answer to a whole sentence, and how likely it is."""

    spans: list[Span]
    probability: float


@dataclass(frozen=True, slots=True)
class DecodedWindow:
    """What was found in one window, or in a sentence put together of several.

    ``spans`` are counted from its first word. A span's score is the product of the probabilities
    of its words' tags, each renormalised over the tags that the grammar allows, and of the
    probability that it does not go on in the word after it.
    ``alternatives``, where asked for, has the likeliest tags of every word, best first,
    ``sequences`` the likeliest answers to the whole.
    """

    spans: list[Span]
    alternatives: list[tuple[Alternative, ...]] | None = None
    sequences: list[DecodedSequence] | None = None


_Answers = list[tuple[Window, DecodedWindow]]


class WindowDecoder(Protocol):
    """What tags windows."""

    def check_sequences(self) -> None:
        """Raise HyperloaderError unless it can give the likeliest sequences."""

    def decode(
        self,
        windows: Sequence[EncodedWindow],
        *,
        batch_size: int = 64,
        alternatives: int = 0,
        sequences: int = 0,
    ) -> list[DecodedWindow]:
        """Decode ``windows`` in their order, with so many ``alternatives`` per word and so many
        ``sequences`` per window."""


class Apart:
    """Windows of some tasks are decoded by one decoder, those of others by another: what is found
    in windows of a task then has nothing to do with tasks outside of its group, in its last digit.

    Args:
        decoders: of each group of tasks.
    """

    def __init__(self, decoders: Mapping[tuple[str, ...], WindowDecoder]) -> None:
        self._decoders = list(decoders.values())
        self._number = {task: i for i, tasks in enumerate(decoders) for task in tasks}

    def check_sequences(self) -> None:
        """See :class:`WindowDecoder`."""
        for decoder in self._decoders:
            decoder.check_sequences()

    def decode(
        self,
        windows: Sequence[EncodedWindow],
        *,
        batch_size: int = 64,
        alternatives: int = 0,
        sequences: int = 0,
    ) -> list[DecodedWindow]:
        """See :class:`WindowDecoder`."""
        found: dict[int, DecodedWindow] = {}
        for number, decoder in enumerate(self._decoders):
            mine = [i for i, window in enumerate(windows) if self._number[window.task] == number]
            some = [windows[i] for i in mine]
            decoded = decoder.decode(
                some, batch_size=batch_size, alternatives=alternatives, sequences=sequences
            )
            found.update(zip(mine, decoded, strict=True))
        return [found[i] for i in range(len(windows))]


def max_tokens_on(device: str) -> int:
    """How many source tokens a batch should have at most on this type of device."""
    return MAX_TOKENS.get(device, MAX_TOKENS_ELSEWHERE)


def tag_words(
    decoder: WindowDecoder, sentences: Sequence[Sequence[EncodedWindow]], batch_size: int = 64
) -> list[list[Span]]:
    """Spans of whole sentences, each given as its windows."""
    return [found.spans for found in decode_sentences(decoder, sentences, batch_size=batch_size)]


def decode_sentences(
    decoder: WindowDecoder,
    sentences: Iterable[Iterable[EncodedWindow]],
    *,
    batch_size: int = 64,
    alternatives: int = 0,
    sequences: int = 0,
) -> list[DecodedWindow]:
    """Whole sentences, each given as its windows, which are stitched.

    A word has the alternatives of the window that answers for it. Windows are taken as they are
    needed, ``AT_ONCE`` at a time, and not kept.

    Raises:
        HyperloaderError: ``sequences`` of a sentence that takes several windows.
    """
    answers: list[_Answers] = []

    def windows() -> Iterator[tuple[_Answers, EncodedWindow]]:
        for sentence in sentences:
            answers.append([])
            for number, window in enumerate(sentence):
                if sequences and number:
                    raise HyperloaderError(
                        "a text is longer than one window, and the likeliest sequences of its "
                        "windows are not those of the text; split it, or ask for alternatives"
                    )
                yield answers[-1], window

    stream = windows()
    while some := list(islice(stream, max(AT_ONCE, batch_size))):
        decoded = decoder.decode(
            [window for _, window in some],
            batch_size=batch_size,
            alternatives=alternatives,
            sequences=sequences,
        )
        for (mine, window), answer in zip(some, decoded, strict=True):
            mine.append((window.window, answer))
        some.clear()  # before the next ones are made
    return [_stitched(mine, alternatives, sequences) for mine in answers]


def _stitched(answers: _Answers, alternatives: int, sequences: int) -> DecodedWindow:
    spans, by = stitch_words([window for window, _ in answers], [a.spans for _, a in answers])
    words = None
    if alternatives:
        others = [answer.alternatives or [] for _, answer in answers]
        words = [others[k][i - answers[k][0].start] for i, k in enumerate(by)]
    whole = None
    if sequences:  # there is one window, or no word at all and nothing to choose
        whole = answers[0][1].sequences if answers else [DecodedSequence([], 1.0)]
    return DecodedWindow(spans, words, whole)
