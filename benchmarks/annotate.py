"""How fast rows are annotated, how much memory that takes, and what is left of it after kill -9.

Run: python benchmarks/annotate.py --rows 50000 --out results/annotate/local.json [--workers N]
[--precision int8] [--words 3] [--kills 5] [--tagger RUN --task NAME]. Short synthetic lines in a
text file, the bundled tagger or RUN, ``hyperloader annotate`` in a process of its own; rows per
second of the whole command, peaks of resident memory of the command, of its largest worker and of
all together. With ``--kills`` the command and one of its workers are killed in turn (SIGKILL), at
moments spread over the rows; the same command goes on, and its outputs are compared with those of a
run that nobody killed, byte for byte.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--words", type=int, help="of a line, at most")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--tagger", default="builtin-minilm")
    parser.add_argument("--task", default="restaurant")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(given, Path(folder))
    about = {name: value for name, value in vars(given).items() if name != "out"}
    document = {"environment": environment(), **about, **found}
    write_text(given.out, json.dumps(document, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def measured(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Annotate the rows in ``folder`` undisturbed, and with ``--kills`` once more with these."""
    with (folder / "rows.txt").open("w", encoding="utf-8") as file:
        for line in islice(cycle(sentences()), given.rows):
            file.write(" ".join(line.split()[: given.words]) + "\n")
    whole, found = annotated(given, folder, "whole")
    if not given.kills:
        return found
    killed, about = annotated(given, folder, "killed", given.kills)
    return {**found, "killed": {**about, "equal_outputs": killed == whole, "outputs": len(whole)}}


def annotated(
    given: argparse.Namespace, folder: Path, name: str, kills: int = 0
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The outputs of a run in ``folder / name`` by their names, and what it took."""
    out = folder / name
    command = [
        *(sys.executable, "-m", "hyperloader", "annotate", str(folder / "rows.txt")),
        *("--out", str(out), "--task", given.task, "--tagger", given.tagger),
        *("--workers", str(given.workers), "--precision", given.precision),
    ]
    started, peaks, told = time.perf_counter(), Peaks(), []
    with peaks:
        process = subprocess.Popen(command)
        peaks.watch(process.pid)
        for kill in range(kills):
            victim = ("command", "worker")[kill % 2]
            wait_for(out, given.rows * (kill + 1) // (kills + 1), process)
            rows = finished_rows(out)
            if victim == "command":
                process.kill()
                process.wait()
                process = subprocess.Popen(command)
                peaks.watch(process.pid)
            else:
                workers(process.pid)[0].kill()
            told.append({"killed": victim, "finished_rows": rows})
            print(told[-1], flush=True)
        code = process.wait()
    seconds = time.perf_counter() - started
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    outputs = {path.name: path.read_bytes() for path in sorted(out.glob("0*.jsonl"))}
    lines = sum(len(content.splitlines()) for content in outputs.values())
    assert (code, manifest["rows"], lines) == (0, given.rows, given.rows)
    return outputs, {
        "seconds": round(seconds, 1),
        "rows_per_second": round(given.rows / seconds, 1),
        "peak_mib": peaks.found,
        **({"kills": told} if kills else {}),
    }


def finished_rows(out: Path) -> int:
    """Rows of the outputs that are finished."""
    return sum(json.loads(path.read_text())["rows"] for path in out.glob(".work/done/*.json"))


def wait_for(out: Path, rows: int, process: subprocess.Popen[bytes]) -> None:
    """Until so many rows are finished, and a moment more, so that work is under way."""
    while finished_rows(out) < rows:
        assert process.poll() is None
        time.sleep(0.5)
    time.sleep(3)


def workers(driver: int) -> list[psutil.Process]:
    """The processes that hold taggers."""
    children = psutil.Process(driver).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def sentences() -> list[str]:
    """Some thousand short sentences."""
    made = sample_corpora(seed=1, train=1000)
    return [" ".join(e.words) for corpus in made.values() for e in corpus.splits["train"]]


class Peaks(threading.Thread):
    """The most resident memory, in MiB, of a process, of its largest child, and of all together."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._process: psutil.Process | None = None
        self._ended = threading.Event()
        self.found = {"command": 0.0, "worker": 0.0, "all": 0.0}

    def watch(self, pid: int) -> None:
        """From now on this one."""
        self._process = psutil.Process(pid)

    def __enter__(self) -> "Peaks":
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(0.2):
            if self._process is None:
                continue
            try:
                own = self._process.memory_info().rss
                children = [c.memory_info().rss for c in self._process.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue  # one of them has just ended
            now = {"command": own, "worker": max(children, default=0), "all": own + sum(children)}
            for name, size in now.items():
                self.found[name] = max(self.found[name], round(size / 2**20, 1))


if __name__ == "__main__":
    main()
