"""The test sentences that results were made on, and their gold spans."""

from pathlib import Path

from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import DataError
from hyperloader.experiments.analyse.study import Study
from hyperloader.experiments.run.results import GOLD, About, corpus_hash
from hyperloader.types import Example, Span

Sentences = dict[str, tuple[Example, ...]]
Gold = dict[str, list[tuple[Span, ...]]]


def read_sentences(about: About, data: Path) -> Sentences:
    """The test sentences of each corpus below ``data``.

    Raises:
        DataError: a corpus is missing or is not the one that the results were made on, or they
            were scored on another part.
    """
    if about.score != "test":
        raise DataError(
            f"the results were scored on {about.score} sentences, not on test sentences; leave "
            "--data away",
            data,
        )
    corpora = load_corpora(data, list(about.corpora), require=("train", "test"))
    for name, corpus in corpora.items():
        if corpus_hash(corpus) != about.corpora[name]:
            raise DataError(
                f"corpus {name!r} is not the one that the results were made on (other sentences, "
                "or a budget that took only some of them); give the folder that they were made on",
                data,
            )
    return {name: corpus.splits["test"] for name, corpus in corpora.items()}


def gold_spans(study: Study, sentences: Sentences | None) -> Gold | None:
    """The gold spans: those that lie beside the results, else of ``sentences``, else None.

    Raises:
        DataError: the two are not of the same sentences.
        CheckpointError: the file is damaged.
    """
    kept = study.gold() if (study.results.path / GOLD).exists() else None
    given: Gold = {task: [e.spans for e in rows] for task, rows in (sentences or {}).items()}
    if kept and given and (wrong := [task for task in kept if kept[task] != given.get(task)]):
        raise DataError(
            f"the gold spans of {wrong[0]} are not those of its test sentences; leave --data away",
            study.results.path / GOLD,
        )
    return kept or given or None
