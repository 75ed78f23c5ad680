"""Small corpora that nothing here was trained on, at equal time: one model for all of them, and for
each corpus a model of its own: a fine-tuned MiniLM, a blank spaCy NER.

Run: OMP_NUM_THREADS=1 python benchmarks/unseen.py --data DIR --out results/unseen [--minutes 1]
[--systems hyperloader spacy]. Needs the extras minilm, spacy and plots. ``--minutes`` is for each
corpus; the one model has the sum. Curves are F1 on validation sentences while training (evaluations
count as time), the table has the test part, scored once. Settings are those of the recipe minilm
and of spaCy's own configuration; nothing was chosen on these corpora.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spacy_train import predicted, train_ner

import hyperloader
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.registry import load_corpora
from hyperloader.evaluation.evaluate import evenly
from hyperloader.evaluation.metrics import ScoredExample, score_examples
from hyperloader.experiments.run.environment import environment
from hyperloader.store import write_text
from hyperloader.types import Span

Corpora = Mapping[str, Corpus]
Found = dict[str, Any]
# Sentences of each corpus that F1 is measured on while training.
WATCHED = 100
# spaCy is watched this often, in steps, and is never out of steps before it is out of time.
SPACY_EVERY, SPACY_STEPS = 20, 1_000_000
FULL = {"model.method": "full", "training.backbone_learning_rate": 1e-4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    parser.add_argument("--minutes", type=float, default=1.0, help="for each corpus")
    parser.add_argument("--seed", type=int, default=42, help="of ours; spaCy's is 42")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    given = parser.parse_args()
    corpora = load_corpora(given.data)
    found: dict[str, Found] = {}
    for name in given.systems:
        started = time.monotonic()
        found[name] = SYSTEMS[name](corpora, given.minutes, given.seed)
        found[name]["seconds"] = round(time.monotonic() - started, 1)
        scores = found[name]["test"]
        print(name, f"{average(scores):.4f}", json.dumps(scores), flush=True)
    about = {
        "environment": environment(),
        "minutes": given.minutes,
        "seed": given.seed,
        "sentences": {
            name: {part: len(rows) for part, rows in corpus.splits.items()}
            for name, corpus in corpora.items()
        },
    }
    stem = given.out / f"minutes-{given.minutes:g}"
    write_text(
        stem.with_name(f"{stem.name}.json"), json.dumps({**about, "systems": found}, indent=1)
    )
    draw(found, given.minutes * len(corpora), stem.with_name(f"{stem.name}.png"))


def one_model(
    corpora: Corpora, minutes: float, seed: int, settings: Mapping[str, Any] | None = None
) -> Found:
    """One model of the recipe ``minilm`` on all ``corpora``, with ``minutes`` for each of them."""
    curve: list[tuple[float, float]] = []
    started = time.monotonic()

    def listen(kind: str, entry: Mapping[str, Any]) -> None:
        if kind == "validation":
            curve.append((round(time.monotonic() - started, 1), round(entry["f1"], 4)))

    with tempfile.TemporaryDirectory() as folder:
        tagger = hyperloader.train(
            corpora,
            out=Path(folder) / "run",
            recipe="minilm",
            minutes=minutes * len(corpora),
            seed=seed,
            settings={"validation.every": 150, "validation.sentences": WATCHED, **(settings or {})},
            calibrate=False,
            progress=False,
            listeners=[listen],
        )
        scores = tagger.evaluate(corpora).to_dict()["tasks"]
    return {"test": {name: scores[name]["default"]["f1"] for name in corpora}, "curve": curve}


def without_shapes(corpora: Corpora, minutes: float, seed: int) -> Found:
    """One model that is not told which words have capitals."""
    return one_model(corpora, minutes, seed, {"model.word_shapes": False})


def fine_tuned(corpora: Corpora, minutes: float, seed: int) -> Found:
    """All of MiniLM fine-tuned for each corpus."""
    return together(
        {name: one_model({name: corpus}, minutes, seed, FULL) for name, corpus in corpora.items()}
    )


def spacy(corpora: Corpora, minutes: float, seed: int) -> Found:
    """A blank spaCy NER for each corpus."""
    return together({name: spacy_model(corpus, minutes) for name, corpus in corpora.items()})


def spacy_lower(corpora: Corpora, minutes: float, seed: int) -> Found:
    """The same on lower-cased words, which is how MiniLM reads them."""
    return spacy({name: lower_cased(corpus) for name, corpus in corpora.items()}, minutes, seed)


def lower_cased(corpus: Corpus) -> Corpus:
    splits = {
        part: tuple(replace(e, words=tuple(map(str.lower, e.words))) for e in examples)
        for part, examples in corpus.splits.items()
    }
    return replace(corpus, splits=splits)


def spacy_model(corpus: Corpus, minutes: float) -> Found:
    rows = {
        part: [
            {"words": e.words, "spans": [(s.word_start, s.word_end, s.label) for s in e.spans]}
            for e in examples
        ]
        for part, examples in corpus.splits.items()
    }
    nlp, about = train_ner(
        rows["train"],
        evenly(rows["validation"], WATCHED),
        SPACY_STEPS,
        seconds=60 * minutes,
        every=SPACY_EVERY,
    )
    test = corpus.splits["test"]
    found = predicted(nlp, [list(example.words) for example in test])
    scored = [
        ScoredExample(example, tuple(Span(*span) for span in spans))
        for example, spans in zip(test, found, strict=True)
    ]
    return {
        "test": {corpus.name: score_examples(corpus.name, scored).default.f1},
        "curve": [(seconds, f1) for _, f1, seconds in about["validation_f1"]],
        "steps": about["steps"],
    }


def together(alone: Mapping[str, Found]) -> Found:
    """What models of one corpus each came to."""
    return {
        "test": {name: found["test"][name] for name, found in alone.items()},
        "curves": {name: found["curve"] for name, found in alone.items()},
        "steps": {name: found["steps"] for name, found in alone.items() if "steps" in found},
    }


def average(scores: Mapping[str, float]) -> float:
    return sum(scores.values()) / len(scores)


def draw(found: Mapping[str, Found], minutes: float, path: Path) -> None:
    """Average validation F1 over minutes; those of models apart are added up."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for name, about in found.items():
        curves = list(about["curves"].values()) if "curves" in about else [about["curve"]]
        times = sorted({seconds for curve in curves for seconds, _ in curve})
        f1 = [average(dict(enumerate(at(curve, t) for curve in curves))) for t in times]
        axes.plot([len(curves) * t / 60 for t in times], f1, marker=".", label=name)
    axes.set(xlabel="minutes for all corpora", ylabel="average F1, validation", xlim=(0, minutes))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def at(curve: list[tuple[float, float]], seconds: float) -> float:
    """The best that has been measured by then."""
    return max((f1 for when, f1 in curve if when <= seconds), default=0.0)


SYSTEMS = {
    "hyperloader": one_model,
    "hyperloader without word shapes": without_shapes,
    "fine-tuned MiniLM": fine_tuned,
    "spaCy": spacy,
    "spaCy, lower-cased": spacy_lower,
}

if __name__ == "__main__":
    main()
