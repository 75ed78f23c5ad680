"""How long a first answer takes: ``hyperloader tag`` in fresh processes, and importing torch.

Run: OMP_NUM_THREADS=1 python benchmarks/cold_start.py --out FILE.json [--repeats 5]. Wall and
processor seconds, medians; the contenders take turns. One run before is not counted, so that files
are in the system's cache. Wall time means something on a quiet machine only.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from hyperloader.experiments.run.environment import environment
from hyperloader.store import write_text

SENTENCE = "any good thai place near the harbour open after ten"
WITH_TRANSFORMERS = (
    "import sys; from hyperloader import Tagger; tagger = Tagger.from_pretrained("
    "tagging_only=False); print(tagger.tag(sys.argv[1], 'restaurant'))"
)
CONTENDERS = {
    "import torch": ["-c", "import torch"],
    "hyperloader tag": ["-m", "hyperloader.cli.main", "tag", "--task", "restaurant", SENTENCE],
    "Tagger with transformers": ["-c", WITH_TRANSFORMERS, SENTENCE],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
    for turn in range(given.repeats + 1):
        for name, arguments in CONTENDERS.items():
            taken = run(arguments)
            if turn:
                seconds[name].append(taken)
    medians = {
        name: {
            kind: statistics.median(values)
            for kind, values in zip(("wall", "processor"), zip(*taken, strict=True), strict=True)
        }
        for name, taken in seconds.items()
    }
    document = {
        "environment": environment(),
        "sentence": SENTENCE,
        "repeats": given.repeats,
        "seconds": medians,
        "all": seconds,
    }
    write_text(given.out, json.dumps(document, indent=1) + "\n")
    for name, median in medians.items():
        print(f"{name:>24}: {median['wall']:.2f} s, of the processor {median['processor']:.2f} s")


def run(arguments: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of a Python process with ``arguments``."""
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        taken = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments[:3])} failed; see above")
    return taken, usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
