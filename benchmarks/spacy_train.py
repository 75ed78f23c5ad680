"""One blank spaCy NER model a corpus; run by benchmarks/spacy_ner.py in spaCy's own environment.

Run: python spacy_train.py FOLDER STEPS: reads FOLDER/TASK/{train,valid,test}.jsonl with "words" and
"spans" (start, end, label), writes TASK/predicted.jsonl and TASK/training.json.
"""

import json
import random
import sys
import time
from pathlib import Path

import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.training.batchers import minibatch_by_words
from spacy.util import compounding, fix_random_seed

# spaCy's default training configuration, but for the patience (there 1,600) and the number of
# steps (there 20,000).
EVERY, PATIENCE, DROPOUT = 200, 800, 0.1
VALIDATION = 500  # sentences at most


def main() -> None:
    for folder in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir()):
        train(folder, int(sys.argv[2]))


def train(folder: Path, most: int) -> None:
    fix_random_seed(42)
    random.seed(42)
    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    parts = {name: read(nlp, folder / f"{name}.jsonl") for name in ("train", "valid", "test")}
    optimizer = nlp.initialize(lambda: parts["train"])
    watched = parts["valid"][:: max(1, len(parts["valid"]) // VALIDATION)]
    sizes = compounding(100.0, 1000.0, 1.001)
    best, best_step, step, weights = -1.0, 0, 0, b""
    history = []
    started = time.monotonic()
    while step < most and step - best_step < PATIENCE:
        random.shuffle(parts["train"])
        for batch in minibatch_by_words(parts["train"], size=sizes, tolerance=0.2):
            nlp.update(batch, sgd=optimizer, drop=DROPOUT)
            step += 1
            if step % EVERY == 0:
                f1 = nlp.evaluate(watched)["ents_f"] or 0.0
                history.append([step, round(f1, 4)])
                print(folder.name, step, f"{f1:.4f}", flush=True)
                if f1 > best:
                    best, best_step, weights = f1, step, nlp.to_bytes()
            if step >= most or step - best_step >= PATIENCE:
                break
    seconds = time.monotonic() - started
    nlp.from_bytes(weights)
    started = time.monotonic()
    with (folder / "predicted.jsonl").open("w") as file:
        for doc in nlp.pipe([example.predicted.copy() for example in parts["test"]]):
            spans = [[s.start, s.end, s.label_] for s in doc.ents]
            file.write(json.dumps(spans) + "\n")
    about = {
        "spacy": spacy.__version__,
        "best_step": best_step,
        "steps": step,
        "seconds": round(seconds, 1),
        "validation_f1": history,
        "test_sentences_per_second": round(len(parts["test"]) / (time.monotonic() - started), 1),
    }
    (folder / "training.json").write_text(json.dumps(about))


def read(nlp: spacy.Language, path: Path) -> list[Example]:
    examples = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        gold = Doc(nlp.vocab, words=row["words"])
        gold.ents = [Span(gold, start, end, label=label) for start, end, label in row["spans"]]
        examples.append(Example(Doc(nlp.vocab, words=row["words"]), gold))
    return examples


if __name__ == "__main__":
    main()
