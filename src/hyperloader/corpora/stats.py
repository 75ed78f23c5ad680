"""What is in a corpus: the columns of the paper's Table 2 and what else one should know."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from hyperloader.corpora.corpus import Corpus, Reading, Unused
from hyperloader.corpora.oddities import oddities
from hyperloader.types import Example

FREQUENT = 100
LEAKY = 0.1


@dataclass(frozen=True, slots=True)
class PaperRow:
    """A row of Table 2: sentences of each part, and slot types."""

    train: int
    validation: int
    test: int
    labels: int


TABLE2 = {
    "atis": PaperRow(4478, 500, 893, 83),
    "snips": PaperRow(13084, 700, 700, 39),
    "movie_trivia": PaperRow(7034, 782, 1953, 12),
    "movie": PaperRow(8797, 978, 2443, 12),
    "restaurant": PaperRow(6894, 766, 1521, 8),
    "mtop": PaperRow(15667, 2235, 4386, 75),
    "mtod": PaperRow(30521, 4181, 8621, 9),
}


@dataclass(frozen=True, slots=True)
class PartStats:
    """One part: sentences, words, spans, and the words of its longest sentence."""

    sentences: int
    words: int
    spans: int
    longest: int


@dataclass(frozen=True, slots=True)
class CorpusStats:
    """One corpus. ``spans_by_label`` maps slot type to part to number of spans.

    ``test_in_train`` is the share (0 to 1) of test sentences whose words occur, all and in order,
    as a training sentence too; None if there is no test part. ``readings`` and ``unused`` say how
    the files were read, ``notes`` where the corpus differs from the paper's Table 2 and from what
    one expects of a corpus, ``oddities`` what looks like a mistake.
    """

    name: str
    parts: dict[str, PartStats]
    labels: int
    labels_in_train: int
    words: int
    longest: int
    intents: int
    test_in_train: float | None
    spans_by_label: dict[str, dict[str, int]] = field(repr=False)
    notes: list[str]
    readings: list[Reading]
    unused: list[Unused]
    oddities: list[str]

    def as_json(self) -> dict[str, object]:
        """The plain dictionary that ``hyperloader data stats --json`` prints."""
        return asdict(self)


def corpus_stats(corpus: Corpus) -> CorpusStats:
    """Count one corpus and note where it differs from Table 2, if it is one of the paper's."""
    parts = {name: _part(examples) for name, examples in corpus.splits.items()}
    spans = {
        name: Counter(span.label for example in examples for span in example.spans)
        for name, examples in corpus.splits.items()
    }
    counts = {label: {name: spans[name][label] for name in spans} for label in corpus.labels()}
    test = corpus.splits.get("test", ())
    known = {example.words for example in corpus.splits.get("train", ())}
    everything = [example for examples in corpus.splits.values() for example in examples]
    stats = CorpusStats(
        name=corpus.name,
        parts=parts,
        labels=len(counts),
        labels_in_train=len(corpus.labels("train")),
        words=sum(part.words for part in parts.values()),
        longest=max((part.longest for part in parts.values()), default=0),
        intents=len({example.intent for example in everything} - {None}),
        test_in_train=sum(e.words in known for e in test) / len(test) if test else None,
        spans_by_label=counts,
        notes=[],
        readings=list(corpus.readings),
        unused=list(corpus.unused),
        oddities=oddities(corpus),
    )
    stats.notes.extend(_notes(stats))
    return stats


def absent_corpora(names: Iterable[str]) -> list[str]:
    """The paper's corpora that are not among ``names``; none when no paper corpus is."""
    found = set(names)
    return sorted(set(TABLE2) - found) if found & set(TABLE2) else []


def _part(examples: Sequence[Example]) -> PartStats:
    lengths = [len(example.words) for example in examples]
    spans = sum(len(example.spans) for example in examples)
    return PartStats(len(examples), sum(lengths), spans, max(lengths, default=0))


def _notes(stats: CorpusStats) -> list[str]:
    notes = []
    paper = TABLE2.get(stats.name)
    if paper:
        for part in ("train", "validation", "test"):
            size = stats.parts[part].sentences
            if size != getattr(paper, part):
                notes.append(f"{part} has {size:,} sentences; Table 2 has {getattr(paper, part):,}")
        if stats.labels != paper.labels:
            frequent = sum(row["train"] >= FREQUENT for row in stats.spans_by_label.values())
            notes.append(
                f"{stats.labels} slot types; Table 2 has {paper.labels} "
                f"({frequent} types have at least {FREQUENT} training spans)"
            )
    unseen = [label for label, row in stats.spans_by_label.items() if not row["train"]]
    if unseen:
        notes.append(f"slot types that never occur in train: {', '.join(unseen)}")
    if stats.test_in_train is not None and stats.test_in_train >= LEAKY:
        notes.append(f"{stats.test_in_train:.2%} of the test sentences are training sentences too")
    return notes
