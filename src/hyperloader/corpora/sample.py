"""Three small synthetic tagging tasks for the quickstart: ``home``, ``travel`` and ``dining``.

The sentences are written by the grammars of ``sample_words``. They are easy on purpose: a score
on them shows that an installation works and says nothing about real text.

A grammar is a list of rules, ``name = body``, where a body is made of

=================  ============================================================
``word``           the word itself
``a | b``          one of the alternatives, all equally likely
``( a | b )``      the same inside a longer body
``[ a | b ]``      one of the alternatives, or (more often) nothing
``<rule>``         what the rule writes
``{label}``        what the rule of that name writes, as a span with that label
``{label=rule}``   what the rule writes, as a span with that label
=================  ============================================================

A rule written ``name* = body`` is open: some of its values are held out of training, so that the
test part asks for values a model has not seen (see ``HELD_OUT``).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from zlib import crc32

from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.sample_words import GRAMMARS
from hyperloader.errors import ConfigError
from hyperloader.types import Example, Span

# Every value of an open rule falls into one of eight groups by its checksum, whatever the seed.
# A part may use the groups named for it and those named for none: the test part alone sees the
# values of a quarter of the groups, and validation has an eighth of its own, so choosing a model
# on it does not use up what the test part asks.
GROUPS = 8
HELD_OUT = {"train": (), "validation": (2,), "test": (0, 1)}

MIN_WORDS, MAX_WORDS = 3, 18
OPTIONAL_CHANCE = 0.4

_RULE = re.compile(r"^(\w+)(\*?) =", re.MULTILINE)
_TOKEN = re.compile(r"[][()|]|<\w+>|{\w+(?:=\w+)?}|[a-z]+")
_CLOSING = {"(": ")", "[": "]"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of ``options``, each a sequence of nodes; ``optional``: or nothing."""

    options: tuple[tuple["Node", ...], ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """What ``rule`` writes, as a span when ``label`` is given."""

    rule: str
    label: str | None = None


Node = str | Choice | Call
Phrase = tuple[str, str | None]  # words joined by spaces, and the label of the span they are


@dataclass(frozen=True, slots=True)
class SampleGrammar:
    """Rules by name, the names of the open ones; ``sentence`` is where writing starts."""

    rules: dict[str, Choice]
    open_rules: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> "SampleGrammar":
        """Read the notation of this module; ValueError for what is not in it."""
        before, *parts = _RULE.split(text)
        names, stars, bodies = parts[::3], parts[1::3], parts[2::3]
        if before.strip():
            raise ValueError(f"a grammar starts with a rule, not with {before.strip()!r}")
        rules: dict[str, Choice] = {}
        for name, body in zip(names, bodies, strict=True):
            if name in rules:
                raise ValueError(f"rule {name!r} is defined twice")
            if stray := _TOKEN.sub("", body).strip():
                raise ValueError(f"rule {name!r} has {stray!r}, which is no part of the notation")
            rules[name] = _parse_body(iter(_TOKEN.findall(body)))
        return cls(rules, frozenset(name for name, star in zip(names, stars, strict=True) if star))

    def write(self, split: str, random: Random) -> list[Phrase]:
        """One sentence for a part (train, validation or test), with the values it may use."""
        return self._expand(Call("sentence"), split, random)

    def _expand(self, node: Node, split: str, random: Random) -> list[Phrase]:
        match node:
            case str():
                return [(node, None)]
            case Choice(options, optional):
                if optional and random.random() >= OPTIONAL_CHANCE:
                    return []
                # Only random() is promised to give the same numbers in every version of Python.
                chosen = options[int(random.random() * len(options))]
                return [phrase for part in chosen for phrase in self._expand(part, split, random)]
            case Call(rule, label):
                while True:
                    phrases = self._expand(self.rules[rule], split, random)
                    value = " ".join(words for words, _ in phrases)
                    if rule not in self.open_rules or _may_use(split, rule, value):
                        return phrases if label is None else [(value, label)]


def sample_corpora(
    *, seed: int = 42, train: int = 1500, validation: int = 150, test: int = 300
) -> dict[str, Corpus]:
    """The three sample tasks by name, each with ``train``, ``validation``, ``test`` sentences.

    Words are lower case. No sentence occurs twice in a task, in one part or in two. The same
    arguments give the same corpora on every machine. ConfigError for a size below zero or beyond
    what a grammar can write.
    """
    sizes = {"train": train, "validation": validation, "test": test}
    for split, size in sizes.items():
        if size < 0:
            raise ConfigError(f"{split}={size}: a sample corpus needs a size of 0 or more")
    return {task: _corpus(task, text, seed, sizes) for task, text in GRAMMARS.items()}


def _corpus(task: str, text: str, seed: int, sizes: dict[str, int]) -> Corpus:
    grammar = SampleGrammar.parse(text)
    seen: set[tuple[str, ...]] = set()
    splits = {}
    for split, size in sizes.items():
        # A generator of its own for every part: the size of one does not change the draws of
        # another.
        random = Random(f"{seed} {task} {split}")
        splits[split] = tuple(_examples(grammar, task, split, size, random, seen))
    return Corpus(task, splits)


def _examples(
    grammar: SampleGrammar,
    task: str,
    split: str,
    size: int,
    random: Random,
    seen: set[tuple[str, ...]],
) -> Iterator[Example]:
    """``size`` sentences that are not in ``seen``, which they are added to."""
    written = 0
    for _ in range(1000 + 50 * size):
        if written == size:
            return
        example = _example(grammar.write(split, random), task)
        if MIN_WORDS <= len(example.words) <= MAX_WORDS and example.words not in seen:
            seen.add(example.words)
            written += 1
            yield example
    if written < size:
        raise ConfigError(
            f"the {task} grammar found only {written} new sentences for {split}={size}; "
            "ask for fewer"
        )


def _example(phrases: list[Phrase], task: str) -> Example:
    words: list[str] = []
    spans: list[Span] = []
    for phrase, label in phrases:
        start = len(words)
        words += phrase.split(" ")
        if label is not None:
            spans.append(Span(start, len(words), label))
    return Example(tuple(words), tuple(spans), task)


def _may_use(split: str, rule: str, value: str) -> bool:
    group = crc32(f"{rule} {value}".encode()) % GROUPS
    return group in HELD_OUT[split] or all(group not in groups for groups in HELD_OUT.values())


def _parse_body(tokens: Iterator[str], opening: str = "") -> Choice:
    """Read ``tokens`` up to the bracket that closes ``opening``, or to the end without one."""
    options: list[list[Node]] = [[]]
    for token in tokens:
        if token == "|":
            options.append([])
        elif token in _CLOSING:
            options[-1].append(_parse_body(tokens, token))
        elif token in _CLOSING.values():
            if token != _CLOSING.get(opening):
                raise ValueError(f"{token!r} does not close {opening!r}")
            break
        elif token.startswith("<"):
            options[-1].append(Call(token[1:-1]))
        elif token.startswith("{"):
            label, _, rule = token[1:-1].partition("=")
            options[-1].append(Call(rule or label, label))
        else:
            options[-1].append(token)
    else:
        if opening:
            raise ValueError(f"{opening!r} is never closed")
    return Choice(tuple(map(tuple, options)), optional=opening == "[")
