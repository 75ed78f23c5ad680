"""What goes wrong: errors by their kind, of a system or of nearly all runs together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import DataError
from hyperloader.evaluation.confusion import Kind, Match, Outcome, match_spans
from hyperloader.experiments.analyse.results import Results
from hyperloader.experiments.plan.data import corpus_hash
from hyperloader.experiments.run.folder import GOLD, Metadata
from hyperloader.experiments.run.record import read_spans
from hyperloader.types import Example, Span

Sentences = dict[str, tuple[Example, ...]]
Gold = dict[str, list[tuple[Span, ...]]]
WRONG = tuple(outcome for outcome in Outcome if outcome is not Outcome.CORRECT)


@dataclass(frozen=True, slots=True)
class Errors:
    """The errors of a system on one corpus, of all seeds together.

    ``spans`` counts gold spans, once a seed. ``found`` has every error by its kind, with the
    number of its sentence.
    """

    task: str
    spans: int
    found: Mapping[Kind, Sequence[tuple[int, Match]]]

    @property
    def outcomes(self) -> Counter[Outcome]:
        """How many errors of each outcome."""
        return sum((Counter({k.outcome: len(v)}) for k, v in self.found.items()), Counter())

    @property
    def commonest(self) -> list[Kind]:
        """The kinds, most frequent first."""
        return sorted(self.found, key=lambda kind: (-len(self.found[kind]), kind))


def find_errors(
    task: str, gold: Sequence[Sequence[Span]], predictions: Iterable[Sequence[Sequence[Span]]]
) -> Errors:
    """Compare the predictions of each seed with the gold spans of every sentence."""
    found: dict[Kind, list[tuple[int, Match]]] = {}
    spans = 0
    for predicted in predictions:
        for i, (truth, guess) in enumerate(zip(gold, predicted, strict=True)):
            spans += len(truth)
            for match in match_spans(truth, guess):
                if match.outcome is not Outcome.CORRECT:
                    found.setdefault(match.kind, []).append((i, match))
    return Errors(task, spans, found)


def agreed_errors(
    task: str,
    gold: Sequence[Sequence[Span]],
    predictions: Sequence[Sequence[Sequence[Span]]],
    agreement: float,
) -> Errors:
    """The spans that the gold has not and that at least ``agreement`` of the runs predict.

    What different systems find with different seeds is often right: this is where wrong gold is
    to be looked for. Gold spans that the runs do not agree on are no errors here. An ``agreement``
    above 0.5 keeps agreed spans from overlapping.
    """
    needed = agreement * len(predictions) - 1e-9
    agreed = [
        sorted(
            (span for span, runs in Counter(chain(*each)).items() if runs >= needed),
            key=lambda span: span.word_start,
        )
        for each in zip(*predictions, strict=True)
    ]
    errors = find_errors(task, gold, [agreed])
    found = {k: v for k, v in errors.found.items() if k.outcome is not Outcome.MISSED}
    return Errors(task, errors.spans, found)


def read_sentences(metadata: Metadata, data: Path) -> Sentences:
    """The test sentences of each corpus below ``data``.

    Raises:
        DataError: a corpus is missing or is not the one that the results were made on, or they
            were scored on another part.
    """
    if metadata.score != "test":
        raise DataError(
            f"the results were scored on {metadata.score} sentences, not on test sentences; "
            "omit --data",
            data,
        )
    corpora = load_corpora(data, list(metadata.corpora), require=("train", "test"))
    for name, corpus in corpora.items():
        if corpus_hash(corpus) != metadata.corpora[name]:
            raise DataError(
                f"corpus {name!r} is not the one that the results were made on (other sentences, "
                "or a budget that took only some of them); give the folder that they were made on",
                data,
            )
    return {name: corpus.splits["test"] for name, corpus in corpora.items()}


def gold_spans(results: Results, sentences: Sentences | None) -> Gold | None:
    """The gold spans: those that lie beside the results, else of ``sentences``, else None.

    Raises:
        DataError: the two are not of the same sentences.
        CheckpointError: the file is damaged.
    """
    path = results.folder.path / GOLD
    kept = read_spans(path) if path.exists() else None
    given: Gold = {task: [e.spans for e in rows] for task, rows in (sentences or {}).items()}
    if kept and given and (wrong := [task for task in kept if kept[task] != given.get(task)]):
        raise DataError(
            f"the gold spans of {wrong[0]} are not those of its test sentences; omit --data",
            path,
        )
    return kept or given or None
