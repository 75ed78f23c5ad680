"""How fast text is tagged: the bundled taggers in float32 and int8, the one on MiniLM also in ONNX
(one task), and spaCy, in turns in one run.

Run: OMP_NUM_THREADS=1 python benchmarks/tagging_speed.py --data DIR --out FILE.json
[--task snips --task atis] [--sentences 200]. Texts in, spans with offsets and scores out:
splitting, encoding, search and scores are part of the time. spaCy is a blank English pipeline
with an untrained NER component for the task's labels (training does not change its speed). F1 is
that of the same test sentences, given as words; int8 is judged by it, spaCy is not.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from hyperloader import Tagger
from hyperloader.builtin import MINILM, TAGGERS
from hyperloader.corpora.registry import load_corpora
from hyperloader.evaluation.metrics import ScoredExample, score_examples
from hyperloader.experiments.run.environment import environment
from hyperloader.store import write_text
from hyperloader.types import Example, Span

BATCHES = (1, 32)
ROUNDS = 5
Tag = Callable[[Sequence[str], int], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--task", action="append", help="default: snips and atis")
    parser.add_argument("--sentences", type=int, default=200, help="of each corpus, timed")
    parser.add_argument("--scored", type=int, default=700, help="of each corpus, for F1")
    given = parser.parse_args()
    tasks = given.task or ["snips", "atis"]
    taggers = {
        f"{name} {precision}": Tagger.from_pretrained(name, precision=precision)
        for name in TAGGERS
        for precision in ("float32", "int8")
    }
    found = {}
    for task, corpus in load_corpora(given.data, tasks).items():
        test = corpus.splits["test"]
        texts = [" ".join(e.words) for e in spread(test, given.sentences)]
        taggers |= {
            f"{name} onnx {precision}": in_onnx(taggers[f"{name} float32"], task, precision)
            for name, backbone in TAGGERS.items()
            for precision in ("float32", "int8")
            if backbone == MINILM
        }
        tags: dict[str, Tag] = {name: tag_of(tagger, task) for name, tagger in taggers.items()}
        tags["spacy float32"] = tag_of_spacy(corpus.labels("train"))
        found[task] = {
            "f1": {n: f1(t, task, spread(test, given.scored)) for n, t in taggers.items()},
            "sentences_per_second": {size: in_turns(tags, texts, size) for size in BATCHES},
        }
        print(task, json.dumps(found[task], indent=1), flush=True)
    about = {"threads": torch.get_num_threads(), "rounds": ROUNDS, "sentences": given.sentences}
    document = {"tasks": found, **about, "environment": environment()}
    write_text(given.out, json.dumps(document, indent=1) + "\n")


def spread(sentences: Sequence[Example], count: int) -> list[Example]:
    """``count`` of them, evenly over the whole."""
    return list(sentences[:: max(1, len(sentences) // count)][:count])


def in_onnx(tagger: Tagger, task: str, precision: str) -> Tagger:
    with TemporaryDirectory() as folder:
        tagger.save_onnx(folder, task, precision=precision)
        return Tagger.from_pretrained(folder)


def tag_of(tagger: Tagger, task: str) -> Tag:
    return lambda texts, size: tagger.tag(list(texts), task, batch_size=size)


def tag_of_spacy(labels: Sequence[str]) -> Tag:
    import spacy

    pipeline = spacy.blank("en")
    entities: Any = pipeline.add_pipe("ner")
    for label in labels:
        entities.add_label(label)
    pipeline.initialize()
    return lambda texts, size: [
        [(e.start_char, e.end_char, e.label_) for e in document.ents]
        for document in pipeline.pipe(texts, batch_size=size)
    ]


def in_turns(tags: dict[str, Tag], texts: Sequence[str], size: int) -> dict[str, float]:
    """Sentences per second of processor time, the median of some rounds that all take part in."""
    seconds: dict[str, list[float]] = {name: [] for name in tags}
    for _ in range(ROUNDS + 1):
        for name, tag in tags.items():
            start = time.process_time()
            for first in range(0, len(texts), size):
                tag(texts[first : first + size], size)
            seconds[name].append(time.process_time() - start)
    return {n: round(len(texts) / statistics.median(s[1:]), 1) for n, s in seconds.items()}


def f1(tagger: Tagger, task: str, examples: Sequence[Example]) -> float:
    found = tagger.tag_words([e.words for e in examples], task)
    scored = [
        ScoredExample(
            example, tuple(Span(s.word_start, s.word_end, s.label, s.score) for s in tagged.spans)
        )
        for example, tagged in zip(examples, found, strict=True)
    ]
    return round(score_examples(task, scored).default.f1, 4)


if __name__ == "__main__":
    main()
