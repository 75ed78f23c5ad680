"""Draws the losses and scores of a training run, or of a pre-training run and its continuations.

Run: python benchmarks/plot_log.py RUN/log.jsonl [NEXT/log.jsonl ...] curve.png
"""

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Entry = dict[str, Any]


def draw_training(left: Axes, right: Axes, steps: list[Entry], checks: list[Entry]) -> None:
    """Losses, and validation F1 of each task."""
    at = [e["step"] for e in checks]
    left.plot(*smooth(steps, "step", 100), label="training")
    left.plot(at, [e["loss"] for e in checks], "o-", label="validation")
    left.set(xlabel="step", ylabel="loss", yscale="log")
    for task in checks[0]["f1_by_task"]:
        right.plot(at, [e["f1_by_task"][task] for e in checks], label=task)
    right.plot(at, [e["f1"] for e in checks], "k--", label="average")
    right.set(xlabel="step", ylabel="validation F1", ylim=(0, 1))


def draw_pretraining(left: Axes, right: Axes, steps: list[Entry], checks: list[Entry]) -> None:
    """Losses of each objective, and what the model has learnt about alignment and words."""
    for objective in sorted({e["objective"] for e in steps}):
        mine = [e for e in steps if e["objective"] == objective]
        left.plot(*smooth(mine, "millions", 60), label=f"{objective}, training")
    at = [e["millions"] for e in checks]
    left.plot(at, [e["words_loss"] for e in checks], "o-", label="words, held out")
    left.set(xlabel="million tokens seen", ylabel="loss (nats per target token)", yscale="log")
    for key, name in (("hidden_words", "hidden or visible"), ("copy", "copy, shuffled words")):
        right.plot(at, [e[key] for e in checks], "o-", label=name)
    right.axhline(0.5, color="grey", linestyle=":", label="chance of the first")
    right.set(xlabel="million tokens seen", ylabel="share right (held out)", ylim=(0, 1))


def smooth(entries: list[Entry], axis: str, points: int) -> tuple[list[float], list[float]]:
    """Mean losses of about so many windows, and where each window ends."""
    window = max(1, len(entries) // points)
    runs = [entries[i : i + window] for i in range(0, len(entries), window)]
    return [r[-1][axis] for r in runs], [sum(e["loss"] for e in r) / len(r) for r in runs]


def read(logs: list[Path]) -> list[Entry]:
    """All entries; tokens of a run are counted on from those of the one before."""
    entries: list[Entry] = []
    for log in logs:
        seen = entries[-1].get("millions", 0) if entries else 0
        for entry in map(json.loads, log.read_text(encoding="utf-8").splitlines()):
            entries.append({**entry, "millions": entry.get("tokens", 0) / 1e6 + seen})
    return entries


def main(logs: list[Path], out: Path) -> None:
    entries = read(logs)
    steps = [e for e in entries if e["kind"] == "train"]
    checks = [e for e in entries if e["kind"] != "train"]
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    draw = draw_pretraining if checks[0]["kind"] == "evaluation" else draw_training
    draw(left, right, steps, checks)
    for axes in (left, right):
        axes.legend(fontsize="small")
    figure.savefig(out)


if __name__ == "__main__":
    *logs, out = map(Path, sys.argv[1:])
    main(logs, out)
