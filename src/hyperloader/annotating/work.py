"""One shard, from its rows to its output: what every worker does, wherever it runs."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hyperloader import trust
from hyperloader.annotating.rows import Bad, Batch, read_rows
from hyperloader.annotating.shards import Shard
from hyperloader.annotating.writers import extension, writer
from hyperloader.errors import HyperloaderError
from hyperloader.store import file_hash
from hyperloader.tagger import Tagger
from hyperloader.tagging import TagOptions
from hyperloader.types import TaggedText

# Groups of so many batches are read at once, and sorted by length.
GROUPED = 4


@dataclass(frozen=True, slots=True)
class Settings:
    """How rows are tagged and written. Of one folder they are the same from start to end."""

    task: str
    text_column: str
    column: str
    format: str
    min_score: float
    batch_size: int
    words: str | None
    precision: str


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs to know.

    Attributes:
        tagger: a folder or a bundled name.
        out: the folder of the outputs.
        aside: the folder where they are made; on the same disk.
        trusted: backbones that the user has spoken for.
    """

    tagger: str
    out: Path
    aside: Path
    settings: Settings
    device: str | None
    trusted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a shard: its output (a name in the folder), and how many rows it has, beside
    those that are ``bad``."""

    number: int
    output: str
    sha256: str
    rows: int
    spans: int
    bad: list[Bad]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; :meth:`of` reads it."""
        return asdict(self)

    @classmethod
    def of(cls, about: dict[str, Any]) -> "Done":
        """What :meth:`to_dict` gave."""
        return cls(**{**about, "bad": [Bad(*each) for each in about["bad"]]})


class Annotator:
    """Tags shards, one after the other, with a tagger that is loaded once."""

    def __init__(self, job: Job, threads: int) -> None:
        """``threads``: of torch and onnxruntime."""
        import torch

        torch.set_num_threads(threads)
        for folder in job.trusted:
            trust.trust_backbone(folder)
        self.job, settings = job, job.settings
        self.tagger = Tagger.from_pretrained(
            job.tagger, job.device, precision=settings.precision, words=settings.words
        )

    def annotate(self, shard: Shard, told: Callable[[int, int], None]) -> Done:
        """Write the output of ``shard`` aside, then put it in place. With as many threads it is the
        same each time.

        ``told`` is told how many rows have been tagged since, and how many were bad.

        Raises:
            OSError: a file cannot be read or written.
        """
        settings, name = self.job.settings, shard.name + extension(shard, self.job.settings.format)
        fresh = self.job.aside / f"{shard.number}-{os.getpid()}{Path(name).suffix}"
        _remove(fresh)
        self.job.aside.mkdir(parents=True, exist_ok=True)
        output = writer(fresh, shard, settings.format, settings.text_column, settings.column)
        rows = spans = 0
        bad: list[Bad] = []
        size = GROUPED * settings.batch_size
        for batch in read_rows(shard, settings.text_column, settings.column, size):
            good, found = self._tag(batch)
            if found:
                output.write(good, found)
            bad += good.bad
            rows += len(found)
            spans += sum(len(tagged.spans) for tagged in found)
            told(len(found), len(good.bad))
        unfit = output.close()
        digest = _digest(fresh)
        _put(fresh, self.job.out / name)
        bad = sorted([*bad, *unfit])
        return Done(shard.number, name, digest, rows - len(unfit), spans, bad)

    def _tag(self, batch: Batch) -> tuple[Batch, list[TaggedText]]:
        """The rows that can be tagged, and what is found in them."""
        settings = self.job.settings
        options: TagOptions = {"batch_size": settings.batch_size, "min_score": settings.min_score}
        try:
            return batch, self.tagger.tag(batch.texts, settings.task, **options)
        except HyperloaderError:  # one of them cannot be tagged (say, it is too long): which?
            found: list[TaggedText] = []
            kept: list[int] = []
            bad: list[Bad] = []
            for i, text in enumerate(batch.texts):
                try:
                    found.append(self.tagger.tag(text, settings.task, **options))
                    kept.append(i)
                except HyperloaderError as error:
                    bad.append(Bad(batch.lines[i], str(error)))
            return batch.only(kept, bad), found


def _digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, of the hashes of its files."""
    if path.is_file():
        return file_hash(path)
    import hashlib

    hashes = [(file.name, file_hash(file)) for file in sorted(path.iterdir())]
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


def _put(fresh: Path, target: Path) -> None:
    """Bring ``fresh`` to the disk and give it its name, in place of what a stopped run left."""
    for path in [fresh, *(fresh.iterdir() if fresh.is_dir() else ())]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(fresh, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
