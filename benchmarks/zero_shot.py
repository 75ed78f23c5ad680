"""How well a tagger finds labels by their names alone, on corpora that it has never seen.

Run: OMP_NUM_THREADS=1 python benchmarks/zero_shot.py --data DIR --held-out restaurant mtop
--out FILE.json --work FOLDER [--from-text DIR] [--unseen DIR] [--part validation] [--steps 2000]
[--seed 42] [--set KEY=VALUE ...].

The recipe `zero-shot` is trained on the tasks of --data but those --held-out (and on the corpora in
--from-text, which `hyperloader data from-text` writes); a run that is in --work already is scored
as it is. Then it is asked for the labels of each task held out, and of each corpus in --unseen, by
their names: F1, precision and recall on the sentences of --part (of --unseen always the test part).
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import hyperloader
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.registry import load_corpora
from hyperloader.experiments.run.environment import environment
from hyperloader.store import write_text
from hyperloader.tagger import Tagger
from hyperloader.yamls import load_yaml

MEASURES = ("f1", "precision", "recall")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", nargs="+", required=True)
    parser.add_argument("--from-text", type=Path)
    parser.add_argument("--unseen", type=Path)
    parser.add_argument("--part", choices=["validation", "test"], default="validation")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    corpora = load_corpora(given.data)
    asked = {name: (corpora.pop(name), given.part) for name in given.held_out}
    if given.unseen:
        asked |= {name: (found, "test") for name, found in load_corpora(given.unseen).items()}
    if given.from_text:
        corpora |= load_corpora(given.from_text, require=("train", "validation"))
    began = time.monotonic()
    trained = not given.work.exists()
    if trained:
        settings = {
            key: load_yaml(value) for key, _, value in (s.partition("=") for s in given.set)
        }
        steps = given.steps
        short = {"training.steps": steps, "validation.every": steps}
        hyperloader.train(
            corpora,
            recipe="zero-shot",
            out=given.work,
            seed=given.seed,
            settings={**short, **settings},
        )
    seconds = time.monotonic() - began
    tagger = Tagger.from_pretrained(given.work)
    rows = []
    for corpus, part in asked.values():
        rows.append(scored(tagger, corpus, part))
        print(json.dumps(rows[-1]), flush=True)
    document = {
        "environment": environment(),
        "settings": {key: str(value) for key, value in vars(given).items()},
        "trained on": {name: len(corpus.splits["train"]) for name, corpus in corpora.items()},
        "seconds": round(seconds) if trained else None,
        "rows": rows,
    }
    write_text(given.out, json.dumps(document, indent=1) + "\n")


def scored(tagger: Tagger, corpus: Corpus, part: str) -> dict[str, Any]:
    """What the tagger finds of all labels of ``corpus`` by their names."""
    labels = corpus.labels()
    asking = tagger.for_labels(labels, task=corpus.name)
    scores = asking.evaluate({corpus.name: {"test": corpus.splits[part]}})
    measured = scores.average["default"]
    return {
        "task": corpus.name,
        "part": part,
        "sentences": len(corpus.splits[part]),
        "labels": len(labels),
        **{name: round(measured[name], 4) for name in MEASURES},
    }


if __name__ == "__main__":
    main()
