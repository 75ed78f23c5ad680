"""Draws the losses and the alignment of a pre-training run, and of the runs that went on from it.

Run: python benchmarks/plot_pretraining.py RUN/log.jsonl [NEXT/log.jsonl ...] curve.png
"""

import json
import sys
from pathlib import Path

from matplotlib.figure import Figure


def read(logs: list[Path]) -> list[dict]:
    """All entries, with the tokens of a run counted on from those of the one before."""
    entries: list[dict] = []
    for log in logs:
        seen = entries[-1]["tokens"] if entries else 0
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            entries.append({**entry, "tokens": entry["tokens"] + seen})
    return entries


def main(logs: list[Path], out: Path) -> None:
    entries = read(logs)
    checks = [e for e in entries if e["kind"] == "evaluation"]
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    for objective in sorted({e["objective"] for e in entries if e["kind"] == "train"}):
        steps = [e for e in entries if e.get("objective") == objective]
        window = max(1, len(steps) // 60)
        runs = [steps[i : i + window] for i in range(0, len(steps), window)]
        losses = [sum(e["loss"] for e in run) / len(run) for run in runs]
        left.plot([run[-1]["tokens"] / 1e6 for run in runs], losses, label=f"{objective}, training")
    millions = [e["tokens"] / 1e6 for e in checks]
    left.plot(millions, [e["words_loss"] for e in checks], "o-", label="words, held out")
    left.set(xlabel="million tokens seen", ylabel="loss (nats a target token)", yscale="log")
    left.legend(fontsize="small")
    for key, name in (("hidden_words", "hidden or visible"), ("copy", "copy, shuffled words")):
        right.plot(millions, [e[key] for e in checks], "o-", label=name)
    right.axhline(0.5, color="grey", linestyle=":", label="chance of the first")
    right.set(xlabel="million tokens seen", ylabel="share right (held out)", ylim=(0, 1))
    right.legend(fontsize="small")
    figure.savefig(out)


if __name__ == "__main__":
    *logs, out = map(Path, sys.argv[1:])
    main(logs, out)
