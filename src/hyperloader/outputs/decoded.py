"""What decoders give, and whole sentences put together from their windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hyperloader.codec.windows import EncodedWindow, stitch_words
from hyperloader.types import Alternative, Span

# Source tokens of a batch that is decoded at once. The memory that it takes grows with them; on a
# CPU larger batches save no time.
MAX_TOKENS = {"cpu": 4096}
MAX_TOKENS_ELSEWHERE = 32768


@dataclass(frozen=True, slots=True)
class DecodedWindow:
    """What was found in one window, or in a sentence put together of several.

    ``spans`` are counted from its first word. A span's score is the product of the probabilities
    of its words' tags, each renormalised over the tags that the grammar allows, and of the
    probability that it does not go on in the word after it.
    ``alternatives``, where asked for, has the likeliest tags of every word, best first.
    """

    spans: list[Span]
    alternatives: list[tuple[Alternative, ...]] | None = None


class WindowDecoder(Protocol):
    """What tags windows."""

    def decode(
        self, windows: Sequence[EncodedWindow], *, batch_size: int = 64, alternatives: int = 0
    ) -> list[DecodedWindow]:
        """Decode ``windows`` in their order, with so many ``alternatives`` a word."""


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
    sentences: Sequence[Sequence[EncodedWindow]],
    *,
    batch_size: int = 64,
    alternatives: int = 0,
) -> list[DecodedWindow]:
    """Whole sentences, each given as its windows, which are stitched.

    A word has the alternatives of the window that answers for it.
    """
    windows = [window for parts in sentences for window in parts]
    decoded = iter(decoder.decode(windows, batch_size=batch_size, alternatives=alternatives))
    found = []
    for parts in sentences:
        answers = [next(decoded) for _ in parts]
        spans, by = stitch_words([part.window for part in parts], [a.spans for a in answers])
        others = [answer.alternatives or [] for answer in answers]
        words = [others[k][i - parts[k].window.start] for i, k in enumerate(by) if alternatives]
        found.append(DecodedWindow(spans, words if alternatives else None))
    return found
