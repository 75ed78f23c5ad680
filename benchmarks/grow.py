"""A task added to a trained tagger, against training it alone and against training that goes on.

Run: OMP_NUM_THREADS=1 python benchmarks/grow.py --data DIR --out FILE.json --work FOLDER
[--held-out restaurant ...] [--base RUN] [--counts 10 50 100 500 0] [--seeds 42] [--base-steps 1500]
[--steps N] [--ways "add-task residual" train ...] [--part test] [--scored 0] [--compared 100]
[--recipe minilm].

Each of the tasks --held-out (default: every task of DIR in turn) is left out, a base is trained on
the others (--base names one that is there) and then the task is learnt from as many of its training
sentences as --counts says (0: all), a tenth more for validation, in each of --ways: added at a
level, by ``train --from`` the base, alone from an untrained hypernetwork, alone with adapters or by
fine-tuning the whole backbone, or jointly: together with the others, from the beginning, in
--base-steps. Of each way the F1 on sentences of --part (--scored: so many, 0 all), the seconds, the
bytes of the task as a folder, and whether the old tasks' answers on --compared of their test
sentences (0: all) have stayed the same.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import hyperloader
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.registry import load_corpora
from hyperloader.corpora.splits import draw
from hyperloader.evaluation.evaluate import evenly
from hyperloader.experiments.run.environment import environment
from hyperloader.growing.add import LEVELS
from hyperloader.store import write_text
from hyperloader.tagger import Tagger

# Models of one task each, by what they change in the recipe.
ALONE: dict[str, dict[str, Any]] = {
    "train": {},
    "train an adapter": {"model.method": "adapter"},
    "train all of the backbone": {"model.method": "full", "training.backbone_learning_rate": 1e-4},
}
USUAL = (*(f"add-task {level}" for level in LEVELS), "train --from", "train")
WAYS = (*USUAL, *(way for way in ALONE if way not in USUAL), "train jointly")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="for bases and runs")
    parser.add_argument("--held-out", nargs="+", help="default: every task in turn")
    parser.add_argument("--base", type=Path, help="a run on the other tasks, of one held-out task")
    parser.add_argument("--counts", nargs="+", type=int, default=[10, 50, 100, 500, 0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    parser.add_argument("--base-steps", type=int, default=1500)
    parser.add_argument("--steps", type=int, help="of every way; default: each one's own")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=USUAL)
    parser.add_argument("--part", choices=["validation", "test"], default="test")
    parser.add_argument("--scored", type=int, default=0, help="sentences of that part; 0: all")
    parser.add_argument("--compared", type=int, default=100, help="of old tasks; 0: all")
    parser.add_argument("--recipe", default="minilm", help="of the base and of training alone")
    given = parser.parse_args()
    corpora = load_corpora(given.data)
    rows: list[dict[str, Any]] = []
    for name in given.held_out or corpora:
        others = {task: corpus for task, corpus in corpora.items() if task != name}
        base = given.base or trained_base(others, given.work / f"without-{name}", given)
        for row in learnt(corpora[name], others, base, given):
            print(json.dumps(row), flush=True)
            rows.append(row)
    settings = {key: str(value) for key, value in vars(given).items()}
    document = {"environment": environment(), "settings": settings, "rows": rows}
    write_text(given.out, json.dumps(document, indent=1, default=str) + "\n")


def trained_base(others: Mapping[str, Corpus], run: Path, given: argparse.Namespace) -> Path:
    """A run on the ``others``, made if it is not there."""
    if not run.exists():
        hyperloader.train(
            dict(others), out=run, recipe=given.recipe, steps=given.base_steps, seed=given.seeds[0]
        )
    return run


def learnt(
    corpus: Corpus, others: Mapping[str, Corpus], base: Path, given: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """A row for each number of sentences, seed and way."""
    part = corpus.splits[given.part]
    scored = {corpus.name: {"test": evenly(part, given.scored or len(part))}}
    before = Tagger.from_pretrained(base)
    old = answers(before, others, given.compared)
    for count in given.counts:
        for seed in given.seeds:
            few = part_of(corpus, count, seed)
            for way, learn in ways(few, others, base, given, count, seed).items():
                started = time.monotonic()
                tagger = learn()
                seconds = time.monotonic() - started
                score = tagger.evaluate(scored)
                kept = set(others) <= set(tagger.tasks)
                yield {
                    "task": corpus.name,
                    "sentences": len(few.splits["train"]),
                    "seed": seed,
                    "way": way,
                    "f1": score.average["default"]["f1"],
                    "seconds": round(seconds, 1),
                    "bytes": own_bytes(tagger, corpus.name, given.work) if kept else None,
                    "old tasks changed": share_changed(answers(tagger, others, given.compared), old)
                    if kept
                    else None,
                }


def ways(
    few: Corpus,
    others: Mapping[str, Corpus],
    base: Path,
    given: argparse.Namespace,
    count: int,
    seed: int,
) -> dict[str, Callable[[], Tagger]]:
    """The ways to learn a task by their names."""

    def added(level: str) -> Callable[[], Tagger]:
        return lambda: hyperloader.add_task(
            base, {few.name: few}, level=level, seed=seed, steps=given.steps, progress=False
        )

    def trained(way: str, settings: Mapping[str, Any], **options: Any) -> Callable[[], Tagger]:
        out = given.work / f"{few.name}-{count}-{seed}-{way.replace(' ', '-')}"
        if given.steps:  # the recipe's own warming up and validations are those of a long run
            short = {
                "training.warmup_steps": max(1, given.steps // 10),
                "validation.every": given.steps,
            }
            options["steps"], settings = given.steps, {**short, **settings}
        return lambda: hyperloader.train(
            {few.name: few}, out=out, seed=seed, settings=settings, progress=False, **options
        )

    def jointly() -> Tagger:
        return hyperloader.train(
            {**others, few.name: few},
            out=given.work / f"{few.name}-{count}-{seed}-jointly",
            recipe=given.recipe,
            steps=given.base_steps,
            seed=seed,
            progress=False,
        )

    every = {
        **{f"add-task {level}": added(level) for level in LEVELS},
        "train --from": trained("from", {}, start=base),
        **{way: trained(way, changed, recipe=given.recipe) for way, changed in ALONE.items()},
        "train jointly": jointly,
    }
    return {way: every[way] for way in given.ways}


def part_of(corpus: Corpus, count: int, seed: int) -> Corpus:
    """``corpus`` with ``count`` training sentences (0: all) and a tenth as many for validation."""
    sizes = {"train": count, "validation": max(1, count // 10)}
    splits = dict(corpus.splits)
    for part, size in sizes.items() if count else ():
        examples = corpus.splits[part]
        kept = draw(len(examples), min(size, len(examples)), seed, f"grow {part}")
        splits[part] = tuple(examples[i] for i in kept)
    return replace(corpus, splits=splits)


def answers(tagger: Tagger, corpora: Mapping[str, Corpus], compared: int) -> list[Any]:
    """What a tagger finds, and how sure it is, in so many test sentences of all tasks together."""
    tests = {name: corpus.splits["test"] for name, corpus in corpora.items()}
    return [
        tagger.tag_words([e.words for e in evenly(test, compared // len(tests) or len(test))], name)
        for name, test in tests.items()
    ]


def share_changed(now: Sequence[Any], before: Sequence[Any]) -> float:
    """The share of sentences with another span or another score."""
    changed = [
        one.spans != other.spans
        for ours, theirs in zip(now, before, strict=True)
        for one, other in zip(ours, theirs, strict=True)
    ]
    return sum(changed) / len(changed)


def own_bytes(tagger: Tagger, task: str, work: Path) -> int:
    """The size of the task as a folder of its own."""
    tagger.save_task(task, work / "task", overwrite=True)
    return sum(file.stat().st_size for file in (work / "task").iterdir())


if __name__ == "__main__":
    main()
