"""Labelling the sentences that a tagger suggests, against labelling sentences at random.

Run: OMP_NUM_THREADS=1 python benchmarks/suggest.py --data DIR --base RUN --tasks restaurant mtop
--out FILE.json [--first 50] [--more 50] [--rounds 3] [--pool 1000] [--seeds 42] [--scored 700].

The base is a tagger that does not know the tasks. A task is added from --first training sentences
drawn at random. Then --more are labelled and the task is added to the base anew from all of them,
--rounds times: those that ``suggest`` chooses from --pool others with the tagger of the round
before, or those that come next at random. F1 is of --scored test sentences, the same for both.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import hyperloader
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.registry import load_corpora
from hyperloader.evaluation.evaluate import evenly
from hyperloader.experiments.run.environment import environment
from hyperloader.growing.suggest import suggest
from hyperloader.store import write_text
from hyperloader.tagger import Tagger
from hyperloader.types import Example

WAYS = ("suggested", "random")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=50)
    parser.add_argument("--more", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pool", type=int, default=1000)
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    parser.add_argument("--scored", type=int, default=700)
    given = parser.parse_args()
    base = Tagger.from_pretrained(given.base)
    rows = [
        row
        for name, corpus in load_corpora(given.data, given.tasks).items()
        for seed in given.seeds
        for row in simulated(name, corpus, base, seed, given)
    ]
    settings = {key: str(value) for key, value in vars(given).items()}
    document = {"environment": environment(), "settings": settings, "rows": rows}
    write_text(given.out, json.dumps(document, indent=1) + "\n")


def simulated(
    name: str, corpus: Corpus, base: Tagger, seed: int, given: argparse.Namespace
) -> list[dict[str, Any]]:
    """A row for each way and round."""
    by_text = {" ".join(example.words): example for example in corpus.splits["train"]}
    count = min(len(by_text), given.first + given.pool)
    texts = random.Random(seed).sample(list(by_text), count)
    test = {name: {"test": evenly(corpus.splits["test"], given.scored)}}
    rows: list[dict[str, Any]] = []

    def learnt(way: str, chosen: Sequence[str]) -> Tagger:
        examples: list[Example] = [by_text[text] for text in chosen]
        few = replace(corpus, splits={**corpus.splits, "train": tuple(examples), "validation": ()})
        tagger = hyperloader.add_task(base, {name: few}, seed=seed, calibrate=False, progress=False)
        f1 = tagger.evaluate(test).average["default"]["f1"]
        spans = sum(len(example.spans) for example in examples)
        words = sum(len(example.words) for example in examples)
        row = {"task": name, "seed": seed, "way": way, "sentences": len(chosen), "f1": f1}
        rows.append({**row, "words": words, "spans": spans})
        print(json.dumps(rows[-1]), flush=True)
        return tagger

    first = learnt("first", texts[: given.first])
    for way in WAYS:
        chosen, tagger = list(texts[: given.first]), first
        for _ in range(given.rounds):
            left = [text for text in texts if text not in set(chosen)]
            if way == "suggested":
                found = suggest(tagger, left, name, count=given.more)
                chosen += [one.tagged.text for one in found]
            else:
                chosen += left[: given.more]
            tagger = learnt(way, chosen)
    return rows


if __name__ == "__main__":
    main()
