"""What int8 saves and costs: the builtin tagger in float32 and in int8, in turns in one run.

Run: OMP_NUM_THREADS=1 python benchmarks/int8.py --data DIR --out FILE.json [--sentences 300].
Milliseconds a batch of the decoder without a memory, F1 on test sentences spread over each corpus,
and the share of sentences that both tag alike.
"""

import argparse
import json
from pathlib import Path

import torch

from hyperloader.benchmarks.contenders import Course
from hyperloader.benchmarks.models import Subject, Wanted
from hyperloader.benchmarks.timing import medians, take_turns
from hyperloader.builtin import BUILTIN
from hyperloader.codec.batch import encode_words
from hyperloader.corpora.registry import load_corpora
from hyperloader.evaluation.metrics import ScoredExample, score_examples
from hyperloader.experiments.run.environment import environment
from hyperloader.outputs.decoded import tag_words
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder
from hyperloader.store import write_text
from hyperloader.types import Example, Span

PRECISIONS = ("float32", "int8")
BATCHES = (1, 8, 32, 128)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=300, help="of each corpus, for F1")
    given = parser.parse_args()
    corpora = load_corpora(given.data)
    results = {}
    for task, corpus in corpora.items():
        subjects = {
            precision: Wanted(BUILTIN, True, given.data, task, precision=precision).make()
            for precision in PRECISIONS
        }
        test = corpus.splits["test"]
        chosen = test[:: max(1, len(test) // given.sentences)][: given.sentences]
        found = {name: tagged(subject, task, chosen) for name, subject in subjects.items()}
        f1 = {
            name: score_examples(
                task, [ScoredExample(e, tuple(s)) for e, s in zip(chosen, spans, strict=True)]
            ).default.f1
            for name, spans in found.items()
        }
        alike = [a == b for a, b in zip(*found.values(), strict=True)]
        results[task] = {
            "sentences": len(chosen),
            "f1": f1,
            "tagged_alike": sum(alike) / len(alike),
            "seconds": {str(size): times(subjects, size) for size in BATCHES},
        }
        gains = [f"{s['float32'] / s['int8']:.2f}" for s in results[task]["seconds"].values()]
        print(task, f1, "float32 / int8 at", dict(zip(BATCHES, gains, strict=True)), flush=True)
    mean = {n: sum(r["f1"][n] for r in results.values()) / len(results) for n in PRECISIONS}
    threads = torch.get_num_threads()
    document = {"environment": environment(), "threads": threads, "f1": mean, "tasks": results}
    write_text(given.out, json.dumps(document, indent=1) + "\n")
    print("mean F1", mean)


def tagged(subject: Subject, task: str, examples: tuple[Example, ...]) -> list[list[Span]]:
    windows = [encode_words(subject.codec, e.words, task) for e in examples]
    return tag_words(SentTDecoder(subject.model, subject.codec), windows)


def times(subjects: dict[str, Subject], size: int) -> dict[str, float]:
    contenders = {}
    for name, subject in subjects.items():
        course = Course(subject)
        contenders[name] = course.decoding([sentence.window for sentence in course.middle(size)])
    with torch.no_grad():
        return medians(take_turns(contenders, torch.device("cpu"), repeats=5))


if __name__ == "__main__":
    main()
