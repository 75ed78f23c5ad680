"""Raw text against tokenised text: how many words and spans each rule finds, and what F1 it costs.

Run: OMP_NUM_THREADS=1 python benchmarks/raw_text.py --data DIR --out FILE.json [--run RUN]
[--split validation]. The tokens of every sentence are joined as people write them. Without a run
only the splitter is measured; with one its model tags each sentence as its tokens and as raw text.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from hyperloader.corpora.alignment import align
from hyperloader.corpora.registry import load_corpora
from hyperloader.corpora.word_rule import natural_text, share_of_words, word_rule
from hyperloader.experiments.run.environment import environment
from hyperloader.store import write_text
from hyperloader.tagger import Tagger
from hyperloader.types import Example
from hyperloader.words import WORD_RULES, split_words

Marks = set[tuple[int, int, str]]
TOKENS = "tokens"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run", type=Path, help="tag with this run's model too")
    parser.add_argument("--split", default="validation")
    given = parser.parse_args()
    corpora = load_corpora(given.data)
    tagger = Tagger.from_pretrained(given.run) if given.run else None
    results = {
        "environment": environment(),
        "split": given.split,
        "chosen rule": word_rule(corpora),
        "tasks": {
            name: {
                "splitter": splitter_report(corpus.splits[given.split]),
                "F1": tagging_report(tagger, corpus.splits[given.split]) if tagger else None,
            }
            for name, corpus in corpora.items()
        },
    }
    write_text(given.out, json.dumps(results, indent=1, default=str))
    print(json.dumps(results["tasks"], indent=1))


def splitter_report(examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """For each rule the share of gold words, and of gold spans, that stand between its borders."""
    report = {}
    for rule in WORD_RULES:
        found = total = 0
        for example in examples:
            text, gold = natural_text(example.words), marks(example)
            places = split_words(text[0], rule)
            repaired = {note.span for note in align(text[0], places, sorted(gold)).notes}
            found += len(gold) - len(repaired)
            total += len(gold)
        report[rule] = {
            "words": round(share_of_words(examples, rule), 4),
            "spans": round(found / total, 4),
        }
    return report


def tagging_report(tagger: Tagger, examples: Sequence[Example]) -> dict[str, float]:
    """F1 of exact character spans: of the tokens as they are, and of raw text by each rule."""
    task, report = examples[0].task, {}
    config = tagger.codec.config
    for rule in (TOKENS, *WORD_RULES):
        given = "whitespace" if rule == TOKENS else rule
        tagger.codec.config = config.model_copy(update={"words": given})
        texts, gold = [], []
        for example in examples:
            text, offsets = natural_text(example.words)
            if rule == TOKENS:
                text, offsets = " ".join(example.words), joined(example.words)
            texts.append(text)
            gold.append(
                {
                    (offsets[s.word_start][0], offsets[s.word_end - 1][1], s.label)
                    for s in example.spans
                }
            )
        found = [
            {(s.start, s.end, s.label) for s in tagged.spans} for tagged in tagger.tag(texts, task)
        ]
        both = sum(len(a & b) for a, b in zip(gold, found, strict=True))
        report[rule] = round(2 * both / max(sum(map(len, gold)) + sum(map(len, found)), 1), 4)
    return report


def marks(example: Example) -> Marks:
    """The spans of an example in characters of its natural text."""
    offsets = natural_text(example.words)[1]
    return {(offsets[s.word_start][0], offsets[s.word_end - 1][1], s.label) for s in example.spans}


def joined(words: Sequence[str]) -> list[tuple[int, int]]:
    """Places of words that single blanks separate."""
    return split_words(" ".join(words))


if __name__ == "__main__":
    main()
