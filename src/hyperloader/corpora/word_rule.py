"""Which rule finds a corpus's words in raw text: the one that a model trained on it tags by."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from statistics import fmean

from hyperloader.corpora.corpus import Corpus
from hyperloader.types import Example
from hyperloader.words import SENTENCE_MARKS, WORD_RULES, split_words

SENTENCES = 2000  # of each task, enough to tell the rules apart
MARGIN = 0.01

_LEFT = {*".,;:!?%)]}…°™®，。、！？：；）»”", "...", "''", "’’"}  # no blank before
_RIGHT = {*"([{$£€¥#（«“„", "``"}  # no blank after
_BOTH = {"/"}
_CLITICS = {f"{mark}{end}" for mark in "'’" for end in ("s", "m", "d", "ll", "re", "ve")}
_CLITICS |= {"n't", "n’t"}


def word_rule(corpora: Mapping[str, Corpus]) -> str:
    """The rule that finds most words of the training sentences, every task counting the same.

    Of rules that find equally many the first in ``WORD_RULES`` is taken (so ``text`` where no
    training word has a hyphen in it); but white space only if it finds 1 % more than any other, as
    people write punctuation even where the training sentences have none.
    """
    shares = {
        rule: fmean(
            share_of_words(islice(corpus.splits["train"], SENTENCES), rule)
            for corpus in corpora.values()
        )
        for rule in WORD_RULES
    }
    shares["whitespace"] -= MARGIN
    return max(shares, key=shares.__getitem__)


def span_marks(examples: Iterable[Example]) -> tuple[str, ...]:
    """The sentence marks (:data:`~hyperloader.words.SENTENCE_MARKS`) at which spans begin or end.

    Many corpora have no punctuation, and a model trained on one takes the comma behind a name for a
    part of it. No span of raw text ends in a mark at which none of the training data ends.
    """
    found = {
        example.words[place]
        for example in examples
        for span in example.spans
        for place in (span.word_start, span.word_end - 1)
    }
    return tuple(sorted(found & SENTENCE_MARKS))


def share_of_words(examples: Iterable[Example], rule: str) -> float:
    """The share of the examples' words, from 0 to 1, that ``rule`` finds in their raw text.

    The text of an example that has none is :func:`natural_text` of its words.
    """
    found = total = 0
    for example in examples:
        if example.text is None or example.offsets is None:
            text, offsets = natural_text(example.words)
        else:
            text, offsets = example.text, list(example.offsets)
        found += len(set(offsets) & set(split_words(text, rule)))
        total += len(offsets)
    return found / total if total else 1.0


def natural_text(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Tokenised words as people write them, and where each is: no blank before a comma, …"""
    text, offsets, glue = "", [], True
    open_quotes: set[str] = set()
    for i, word in enumerate(words):
        before = words[i - 1] if i else ""
        glue = glue or word in _LEFT or word in _BOTH or word.lower() in _CLITICS
        glue_next = word in _RIGHT or word in _BOTH
        if word in ('"', "'"):
            if word in open_quotes:
                glue = True
                open_quotes.remove(word)
            elif word == "'" and before.endswith("s") and word not in words[i + 1 :]:
                glue = True  # the dogs' bowls
            else:
                open_quotes.add(word)
                glue_next = True
        if not glue:
            text += " "
        offsets.append((len(text), len(text) + len(word)))
        text += word
        glue = glue_next
    return text, offsets
