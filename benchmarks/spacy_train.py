"""One blank spaCy NER model a corpus; run by benchmarks/spacy_ner.py in spaCy's own environment.

Run: python spacy_train.py FOLDER STEPS: reads FOLDER/TASK/{train,valid,test}.jsonl with "words" and
"spans" (start, end, label), writes TASK/predicted.jsonl and TASK/training.json.
"""

import json
import math
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.training.batchers import minibatch_by_words
from spacy.util import compounding, fix_random_seed

# spaCy's default training configuration, but for the patience (there 1,600) and the number of
# steps (there 20,000).
EVERY, PATIENCE, DROPOUT = 200, 800, 0.1
VALIDATION = 500  # sentences at most

Row = dict[str, Any]  # "words", and "spans" as (start, end, label)


def main() -> None:
    for folder in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir()):
        train(folder, int(sys.argv[2]))


def train(folder: Path, most: int) -> None:
    files = {name: folder / f"{name}.jsonl" for name in ("train", "valid", "test")}
    rows = {name: json_lines(path) for name, path in files.items()}
    watched = rows["valid"][:: max(1, len(rows["valid"]) // VALIDATION)]
    nlp, about = train_ner(
        rows["train"], watched, most, told=lambda *seen: print(folder.name, *seen, flush=True)
    )
    started = time.monotonic()
    with (folder / "predicted.jsonl").open("w") as file:
        for spans in predicted(nlp, [row["words"] for row in rows["test"]]):
            file.write(json.dumps(spans) + "\n")
    rate = len(rows["test"]) / (time.monotonic() - started)
    (folder / "training.json").write_text(
        json.dumps({**about, "test_sentences_per_second": round(rate, 1)})
    )


def train_ner(
    train: list[Row],
    watched: list[Row],
    most: int,
    *,
    seconds: float = math.inf,
    every: int = EVERY,
    told: Callable[[int, str], None] = lambda step, f1: None,
) -> tuple[spacy.Language, dict[str, Any]]:
    """A model trained for ``most`` steps or so many ``seconds``, or until it has got no better for
    PATIENCE steps; the weights that were best on ``watched``, and how it went."""
    fix_random_seed(42)
    random.seed(42)
    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    examples, validation = examples_of(nlp, train), examples_of(nlp, watched)
    optimizer = nlp.initialize(lambda: examples)
    sizes = compounding(100.0, 1000.0, 1.001)
    best, best_step, step, weights = -1.0, 0, 0, b""
    history = []
    started = time.monotonic()

    def finished() -> bool:
        late = time.monotonic() - started >= seconds
        return step >= most or step - best_step >= PATIENCE or late

    while not finished():
        random.shuffle(examples)
        for batch in minibatch_by_words(examples, size=sizes, tolerance=0.2):
            nlp.update(batch, sgd=optimizer, drop=DROPOUT)
            step += 1
            if step % every == 0 or finished():
                f1 = nlp.evaluate(validation)["ents_f"] or 0.0
                history.append([step, round(f1, 4), round(time.monotonic() - started, 1)])
                told(step, f"{f1:.4f}")
                if f1 > best:
                    best, best_step, weights = f1, step, nlp.to_bytes()
            if finished():
                break
    nlp.from_bytes(weights)
    return nlp, {
        "spacy": spacy.__version__,
        "best_step": best_step,
        "steps": step,
        "seconds": round(time.monotonic() - started, 1),
        "validation_f1": history,
    }


def predicted(nlp: spacy.Language, sentences: list[list[str]]) -> list[list[Any]]:
    """[start, end, label] of the spans of each of the ``sentences``."""
    docs = nlp.pipe(Doc(nlp.vocab, words=words) for words in sentences)
    return [[[s.start, s.end, s.label_] for s in doc.ents] for doc in docs]


def json_lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def examples_of(nlp: spacy.Language, rows: list[Row]) -> list[Example]:
    examples = []
    for row in rows:
        gold = Doc(nlp.vocab, words=row["words"])
        gold.ents = [Span(gold, start, end, label=label) for start, end, label in row["spans"]]
        examples.append(Example(Doc(nlp.vocab, words=row["words"]), gold))
    return examples


if __name__ == "__main__":
    main()
