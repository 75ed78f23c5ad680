"""What is hidden and what is to be given back: pure functions on arrays of token ids.

``spans`` is T5's span corruption. ``words`` has the layout in which the tagger reads and writes
(:mod:`hyperloader.outputs.sentt.codec`): a sentinel around every word of the source; the target
gives, after each sentinel, the next word where it is hidden (or another in its place) and ``O``
where it is not. ``restore`` asks for the other words too, ``copy`` hides nothing and asks for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from hyperloader.codec.pieces import WordPieces
from hyperloader.tags import OUTSIDE

Ids = NDArray[np.int64]
_WORD_MARK = "▁"


@dataclass(frozen=True)
class Symbols:
    """The ids that the objectives insert; ``begins[i]``: whether piece ``i`` begins a word."""

    sentinels: Ids
    outside: tuple[int, ...]
    eos: int
    pad: int
    begins: NDArray[np.bool_]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> "Symbols":
        """Look them up. Raises ConfigError for a tokenizer that is not of T5's kind."""
        pieces = WordPieces(tokenizer)
        vocabulary = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        return cls(
            sentinels=np.array(pieces.sentinels),
            outside=pieces([OUTSIDE])[0],
            eos=pieces.eos,
            pad=pieces.pad,
            begins=np.array([piece.startswith(_WORD_MARK) for piece in vocabulary]),
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """A source and its target, both ending in ``</s>``, and the words as they were, if any."""

    source: Ids
    target: Ids
    words: "Words | None" = None


@dataclass(frozen=True, slots=True)
class Words:
    """Words one after the other; ``starts`` says where each begins, the first at 0."""

    ids: Ids
    starts: Ids

    @property
    def lengths(self) -> Ids:
        """The number of sub-tokens of each word."""
        return np.diff(self.starts, append=len(self.ids))


def word_parts(words: Words) -> list[Ids]:
    """The ids of each word."""
    return np.split(words.ids, words.starts[1:])


def noise_counts(length: int, noise: float, mean_span: float) -> tuple[int, int]:
    """How many of ``length`` tokens T5 hides, and in how many spans."""
    if length < 2:
        return 0, 0
    hidden = min(max(round(length * noise), 1), length - 1)
    spans = min(max(round(hidden / mean_span), 1), length - hidden)
    return hidden, spans


def segment_length(source_tokens: int, noise: float, mean_span: float) -> tuple[int, int]:
    """The longest text whose source has at most ``source_tokens``, and the length of its target.

    With 512, 0.15 and 3: T5's own 568 and 114.
    """

    def lengths(length: int) -> tuple[int, int]:
        hidden, spans = noise_counts(length, noise, mean_span)
        return length - hidden + spans + 1, hidden + spans + 1

    length = 2
    while lengths(length + 1)[0] <= source_tokens:
        length += 1
    return length, lengths(length)[1]


def corrupt_spans(
    ids: Ids,
    symbols: Symbols,
    random: Generator,
    *,
    noise: float = 0.15,
    mean_span: float = 3.0,
    first: int = 0,
) -> Pair:
    """T5's span corruption: each hidden span is one sentinel, the target lists them.

    Kept and hidden runs take turns; the first is kept, the last hidden. The lengths of each kind
    are a uniformly drawn way to cut their total into the fixed number of runs. Sentinels are
    numbered from ``first``. Fewer than two tokens are left as they are.
    """
    hidden, spans = noise_counts(len(ids), noise, mean_span)
    sentinels = symbols.sentinels[first : first + spans]
    if len(sentinels) < spans:
        raise ValueError(f"{spans} spans from sentinel {first} need more than there are")
    source: list[Ids] = []
    target: list[Ids] = []
    kept_runs = _composition(len(ids) - hidden, spans, random)
    at = 0
    for sentinel, kept, gone in zip(
        sentinels, kept_runs, _composition(hidden, spans, random), strict=True
    ):
        source += [ids[at : at + kept], sentinel[None]]
        target += [sentinel[None], ids[at + kept : at + kept + gone]]
        at += kept + gone
    end = np.array([symbols.eos])
    return Pair(np.concatenate([*source, ids[at:], end]), np.concatenate([*target, end]))


def split_words(ids: Ids, symbols: Symbols) -> Words:
    """The words of ``ids``, which are not empty.

    A first word whose beginning is cut off is left out if others follow.
    """
    starts = np.flatnonzero(symbols.begins[ids])
    if not len(starts):
        return Words(ids, np.array([0]))
    return Words(ids[starts[0] :], starts - starts[0])


def pick_words(words: Words, symbols: Symbols, random: Generator, room: int) -> Words:
    """Neighbouring words from a random place on that fit ``room`` tokens in the SentT' layout.

    They are as many as fit, so the place is drawn from those that leave enough words to fill the
    room. A single word that does not fit is cut.
    """
    costs = np.maximum(words.lengths, len(symbols.outside)) + 1
    room -= 2  # the first sentinel and the end
    filling = max(int(np.searchsorted(np.cumsum(costs[::-1]), room, side="right")), 1)
    start = int(random.integers(max(len(costs) - filling, 0) + 1))
    count = int(np.searchsorted(np.cumsum(costs[start:]), room, side="right"))
    stop = start + min(max(count, 1), len(symbols.sentinels) - 1)
    begin = words.starts[start]
    end = words.starts[stop] if stop < len(words.starts) else len(words.ids)
    if not count:
        end = min(end, begin + room - 1)
    return Words(words.ids[begin:end], words.starts[start:stop] - begin)


def shuffle_words(words: Words, random: Generator) -> Words:
    """The same words in random order."""
    parts = np.split(words.ids, words.starts[1:])
    order = random.permutation(len(parts))
    lengths = words.lengths[order]
    return Words(np.concatenate([parts[i] for i in order]), np.cumsum(lengths) - lengths)


def hide_words(
    words: Words,
    symbols: Symbols,
    random: Generator,
    *,
    share: float,
    swapped: float = 0.0,
    restore: bool = False,
    first: int = 0,
) -> Pair:
    """``words`` or ``restore``: see the module. At least one word is hidden.

    A share ``swapped`` of the hidden words (if two or more) are not missing from the source: they
    stand at one another's places, so that only their surroundings tell that they are wrong.
    """
    parts = np.split(words.ids, words.starts[1:])
    outside = np.array(symbols.outside)
    hidden = random.permutation(len(parts))[: max(round(len(parts) * share), 1)]
    moved = np.sort(hidden[: round(len(hidden) * swapped)])
    source, target = list(parts), list(parts) if restore else [outside] * len(parts)
    for i in hidden:
        source[i], target[i] = parts[i][:0], parts[i]
    if len(moved) > 1:
        for i, j in zip(moved, np.roll(moved, int(random.integers(1, len(moved)))), strict=True):
            source[i] = parts[j]
    return Pair(_laid_out(source, symbols, first), _laid_out(target, symbols, first), words)


def copy_words(words: Words, symbols: Symbols, *, first: int = 0) -> Pair:
    """``copy``: every word stands in the source and in the target."""
    layout = _interleave(words.ids, words.lengths, symbols, first)
    return Pair(layout, layout, words)


def padded(rows: Sequence[Ids], length: int, pad: int) -> Ids:
    """``rows`` as (rows, length), filled up with ``pad``."""
    out = np.full((len(rows), length), pad, dtype=np.int64)
    for row, ids in zip(out, rows, strict=True):
        row[: len(ids)] = ids
    return out


def _laid_out(parts: list[Ids], symbols: Symbols, first: int) -> Ids:
    return _interleave(np.concatenate(parts), np.array([len(p) for p in parts]), symbols, first)


def _interleave(ids: Ids, lengths: Ids, symbols: Symbols, first: int) -> Ids:
    """Runs of the given lengths with a sentinel before, between and after them, and the end."""
    sentinels = symbols.sentinels[first : first + len(lengths) + 1]
    if len(sentinels) <= len(lengths):
        raise ValueError(f"{len(lengths)} words from sentinel {first} need more than there are")
    laid = np.insert(ids, np.cumsum(lengths) - lengths, sentinels[:-1])
    return np.concatenate([laid, sentinels[-1:], [symbols.eos]])


def _composition(total: int, parts: int, random: Generator) -> list[int]:
    """``total`` as a sum of ``parts`` numbers >= 1, all ways equally likely."""
    if not parts:
        return []
    cuts = np.sort(random.permutation(total - 1)[: parts - 1]) + 1
    return np.diff([0, *cuts, total]).tolist()
