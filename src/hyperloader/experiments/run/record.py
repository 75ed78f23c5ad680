"""What is kept of one run: its record (``run.json``) and the predicted spans."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from hyperloader.config import Section
from hyperloader.errors import CheckpointError
from hyperloader.evaluation.metrics import TaskScores
from hyperloader.experiments.plan.grid import run_name
from hyperloader.store import disk_error, read_json, write_text
from hyperloader.types import Span

RECORD = "run.json"
RECORDS = "runs.jsonl"
PREDICTIONS = "predictions.json.gz"

Spans = Sequence[Sequence[Span]]


class Score(Section):
    """Micro precision, recall and F1 in [0, 1]; ``support`` counts gold spans."""

    precision: float
    recall: float
    f1: float
    support: int


class TaskScore(Section):
    """The scores of one task's test part in seqeval's two modes."""

    sentences: int
    default: Score
    strict: Score

    @classmethod
    def of(cls, scores: TaskScores) -> "TaskScore":
        """The part of ``scores`` that is kept."""
        modes = {mode: Score(**getattr(scores, mode).to_json()) for mode in ("default", "strict")}
        return cls(sentences=scores.sentences, **modes)


class Result(Section):
    """What a finished run measured.

    ``training_seconds`` are those of the steps alone, ``wall_seconds`` all of them, validation,
    checkpoints and scoring included.
    """

    scores: dict[str, TaskScore]
    best_step: int
    steps: int
    sentences_seen: int
    trainable: int
    total: int
    training_seconds: float
    scoring_seconds: float
    wall_seconds: float
    validation: list[dict[str, Any]]


class Record(Section):
    """One run; ``settings`` are the recipe's differences from the experiment's base."""

    status: Literal["done", "failed"]
    system: str
    fraction: float
    seed: int
    tasks: tuple[str, ...]
    apart: bool
    settings: dict[str, Any] = Field(default_factory=dict)
    error: str | None = None
    result: Result | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    finished: str

    @model_validator(mode="before")
    @classmethod
    def _earlier_name(cls, values: Any) -> Any:
        """Records written by earlier versions call the result ``outcome``."""
        if isinstance(values, dict) and "outcome" in values:
            return {("result" if k == "outcome" else k): v for k, v in values.items()}
        return values

    @property
    def name(self) -> str:
        """The name of the run."""
        return run_name(self.system, self.fraction, self.seed, self.tasks[0] if self.apart else "")


def write_record(folder: Path, record: Record) -> None:
    """Write ``run.json`` whole or not at all."""
    write_text(folder / RECORD, record.model_dump_json(indent=1) + "\n")


def read_record(folder: Path) -> Record | None:
    """The record of a run; None when it has none yet. Raises CheckpointError for a damaged one."""
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        return Record.model_validate(read_json(path))
    except ValidationError as error:
        raise CheckpointError(
            f"{path} is damaged ({_first(error)}); delete its folder to make the run again"
        ) from error


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write several records, one per line."""
    write_text(path, "".join(record.model_dump_json() + "\n" for record in records))


def read_records(path: Path) -> dict[str, Record]:
    """The records of a file with one per line, by the names of the runs; empty without the file.

    Raises:
        CheckpointError: a line that is damaged, with its number.
    """
    if not path.exists():
        return {}
    records = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = Record.model_validate_json(line)
        except ValidationError as error:
            raise CheckpointError(f"{path}:{number} is damaged ({_first(error)})") from error
        records[record.name] = record
    return records


def _first(error: ValidationError) -> str:
    """What is wrong first, in a few words."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def write_spans(path: Path, spans: Mapping[str, Spans]) -> None:
    """Write the spans of every task's sentences, in the order of the corpus, compressed.

    The file has one object: task -> sentences -> spans -> [start, end, label].
    """
    rows = {
        task: [[[s.word_start, s.word_end, s.label] for s in x] for x in xs]
        for task, xs in spans.items()
    }
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a time in it the same spans make the same file.
        temporary.write_bytes(gzip.compress(text.encode(), mtime=0))
        temporary.replace(path)
    except OSError as error:
        raise disk_error(path, error) from error


def read_spans(path: Path) -> dict[str, list[tuple[Span, ...]]]:
    """The spans of every task's sentences. Raises CheckpointError when missing or damaged."""
    try:
        rows = json.loads(gzip.decompress(path.read_bytes()))
        return {
            task: [tuple(Span(*span) for span in spans) for spans in sentences]
            for task, sentences in rows.items()
        }
    except (OSError, EOFError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}); make the run again: delete its folder"
        ) from error
