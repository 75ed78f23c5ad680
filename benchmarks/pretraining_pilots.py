"""Which objective, first weights and shape make a backbone that a HyperLoader can tag with.

Run: python benchmarks/pretraining_pilots.py --text DIR --data DIR --prepared DIR --out DIR
[--only NAME ...]. Every variant of the recipe `builtin` sees the same number of sequences, is then
frozen, and carries the same HyperLoader (recipe `builtin`), trained on a tenth of the labelled
sentences for the same number of steps. What counts is F1 on validation sentences. Results are added
to OUT/pilots.json.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console

from hyperloader.config import load_recipe
from hyperloader.corpora.registry import load_corpora
from hyperloader.evaluation.evaluate import f1_evaluator
from hyperloader.experiments.run.environment import hardware
from hyperloader.pretraining import cooccurrence
from hyperloader.pretraining.recipe import load_pretrain_recipe
from hyperloader.pretraining.start import finish, start_pretraining
from hyperloader.store import write_text
from hyperloader.training.start import start_run

STEPS = 300
TAGGING_STEPS = 200
VARIANTS: dict[str, list[str]] = {
    "restore+words (the recipe)": [],
    "restore": ["objectives.mix={restore: 1}"],
    "words": ["objectives.mix={words: 1}"],
    "copy": ["objectives.mix={copy: 1}"],
    "spans (T5)": ["objectives.mix={spans: 1}"],
    "random embeddings": ["backbone.first_embeddings=random"],
    "T5's first weights": ["backbone.first_weights=t5", "backbone.first_embeddings=random"],
    "6+4 layers": ["backbone.num_layers=6", "backbone.num_decoder_layers=4"],
    "2+1 layers": ["backbone.num_layers=2", "backbone.num_decoder_layers=1"],
    "d_ff 1024": ["backbone.d_ff=1024"],
}
PRETRAINING = [f"training.steps={STEPS}", "training.warmup_steps=20", f"evaluation.every={STEPS}"]
TAGGING = [
    "data.fraction=0.1",
    f"training.steps={TAGGING_STEPS}",
    "training.warmup_steps=20",
    f"validation.every={TAGGING_STEPS}",
    "validation.sentences=100",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("text", "data", "prepared", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    share_embeddings()
    corpora = load_corpora(given.data)
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.only or VARIANTS:
        result = run(name, given.text, given.prepared, corpora)
        path = given.out / "pilots.json"
        found = json.loads(path.read_text()) if path.exists() else {"hardware": hardware()}
        found.setdefault("variants", {})[name] = result
        write_text(path, json.dumps(found, indent=1))
        print(f"{name:28} copy {result['copy']:.3f}  validation F1 {result['f1']:.4f}", flush=True)


def run(name: str, text: Path, prepared: Path, corpora: dict) -> dict:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        recipe = load_pretrain_recipe("builtin", [*PRETRAINING, *VARIANTS[name]])
        pretrainer = start_pretraining(recipe, text, folder / "backbone", prepared=prepared)
        began = time.monotonic()
        state = pretrainer.train()
        seconds = time.monotonic() - began
        backbone = finish(pretrainer)
        measures = last(folder / "backbone" / "log.jsonl", "evaluation")
        settings = load_recipe("builtin", [*TAGGING, f"backbone={backbone}"])
        trainer = start_run(
            settings,
            corpora,
            folder / "tagger",
            about={},
            make_evaluate=lambda codec, chosen, n: f1_evaluator(codec, chosen, sentences=n),
            console=Console(quiet=True),
        )
        trainer.train()
        scores = last(folder / "tagger" / "log.jsonl", "validation")
        return {
            "settings": VARIANTS[name],
            "parameters": sum(p.numel() for p in pretrainer.denoiser.parameters()),
            "tokens": state.tokens,
            "tokens_per_second": round(state.tokens / seconds),
            **{key: measures[key] for key in ("loss", "words_loss", "hidden_words", "copy")},
            "f1": scores["f1"],
            "f1_by_task": scores["f1_by_task"],
        }


def share_embeddings() -> None:
    """Factorise the neighbours once: all variants are equally wide and read the same text."""
    factorised = cooccurrence.token_embeddings
    kept: dict[int, tuple] = {}

    def once(*texts: dict, **settings: int) -> tuple:
        if settings["width"] not in kept:
            kept[settings["width"]] = factorised(*texts, **settings)
        return kept[settings["width"]]

    cooccurrence.token_embeddings = once


def last(log: Path, kind: str) -> dict:
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    return [entry for entry in entries if entry["kind"] == kind][-1]


if __name__ == "__main__":
    main()
