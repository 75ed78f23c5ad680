"""A tagger that is called and answers as transformers' pipeline for token classification does.

It needs no transformers. docs/integrations/transformers.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hyperloader import tagging
from hyperloader.builtin import BUILTIN
from hyperloader.errors import ConfigError, unknown
from hyperloader.tagger import Tagger
from hyperloader.tags import OUTSIDE, spans_to_bio
from hyperloader.types import Span, TaggedText

NONE = "none"
AGGREGATIONS = (NONE, "simple", "first", "average", "max")

Entity = dict[str, Any]


def pipeline(
    task: str | None = None, model: str | Path | Tagger = BUILTIN, **options: Any
) -> "TokenPipeline":
    """A tagger that answers as transformers' pipeline for token classification does.

    Args:
        task: of the tagger; may be omitted if it has exactly one.
        model: a tagger, or what :meth:`Tagger.from_pretrained` takes.
        options: ``device`` and ``precision`` as there; the others as of :class:`TokenPipeline`.

    Raises:
        HyperloaderError: no such tagger, task or aggregation strategy.

    Example:
        >>> import hyperloader
        >>> tag = hyperloader.pipeline("restaurant", aggregation_strategy="simple")
        >>> second = tag("a cheap thai place")[1]
        >>> second["word"]
        'thai'
    """
    if not isinstance(model, Tagger):
        places = {name: options.pop(name) for name in ("device", "precision") if name in options}
        model = Tagger.from_pretrained(model, **places)
    return TokenPipeline(model, task, **options)


class TokenPipeline:
    """Texts in, lists of dictionaries out, with the keys of transformers' pipeline.

    ``none``: one entry per word with its BIO tag (``entity``), the probability of that tag
    (``score``), its number from 1 (``index``), ``word``, ``start`` and ``end``. The other
    strategies: one entry per span, with its label (``entity_group``) and calibrated ``score``. In
    transformers they differ in what becomes of a word whose sub-tokens disagree; here a word has
    one tag, so that they come to the same.

    Args:
        ignore_labels: entries with these are left out.
        options: of :meth:`Tagger.tag`, but ``alternatives``.
    """

    def __init__(
        self,
        tagger: Tagger,
        task: str | None = None,
        *,
        aggregation_strategy: str = NONE,
        ignore_labels: Sequence[str] = (OUTSIDE,),
        batch_size: int = 64,
        min_score: float = 0.0,
    ) -> None:
        tagger.labels(task)
        _check(aggregation_strategy)
        self.tagger, self.task = tagger, task
        self.aggregation_strategy, self.ignore_labels = aggregation_strategy, tuple(ignore_labels)
        self._options: tagging.TagOptions = {"batch_size": batch_size, "min_score": min_score}

    def __call__(
        self, inputs: Any, *, aggregation_strategy: str | None = None
    ) -> list[Entity] | list[list[Entity]] | Iterator[list[Entity]]:
        """The entries of one text (a list), of several (a list of lists), or of a stream of texts
        (an iterator of lists)."""
        strategy = aggregation_strategy or self.aggregation_strategy
        _check(strategy)
        if isinstance(inputs, str):
            return next(self._stream([inputs], strategy))
        found = self._stream(inputs, strategy)
        return list(found) if isinstance(inputs, Sequence) else found

    def _stream(self, texts: Iterable[str], strategy: str) -> Iterator[list[Entity]]:
        options = self._options
        if strategy == NONE:
            options = {**options, "alternatives": 1 + 2 * len(self.tagger.labels(self.task))}
        entries = _words if strategy == NONE else _groups
        for tagged in self.tagger.pipe(texts, self.task, **options):
            yield [each for each in entries(tagged) if _label(each) not in self.ignore_labels]


def _check(strategy: str) -> None:
    if strategy not in AGGREGATIONS:
        raise ConfigError(unknown("aggregation strategy", str(strategy), AGGREGATIONS))


def _label(entry: Entity) -> str:
    return str(entry["entity"] if "entity" in entry else entry["entity_group"])


def _groups(tagged: TaggedText) -> list[Entity]:
    return [
        {"entity_group": s.label, "score": s.score, "word": s.text, "start": s.start, "end": s.end}
        for s in tagged.spans
    ]


def _words(tagged: TaggedText) -> list[Entity]:
    spans = [Span(s.word_start, s.word_end, s.label) for s in tagged.spans]
    tags = spans_to_bio(spans, len(tagged.words))
    entries = []
    for i, (tag, (start, end)) in enumerate(zip(tags, tagged.offsets, strict=True)):
        word, score = tagged.text[start:end], _probability(tagged, i, tag)
        entry = {"entity": tag, "score": score, "index": i + 1, "word": word}
        entries.append({**entry, "start": start, "end": end})
    return entries


def _probability(tagged: TaggedText, word: int, tag: str) -> float:
    """How likely a word's BIO ``tag`` is. Models that write tags call B-x ``x``, and I-x ``I``."""
    names = {tag, tag.removeprefix("B-") if tag.startswith("B-") else tag[:1]}
    choices = tagged.alternatives[word] if tagged.alternatives else ()
    return next((p for tags, p in choices if not names.isdisjoint(tags)), 0.0)
