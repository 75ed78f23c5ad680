"""Two tasks added to a trained tagger, in both orders.

Run: OMP_NUM_THREADS=1 python benchmarks/orders.py --data DIR --base RUN --tasks restaurant mtop
--out FILE.json [--count 100] [--seed 42] [--scored 1000].

Each of --tasks, which the base does not know, is added from --count training sentences and a tenth
as many for validation: the first and then the second, and the other way round. Of each order the F1
of both on --scored test sentences, the old task that each began at, and the share of test sentences
in which a task has another span or score than in the other order.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from grow import part_of, share_changed

from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.registry import load_corpora
from hyperloader.evaluation.evaluate import evenly
from hyperloader.experiments.run.environment import environment
from hyperloader.growing.add import grow, recipe_for
from hyperloader.store import write_text
from hyperloader.tagger import Tagger
from hyperloader.types import Example


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--tasks", nargs=2, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--scored", type=int, default=1000)
    given = parser.parse_args()
    found = load_corpora(given.data, given.tasks)
    few = {name: part_of(corpus, given.count, given.seed) for name, corpus in found.items()}
    tests = {name: evenly(few[name].splits["test"], given.scored) for name in given.tasks}
    orders = [given.tasks, given.tasks[::-1]]
    grown = [added(given.base, [few[name] for name in order], given.seed) for order in orders]
    rows = []
    for task, test in tests.items():
        words = [example.words for example in test]
        one, other = ([tagger.tag_words(words, task)] for tagger, _ in grown)
        rows.append(
            {
                "task": task,
                "f1": [f1(tagger, task, test) for tagger, _ in grown],
                "begins at": [at[task] for _, at in grown],
                "sentences changed": share_changed(one, other),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    settings = {key: str(value) for key, value in vars(given).items()}
    document = {"environment": environment(), "settings": settings, "orders": orders, "rows": rows}
    write_text(given.out, json.dumps(document, indent=1) + "\n")


def added(base: Path, corpora: Sequence[Corpus], seed: int) -> tuple[Tagger, dict[str, str]]:
    """The base with the tasks added in turn, and where each began."""
    tagger, at = Tagger.from_pretrained(base), {}
    for corpus in corpora:
        found = grow(tagger, {corpus.name: corpus}, recipe_for(seed=seed), progress=False)
        tagger, at[corpus.name] = found.tagger, found.at
    return tagger, at


def f1(tagger: Tagger, task: str, test: Sequence[Example]) -> float:
    """F1 of ``task`` on the sentences ``test``."""
    return tagger.evaluate({task: {"test": test}}).average["default"]["f1"]


if __name__ == "__main__":
    main()
