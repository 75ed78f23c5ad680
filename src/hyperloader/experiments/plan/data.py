"""The corpora as an experiment uses them: what its systems train, are chosen and are scored on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hyperloader.corpora.corpus import SPLITS, Corpus
from hyperloader.corpora.registry import load_corpora
from hyperloader.corpora.splits import draw, subsample
from hyperloader.errors import ConfigError, DataError
from hyperloader.experiments.plan.spec import Experiment


def experiment_corpora(
    path: Path, experiment: Experiment, sentences: int | None
) -> dict[str, Corpus]:
    """The corpora below ``path`` for ``experiment`` (with its budget applied).

    With ``score: validation`` the test sentences are dropped when the files have been read, or
    may be absent, and the part that is scored are the validation sentences of the share, from
    which checkpoints are chosen.

    Args:
        sentences: of each part of a corpus at most.

    Raises:
        DataError: a corpus that cannot be read, or a part without a sentence.
        ConfigError: ``score: validation`` with several shares or seeds.
    """
    if experiment.score == "test":
        corpora = limit(load_corpora(path, require=("train", "test")), sentences)
    else:
        given = load_corpora(path)
        without = {name: replace(c, splits={**c.splits, "test": ()}) for name, c in given.items()}
        corpora = _scored_on_validation(experiment, limit(without, sentences))
    check_corpora(corpora)
    return corpora


def _scored_on_validation(experiment: Experiment, corpora: dict[str, Corpus]) -> dict[str, Corpus]:
    if len(experiment.fractions) > 1 or len(experiment.seeds) > 1:
        raise ConfigError(
            "score: validation takes one of fractions and one of seeds, since each draws its own "
            "validation sentences; make an experiment file for each"
        )
    fraction, seed = experiment.fractions[0], experiment.seeds[0]
    scored = {}
    for name, corpus in corpora.items():
        chosen = subsample(corpus, fraction, seed).splits["validation"]
        scored[name] = replace(corpus, splits={**corpus.splits, "test": chosen})
    return scored


def limit(corpora: Mapping[str, Corpus], sentences: int | None) -> dict[str, Corpus]:
    """``corpora`` with at most so many ``sentences`` in each part, drawn by a fixed seed."""
    if sentences is None:
        return dict(corpora)
    return {
        name: replace(
            corpus,
            splits={
                part: tuple(
                    examples[i] for i in draw(len(examples), sentences, 42, f"budget {part}")
                )
                for part, examples in corpus.splits.items()
            },
        )
        for name, corpus in corpora.items()
    }


def check_corpora(corpora: Mapping[str, Corpus]) -> None:
    """Raise DataError for a corpus with a part that has no sentence."""
    for name, corpus in corpora.items():
        for part in SPLITS:
            if not corpus.splits.get(part):
                raise DataError(
                    f"corpus {name!r} has no {part} sentences; an experiment trains, selects "
                    "and scores on all three parts"
                )


def corpus_hash(corpus: Corpus) -> str:
    """SHA-256 over the words and spans of every part, in order."""
    digest = hashlib.sha256()
    for part in SPLITS:
        examples = corpus.splits.get(part, ())
        digest.update(f"{part} {len(examples)}\n".encode())
        for example in examples:
            spans = [(s.word_start, s.word_end, s.label) for s in example.spans]
            digest.update(json.dumps([example.words, spans]).encode())
    return digest.hexdigest()
