"""Raw text against tokenised text: the words and spans that each rule finds, and the F1 it costs.

Run: OMP_NUM_THREADS=1 python benchmarks/raw_text.py --data DIR --out FILE.json [--run RUN]
[--split test] [--sentences 150]. The tokens of every sentence are joined as people write them
(``natural_text``), once as they are and once with a full stop at the end. F1 is of exact spans in
characters, of RUN (default: the builtin tagger) on the tasks that it knows.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

from hyperloader.builtin import BUILTIN
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.registry import load_corpora
from hyperloader.corpora.word_rule import natural_text, share_of_words, word_rule
from hyperloader.experiments.run.environment import environment
from hyperloader.store import write_text
from hyperloader.tagger import Tagger
from hyperloader.types import Example
from hyperloader.words import WORD_RULES, split_words

Places = Sequence[tuple[int, int]]
Marks = set[tuple[int, int, str]]
KINDS = {"raw": "", "raw, full stop": "."}


class Words:
    """Tags sentences that are split into words, each once."""

    def __init__(self, tagger: Tagger) -> None:
        config = tagger.codec.config.model_copy(update={"words": "whitespace"})
        tagger.codec.config = config
        self._tagger, self._known = tagger, dict[tuple[str, ...], list[tuple[int, int, str]]]()

    def tag(self, sentences: Sequence[tuple[str, ...]], task: str) -> list[list]:
        """Spans of words of every sentence."""
        new = [words for words in dict.fromkeys(sentences) if words not in self._known]
        for words, tagged in zip(
            new, self._tagger.tag([" ".join(words) for words in new], task), strict=True
        ):
            self._known[words] = [(s.word_start, s.word_end, s.label) for s in tagged.spans]
        return [self._known[words] for words in sentences]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run", type=Path, default=Path(BUILTIN))
    parser.add_argument("--split", default="test")
    parser.add_argument("--sentences", type=int, default=150, help="of each task, for F1")
    given = parser.parse_args()
    tagger = Tagger.from_pretrained(given.run)
    tasks = {}
    for name, corpus in load_corpora(given.data).items():
        examples = corpus.splits[given.split]
        drawn = random.Random(0).sample(examples, min(given.sentences, len(examples)))
        tasks[name] = {"rule": word_rule({name: corpus}), **found(corpus, given.split)}
        if name in tagger.tasks:
            tasks[name]["F1"] = scores(Words(tagger), drawn)
        print(name, json.dumps(tasks[name]), flush=True)
    about = {"environment": environment(), "split": given.split, "sentences": given.sentences}
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
            gold = marks(offsets, [(s.word_start, s.word_end, s.label) for s in example.spans])
            hit += sum(start in starts and end in ends for start, end, _ in gold)
            total += len(gold)
        spans[rule] = round(hit / total, 4)
    return {"words": words, "spans": spans}


def scores(words: Words, examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """F1 of the tokens as they are, and of each kind of raw text by each rule."""
    task = examples[0].task
    gold, tokens = [], []
    for example in examples:
        offsets = natural_text(example.words)[1]
        gold.append(marks(offsets, [(s.word_start, s.word_end, s.label) for s in example.spans]))
    guesses = words.tag([example.words for example in examples], task)
    for example, guess in zip(examples, guesses, strict=True):
        tokens.append(marks(natural_text(example.words)[1], guess))
    report = {"tokens": {"as they are": f1(gold, tokens)}}
    for kind, end in KINDS.items():
        report[kind] = {}
        for rule in WORD_RULES:
            texts = [natural_text(example.words)[0].rstrip(".") + end for example in examples]
            if not end:
                texts = [natural_text(example.words)[0] for example in examples]
            places = [split_words(text, rule) for text in texts]
            split = [
                tuple(text[a:b] for a, b in place)
                for text, place in zip(texts, places, strict=True)
            ]
            guesses = words.tag(split, task)
            report[kind][rule] = f1(gold, [*map(marks, places, guesses)])
    return report


def marks(offsets: Places, spans: Sequence[tuple[int, int, str]]) -> Marks:
    """Spans of words as spans of characters."""
    return {(offsets[start][0], offsets[end - 1][1], label) for start, end, label in spans}


def f1(gold: Sequence[Marks], guessed: Sequence[Marks]) -> float:
    """F1 of exact spans."""
    both = sum(len(a & b) for a, b in zip(gold, guessed, strict=True))
    return round(2 * both / max(sum(map(len, gold)) + sum(map(len, guessed)), 1), 4)


if __name__ == "__main__":
    main()
