"""Whether a tagger does as well on raw text as on the tokens that it was trained on.

The tokens of every sentence are joined as people write them (``natural_text``: no blank before a
comma, none behind a bracket, quotes at their words), unless the sentence has its raw text. That
text is tagged as any text is, its words found by the tagger's rule, and spans are compared in
characters: right is a span with the same first and last character and the same label.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.word_rule import natural_text, share_of_words
from hyperloader.evaluation.evaluate import CHUNK, select_examples
from hyperloader.types import Example, TaggedText

if TYPE_CHECKING:
    from hyperloader.tagger import Tagger

Marks = set[tuple[int, int, str]]


@dataclass(frozen=True, slots=True)
class RawTextScores:
    """F1 of one task's spans by the words of the file, and by those found in raw text.

    Attributes:
        words_found: the share of the file's words that are words of the raw text too.
    """

    sentences: int
    spans: int
    tokens_f1: float
    raw_f1: float
    words_found: float

    @property
    def difference(self) -> float:
        """What raw text changes; below zero where it costs."""
        return self.raw_f1 - self.tokens_f1


def raw_text_evaluation(
    tagger: "Tagger",
    corpora: Mapping[str, Corpus],
    split: str,
    batch_size: int = 64,
    advance: Callable[[str, int], None] = lambda task, sentences: None,
) -> dict[str, Any]:
    """The scores of every task and their mean, as ``hyperloader evaluate --json`` prints them."""
    tasks: dict[str, dict[str, Any]] = {}
    for name, examples in select_examples(corpora, split).items():
        scores = raw_text_scores(
            tagger,
            examples,
            batch_size=batch_size,
            advance=lambda n, name=name: advance(name, n),  # type: ignore[misc]
        )
        tasks[name] = asdict(scores) | {"difference": scores.difference}
    measures = ("tokens_f1", "raw_f1", "difference", "words_found")
    mean = {measure: fmean(task[measure] for task in tasks.values()) for measure in measures}
    return {
        "words": tagger.codec.config.words,
        "tasks": tasks,
        "average": {"tasks": len(tasks), **mean},
    }


def raw_text_scores(
    tagger: "Tagger",
    examples: Sequence[Example],
    *,
    batch_size: int = 64,
    advance: Callable[[int], None] = lambda sentences: None,
) -> RawTextScores:
    """Tag the ``examples`` of one task twice, as words and as text, and score both."""
    gold: list[Marks] = []
    by_words: list[Marks] = []
    by_text: list[Marks] = []
    for start in range(0, len(examples), CHUNK):
        some = examples[start : start + CHUNK]
        task = some[0].task
        surfaces = [_raw(example) for example in some]
        words = tagger.tag_words([e.words for e in some], task, batch_size=batch_size)
        texts = tagger.tag([text for text, _ in surfaces], task, batch_size=batch_size)
        for example, (_, places), tagged, found in zip(some, surfaces, words, texts, strict=True):
            gold.append(_marks(example.spans, places))
            by_words.append(_marks(tagged.spans, places))
            by_text.append(_characters(found))
        advance(len(some))
    return RawTextScores(
        sentences=len(examples),
        spans=sum(map(len, gold)),
        tokens_f1=_f1(gold, by_words),
        raw_f1=_f1(gold, by_text),
        words_found=share_of_words(examples, tagger.codec.config.words),
    )


def _raw(example: Example) -> tuple[str, Sequence[tuple[int, int]]]:
    if example.text is None or example.offsets is None:
        return natural_text(example.words)
    return example.text, example.offsets


def _marks(spans: Sequence[Any], places: Sequence[tuple[int, int]]) -> Marks:
    """Spans of words as spans of characters."""
    return {(places[s.word_start][0], places[s.word_end - 1][1], s.label) for s in spans}


def _characters(tagged: TaggedText) -> Marks:
    return {(span.start, span.end, span.label) for span in tagged.spans}


def _f1(gold: Sequence[Marks], guessed: Sequence[Marks]) -> float:
    """Micro F1 of exact spans; 0 where there are none on either side."""
    both = sum(len(a & b) for a, b in zip(gold, guessed, strict=True))
    return 2 * both / max(1, sum(map(len, gold)) + sum(map(len, guessed)))
