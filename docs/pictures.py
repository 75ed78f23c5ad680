"""Draws docs/images/quickstart.svg from a finished quickstart run.

Run: python docs/pictures.py [RUN]   (default runs/quickstart; make quickstart makes it)
"""

import io
import json
import sys
from pathlib import Path

from rich.console import Console

from hyperloader.cli.colours import coloured
from hyperloader.cli.quickstart import SENTENCES
from hyperloader.cli.tables import score_table
from hyperloader.corpora.registry import load_corpora
from hyperloader.evaluation.evaluate import predict
from hyperloader.evaluation.metrics import average, score_examples
from hyperloader.tagger import Tagger


def main(run: Path) -> None:
    tagger = Tagger.from_pretrained(run)
    scores = {}
    for name, corpus in load_corpora(run / "data").items():
        scored = predict(tagger.model, tagger.codec, corpus.splits["test"])
        scores[name] = score_examples(name, scored)
    document = {
        "scoring": "seqeval",
        "tasks": {name: score.to_json() for name, score in scores.items()},
        "average": average(scores),
    }
    console = Console(record=True, width=116, file=io.StringIO(), force_terminal=True)
    console.print("[green]$[/green] make quickstart")
    console.print(score_table(json.loads(json.dumps(document))))
    for name, sentence in SENTENCES.items():
        console.print(f"[bold]{name:>7}[/bold]  ", end="")
        console.print(coloured(tagger.tag(sentence, task=name)))
    console.save_svg(str(Path(__file__).parent / "images/quickstart.svg"), title="hyperloader")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/quickstart"))
