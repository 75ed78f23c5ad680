"""Draws the loss and the validation F1 of a training run.

Run: python benchmarks/plot_run.py RUN/log.jsonl curve.png
"""

import json
import sys
from pathlib import Path

from matplotlib.figure import Figure


def main(log: Path, out: Path) -> None:
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [e for e in entries if e["kind"] == "train"]
    checks = [e for e in entries if e["kind"] == "validation"]
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    window = max(1, len(steps) // 100)
    means = [
        sum(e["loss"] for e in steps[i : i + window]) / len(steps[i : i + window])
        for i in range(0, len(steps), window)
    ]
    left.plot([e["step"] for e in steps[::window]], means, label="training")
    left.plot([e["step"] for e in checks], [e["loss"] for e in checks], "o-", label="validation")
    left.set(xlabel="step", ylabel="loss", yscale="log")
    left.legend()
    for task in checks[0]["f1_by_task"]:
        right.plot([e["step"] for e in checks], [e["f1_by_task"][task] for e in checks], label=task)
    right.plot([e["step"] for e in checks], [e["f1"] for e in checks], "k--", label="average")
    right.set(xlabel="step", ylabel="validation F1", ylim=(0, 1))
    right.legend(fontsize="small", ncols=2)
    figure.savefig(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
