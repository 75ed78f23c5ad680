"""How fast rows are annotated, and how much memory that takes.

Run: python benchmarks/annotate.py --rows 50000 --out results/annotate/local.json [--workers N]
[--precision int8]. Short synthetic lines in a text file, the bundled tagger, ``hyperloader
annotate`` in a process of its own; rows per second of the whole command, peaks of resident memory
of the command, of its largest worker and of all together.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil

from hyperloader.corpora.sample import sample_corpora
from hyperloader.experiments.run.environment import environment
from hyperloader.store import write_text

TASK = "restaurant"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tagger", default="builtin-minilm")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(given, Path(folder))
    about = {name: value for name, value in vars(given).items() if name != "out"}
    document = {"environment": environment(), "task": TASK, **about, **rows}
    write_text(given.out, json.dumps(document, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


def measured(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Annotate the rows in ``folder``."""
    with (folder / "rows.txt").open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in islice(cycle(sentences()), given.rows))
    command = [
        *(sys.executable, "-m", "hyperloader", "annotate", str(folder / "rows.txt")),
        *("--out", str(folder / "out"), "--task", TASK, "--tagger", given.tagger),
        *("--workers", str(given.workers), "--precision", given.precision),
    ]
    started = time.perf_counter()
    with subprocess.Popen(command) as process:
        peaks = Peaks(process.pid)
        peaks.start()
        code = process.wait()
    seconds = time.perf_counter() - started
    peaks.join()
    manifest = json.loads((folder / "out" / "manifest.json").read_text("utf-8"))
    lines = sum(len(f.read_bytes().splitlines()) for f in (folder / "out").glob("0*.jsonl"))
    assert (code, manifest["rows"], lines) == (0, given.rows, given.rows)
    return {
        "seconds": round(seconds, 1),
        "rows_per_second": round(given.rows / seconds, 1),
        "peak_mib": peaks.found,
    }


def sentences() -> list[str]:
    """Some thousand short sentences."""
    made = sample_corpora(seed=1, train=1000)
    return [" ".join(e.words) for corpus in made.values() for e in corpus.splits["train"]]


class Peaks(threading.Thread):
    """The most resident memory, in MiB, of a process, of its largest child, and of all together."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self.found = {"command": 0.0, "worker": 0.0, "all": 0.0}

    def run(self) -> None:
        while True:
            try:
                own = self._process.memory_info().rss
                children = [c.memory_info().rss for c in self._process.children(recursive=True)]
            except psutil.NoSuchProcess:
                if not self._process.is_running():
                    return
                continue
            if not own:  # it has ended
                return
            now = {"command": own, "worker": max(children, default=0), "all": own + sum(children)}
            for name, size in now.items():
                self.found[name] = max(self.found[name], round(size / 2**20, 1))
            time.sleep(0.2)


if __name__ == "__main__":
    main()
