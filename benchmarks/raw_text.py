"""Raw text against tokenised text: the words and spans that each rule finds, and the F1 it costs.

Run: OMP_NUM_THREADS=1 python benchmarks/raw_text.py --data DIR --out FILE.json [--run RUN]
[--split test] [--sentences 300] [--rules whitespace punctuation]. The tokens of every sentence are
joined as people write them, once as they are and once with a full stop at the end. F1 is that of
``hyperloader evaluate --scoring raw-text``, of RUN (default: the builtin tagger) on the tasks that
it knows.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hyperloader.builtin import BUILTIN
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.registry import load_corpora
from hyperloader.corpora.word_rule import natural_text, share_of_words, word_rule
from hyperloader.evaluation.evaluate import evenly
from hyperloader.evaluation.raw_text import raw_text_scores
from hyperloader.experiments.run.environment import environment
from hyperloader.store import write_text
from hyperloader.tagger import Tagger
from hyperloader.types import Example
from hyperloader.words import WORD_RULES, split_words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run", type=Path, default=Path(BUILTIN))
    parser.add_argument("--split", default="test")
    parser.add_argument("--sentences", type=int, default=300, help="of each task, for F1")
    parser.add_argument("--rules", nargs="+", choices=WORD_RULES, default=WORD_RULES)
    given = parser.parse_args()
    taggers = {rule: Tagger.from_pretrained(given.run, words=rule) for rule in given.rules}
    known = taggers[given.rules[0]].tasks
    tasks = {}
    for name, corpus in load_corpora(given.data).items():
        tasks[name] = {"rule": word_rule({name: corpus}), **found(corpus, given.split)}
        if name in known:
            tasks[name]["F1"] = scores(taggers, evenly(corpus.splits[given.split], given.sentences))
        print(name, json.dumps(tasks[name]), flush=True)
    about = {
        "environment": environment(),
        "run": str(given.run),
        "split": given.split,
        "sentences": given.sentences,
        "seed": None,  # nothing is drawn: sentences are taken evenly over the part
    }
    write_text(given.out, json.dumps({**about, "tasks": tasks}, indent=1, default=str) + "\n")


def found(corpus: Corpus, split: str) -> dict[str, dict[str, float]]:
    """For each rule the shares of gold words and of gold spans that its words make up exactly."""
    words, spans = {}, {}
    for rule in WORD_RULES:
        words[rule] = round(share_of_words(corpus.splits[split], rule), 4)
        hit = total = 0
        for example in corpus.splits[split]:
            text, offsets = natural_text(example.words)
            places = split_words(text, rule)
            starts, ends = {a for a, _ in places}, {b for _, b in places}
            for span in example.spans:
                start, end = offsets[span.word_start][0], offsets[span.word_end - 1][1]
                hit += start in starts and end in ends
            total += len(example.spans)
        spans[rule] = round(hit / total, 4)
    return {"words": words, "spans": spans}


def scores(taggers: dict[str, Tagger], examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """F1 of the tokens as they are, and of each kind of raw text by each rule."""
    kinds = {"raw": examples, "raw, full stop": [*map(with_full_stop, examples)]}
    report: dict[str, dict[str, float]] = {}
    for kind, sentences in kinds.items():
        for rule, tagger in taggers.items():
            score = raw_text_scores(tagger, sentences)
            report.setdefault("tokens", {})["as they are"] = round(score.tokens_f1, 4)
            report.setdefault(kind, {})[rule] = round(score.raw_f1, 4)
    return report


def with_full_stop(example: Example) -> Example:
    """A sentence whose raw text ends in a full stop, which is none of its words."""
    text, offsets = natural_text(example.words)
    return replace(example, text=text.rstrip(".") + ".", offsets=tuple(offsets))


if __name__ == "__main__":
    main()
