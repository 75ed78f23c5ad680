"""What helps pre-training within the same time: a teacher, other masking, averaged weights.

Run: python benchmarks/pretraining_methods.py --start FOLDER --prepared DIR --data DIR --out DIR
--results FILE [--steps 400] [--only NAME ...]. Every pilot begins with the weights of FOLDER
(the recipe `builtin` before its first step, stored as float32) and gets the CPU time of the same
number of steps of that recipe: steps of both are timed in turns first, and the rate falls to zero
over as many as fit. The backbone is then frozen and carries the same HyperLoader (recipe `builtin`)
on a tenth of the labelled sentences. What counts is F1 on validation sentences. A line of JSON for
each pilot is added to the results.
"""

import argparse
import json
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from rich.console import Console

from hyperloader.config import load_recipe
from hyperloader.corpora.registry import load_corpora
from hyperloader.evaluation.evaluate import f1_evaluator
from hyperloader.pretraining.distillation import with_words
from hyperloader.pretraining.loop import Pretrainer
from hyperloader.pretraining.recipe import load_pretrain_recipe
from hyperloader.pretraining.start import finish, start_pretraining
from hyperloader.training.start import start_run

HARDWARE = "2-core AMD EPYC, one thread"
TAGGING_STEPS = 200
SENTENCES = 200
PROFILED, WARM = 8, 2
TAUGHT = "distillation.teacher=minilm"
SCALED = ["training.optimizer=adamw_scaled", "training.learning_rate=1e-2"]
PILOTS: dict[str, list[str]] = {
    "baseline": [],
    "teacher, middle layer": [TAUGHT],
    "teacher, middle layer, half of the rows": [TAUGHT, "distillation.rows=0.5"],
    "teacher, last layer": [TAUGHT, "distillation.layers=[6]"],
    "teacher, middle and last layer": [TAUGHT, "distillation.layers=[3, 6]"],
    "teacher, last layer, weight 1": [
        TAUGHT,
        "distillation.layers=[6]",
        "distillation.weight=1",
        "distillation.map_rate=1",
    ],
    "scaled AdamW": SCALED,
    "teacher, middle layer, scaled AdamW": [TAUGHT, *SCALED],
    "hidden words .15": ["objectives.hidden_words=0.15"],
}
TAGGING = [
    "training.precision=float32",
    "data.fraction=0.1",
    f"training.steps={TAGGING_STEPS}",
    "training.warmup_steps=20",
    f"validation.every={TAGGING_STEPS}",
    "validation.select=last",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("start", "prepared", "data", "out", "results"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400, help="of the recipe as it is")
    parser.add_argument("--label", default="", help="what is special about FOLDER, for the results")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--only", nargs="*", choices=list(PILOTS))
    parser.add_argument("--tag", metavar="NAME", help="measure the backbone in --start instead")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.tag:
        entry = {"pilot": given.tag, **tag(given.start, given.data, given.seed)}
        record(given.results, entry)
        return
    for name in given.only or PILOTS:
        record(given.results, run(name, given))


def run(name: str, given: argparse.Namespace) -> dict:
    folder = given.out / f"{name}{given.label}"
    common = [
        "training.precision=float32",
        f"seed={given.seed}",
        f"backbone.start={given.start}",
        "tokenizer.folder=null",
        "export=float32",
    ]
    with tempfile.TemporaryDirectory() as temporary:
        pretrainers = [
            start_pretraining(
                load_pretrain_recipe("builtin", [*common, *settings]),
                None,
                Path(temporary) / str(number),
                prepared=given.prepared,
            )
            for number, settings in enumerate(([], PILOTS[name]))
        ]
        plain, own = profile(pretrainers)
    steps = int(given.steps * plain / own) if PILOTS[name] else given.steps
    length = [
        f"training.steps={steps}",
        f"training.warmup_steps={steps // 10}",
        f"evaluation.every={steps}",
    ]
    recipe = load_pretrain_recipe("builtin", [*common, *PILOTS[name], *length])
    pretrainer = start_pretraining(recipe, None, folder, prepared=given.prepared)
    began, cpu = time.monotonic(), time.process_time()
    state = pretrainer.train()
    seconds, cpu_seconds = time.monotonic() - began, time.process_time() - cpu
    backbone = finish(pretrainer)
    log = folder / "log.jsonl"
    measures = last(log, "evaluation")
    return {
        "pilot": f"{name}{given.label}",
        "settings": PILOTS[name],
        "seconds": round(seconds),
        "cpu_seconds": round(cpu_seconds),
        "teacher_cpu_seconds": round(teacher_seconds(pretrainer)),
        "cpu_seconds_a_step_in_turns": {"recipe": round(plain, 4), "pilot": round(own, 4)},
        "steps": steps,
        "tokens": state.tokens,
        "held_out": {k: round(v, 4) for k, v in measures.items() if k not in NOT_MEASURES},
        **tag(backbone, given.data, given.seed),
    }


NOT_MEASURES = {"kind", "step", "tokens"}


def profile(pretrainers: list[Pretrainer]) -> list[float]:
    """CPU seconds of a step of each, its text and its teacher included, timed in turns."""
    seconds = [0.0] * len(pretrainers)
    with ThreadPoolExecutor(1) as ahead:
        for pretrainer in pretrainers:
            pretrainer._ahead = ahead
            pretrainer._coming = pretrainer._fetch_ahead(1)
        for step in range(1, PROFILED + WARM + 1):
            for number, pretrainer in enumerate(pretrainers):
                began = time.process_time()
                pretrainer._step(step, step)
                pretrainer._coming.result()  # the next step's text counts too
                if step > WARM:
                    seconds[number] += time.process_time() - began
    for pretrainer in pretrainers:
        pretrainer.run.release()
    return [total / PROFILED for total in seconds]


def tag(backbone: Path, data: Path, seed: int) -> dict:
    """Validation F1 of a HyperLoader on the frozen backbone."""
    corpora = load_corpora(data)
    settings = load_recipe("builtin", [*TAGGING, f"seed={seed}", f"backbone={backbone}"])
    with tempfile.TemporaryDirectory() as temporary:
        began = time.process_time()
        trainer = start_run(
            settings, corpora, Path(temporary) / "run", about={}, console=Console(quiet=True)
        )
        trainer.train()
        evaluate = f1_evaluator(trainer.codec, corpora, sentences=SENTENCES)
        scores = evaluate(trainer.model.eval())
        steps = [e for e in entries(Path(temporary) / "run" / "log.jsonl") if e["kind"] == "train"]
    return {
        "f1": round(sum(scores.values()) / len(scores), 4),
        "f1_by_task": {task: round(score, 4) for task, score in scores.items()},
        "tagging_loss": round(sum(e["loss"] for e in steps[-50:]) / 50, 4),
        "tagging_steps": TAGGING_STEPS,
        "validation_sentences": SENTENCES,
        "tagging_cpu_seconds": round(time.process_time() - began),
        "seed": seed,
        "hardware": HARDWARE,
        "commit": commit(),
    }


def teacher_seconds(pretrainer: Pretrainer) -> float:
    """CPU seconds of the lessons, by timing a few: the objectives and their shapes recur."""
    if pretrainer.teaching is None:
        return 0.0
    batches = [pretrainer.sequences.step(number) for number in range(1, PROFILED + 1)]
    began = time.process_time()
    for batch in batches:
        if with_words(batch.objective):
            pretrainer.teaching.lesson(batch)
    return (time.process_time() - began) / PROFILED * pretrainer.recipe.training.steps


def record(results: Path, entry: dict) -> None:
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    print(f"{entry['pilot']:28} validation F1 {entry['f1']:.4f}", flush=True)


def commit() -> str:
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def entries(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def last(log: Path, kind: str) -> dict:
    return [entry for entry in entries(log) if entry["kind"] == kind][-1]


if __name__ == "__main__":
    main()
