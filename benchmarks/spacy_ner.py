"""spaCy's NER on the same sentences: one blank English model a corpus, scored as everything here.

Run: python benchmarks/spacy_ner.py --data DIR --python SPACY_ENV/bin/python --out FILE.json
[--fraction 0.1] [--steps 2000]. spaCy lives in an environment of its own (pip install spacy).
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from hyperloader.corpora.registry import load_corpora
from hyperloader.corpora.splits import subsample
from hyperloader.evaluation.metrics import ScoredExample, average, score_examples
from hyperloader.experiments.run.environment import hardware
from hyperloader.store import write_text
from hyperloader.types import Span


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fraction", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--steps", type=int, default=2000, help="at most, of each corpus")
    given = parser.parse_args()
    corpora = load_corpora(given.data)
    if given.fraction < 1:
        corpora = {n: subsample(c, given.fraction, given.seed) for n, c in corpora.items()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, corpus in corpora.items():
            (folder / name).mkdir()
            for split, file in (("train", "train"), ("validation", "valid"), ("test", "test")):
                rows = [
                    {
                        "words": e.words,
                        "spans": [(s.word_start, s.word_end, s.label) for s in e.spans],
                    }
                    for e in corpus.splits[split]
                ]
                text = "".join(json.dumps(row) + "\n" for row in rows)
                (folder / name / f"{file}.jsonl").write_text(text)
        script = Path(__file__).with_name("spacy_train.py")
        subprocess.run([given.python, str(script), str(folder), str(given.steps)], check=True)
        scores, training = {}, {}
        for name, corpus in corpora.items():
            lines = (folder / name / "predicted.jsonl").read_text().splitlines()
            scored = [
                ScoredExample(example, tuple(Span(*span) for span in json.loads(line)))
                for example, line in zip(corpus.splits["test"], lines, strict=True)
            ]
            scores[name] = score_examples(name, scored)
            training[name] = json.loads((folder / name / "training.json").read_text())
    document = {
        "fraction": given.fraction,
        "seed": given.seed,
        "steps": given.steps,
        "hardware": hardware(),
        "tasks": {name: score.to_json() for name, score in scores.items()},
        "average": average(scores),
        "training": training,
    }
    write_text(given.out, json.dumps(document, indent=1))
    for name, score in scores.items():
        print(f"{name:13} {score.default.f1:.4f}  strict {score.strict.f1:.4f}")


if __name__ == "__main__":
    main()
