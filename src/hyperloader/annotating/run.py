"""From inputs to a folder of annotations, going on where an earlier run was stopped."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from hyperloader import __version__, hub, trust
from hyperloader.annotating.folder import Annotations
from hyperloader.annotating.local import Event, Lost, Rows, by_processes
from hyperloader.annotating.progress import rows_progress
from hyperloader.annotating.rows import check_columns
from hyperloader.annotating.shards import ROWS, Shard, cut, find_files
from hyperloader.annotating.work import Done, Job, Settings
from hyperloader.annotating.writers import check_format
from hyperloader.checkpoint import checkpoint_folder
from hyperloader.errors import ConfigError, TargetError
from hyperloader.store import MANIFEST, claimed, file_hash
from hyperloader.tagger import Tagger
from hyperloader.tagging import check_options
from hyperloader.training.progress import progress_console

Engine = Callable[[Job, Sequence[Shard], int], Iterator[Event]]
MOST_WORKERS = 4


def annotate(
    inputs: Sequence[str],
    out: str | Path,
    task: str | None = None,
    tagger: str | Path = "builtin",
    *,
    text_column: str = "text",
    column: str = "spans",
    format: str = "same",
    min_score: float = 0.0,
    batch_size: int = 64,
    words: str | None = None,
    device: str | None = None,
    precision: str = "float32",
    workers: int | None = None,
    shard_rows: int = ROWS,
    engine: Engine | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Tag the rows of files, and write them with their spans into the folder ``out``; its manifest.

    The same call goes on where an earlier one was stopped, whatever stopped it. No row is lost
    or there twice: what cannot be tagged is in ``errors.jsonl`` with file, line and reason.

    Args:
        inputs: files, folders and patterns, local or addresses that fsspec knows; Parquet, JSONL,
            CSV and text, also packed.
        tagger: as of :meth:`Tagger.from_pretrained`.
        column: what the new column of spans is called.
        format: ``same`` as the file, ``jsonl``, or a format of labelled files.
        workers: processes; default: one per core, four at most.
        shard_rows: rows of a shard at most. Each has an output of its own.
        engine: what lets workers do shards; default: processes of this machine.

    Raises:
        HyperloaderError: a mistake in what is asked for; bad rows are none.
    """
    console = console or progress_console()
    check_format(format)
    check_options(batch_size, min_score, 0)
    if shard_rows < 1 or (workers is not None and workers < 1):
        raise ConfigError("there is at least one worker, and one row per shard")
    source, task = _tagger(tagger, task, words)
    settings = Settings(task, text_column, column, format, min_score, batch_size, words, precision)
    out = Path(os.path.abspath(out))
    # In a folder that holds its own outputs these are no inputs when the run goes on.
    found = find_files([str(each) for each in inputs])
    files = [(path, size) for path, size in found if not Path(path).is_relative_to(out)]
    asked = {
        "tagger_sha256": file_hash(Path(source) / MANIFEST),
        "shard_rows": shard_rows,
        **asdict(settings),
        "inputs_sha256": hashlib.sha256(repr(files).encode()).hexdigest(),
    }
    folder = Annotations(out, asked)
    if (finished := folder.finished) is not None:
        console.print(f"{out} is complete already", markup=False)
        return finished
    with claimed(out) as ours:
        if not ours:
            raise TargetError(f"another process is writing {out}; wait for it")
        shards = folder.plan()
        if shards is None:
            shards = cut([path for path, _ in files], shard_rows)
            check_columns(shards, text_column, column)
            folder.keep_plan(shards)
        job = Job(source, out, folder.aside, settings, device, trust.trusted())
        done = folder.done()
        left = [shard for shard in shards if shard.number not in done]
        if done:
            console.print(f"{len(done):,} of {len(shards):,} shards are done already")
        count = min(workers or min(os.cpu_count() or 1, MOST_WORKERS), max(1, len(left)))
        started = time.time()
        events = (engine or by_processes)(job, left, count) if left else iter(())
        _do(events, shards, done, folder, console)
        about = {
            "inputs": [{"file": path, "bytes": size} for path, size in files],
            "tagger": str(tagger),
            "hyperloader": __version__,
            "seconds": round(time.time() - started, 3),
            "workers": count,
        }
        return folder.finish(shards, done, about)


def _tagger(name: str | Path, task: str | None, words: str | None) -> tuple[str, str]:
    """Where the tagger lies on this machine, and the task: mistakes are found before the work."""
    name = str(name)
    folder = hub.fetch(name) if hub.is_repository(name) else checkpoint_folder(Path(name))
    found = Tagger.from_pretrained(folder, words=words)
    found.labels(task)
    return str(folder), found.tasks[0] if task is None else task


def _do(
    events: Iterator[Event],
    shards: Sequence[Shard],
    done: dict[int, Done],
    folder: Annotations,
    console: Console,
) -> None:
    """Keep what is done, and show how far it is."""
    counted, bad = Counter[int](), Counter[int]()
    for each in done.values():
        counted[each.number], bad[each.number] = each.rows + len(each.bad), len(each.bad)
    total = sum(shard.rows for shard in shards)
    with rows_progress(console, total, counted.total()) as update:
        for event in events:
            match event:
                case Rows(good, wrong, number):
                    counted[number] += good + wrong
                    bad[number] += wrong
                case Lost(number):
                    console.print("a worker died; its shard is done again")
                    counted[number] = bad[number] = 0
                case Done():
                    folder.keep(event)
                    done[event.number] = event
                    bad[event.number] = len(event.bad)
                    counted[event.number] = event.rows + len(event.bad)
            update(counted.total(), bad.total())
