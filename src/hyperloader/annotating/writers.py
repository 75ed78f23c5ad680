"""What is written of a shard: the rows with their spans, in the kind of their file or as JSONL, or
sentences in a format of labelled files, such as Prodigy's."""

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from hyperloader.annotating.rows import Bad, Batch
from hyperloader.annotating.shards import CSV, JSONL, PARQUET, TEXT, Shard, parquet_file
from hyperloader.corpora.formats import Files, written
from hyperloader.corpora.formats.format import json_lines
from hyperloader.corpora.writing import render_part
from hyperloader.errors import ConfigError, DataError, first_line, unknown
from hyperloader.tagging import span_records
from hyperloader.types import Example, Span, TaggedText

SAME = "same"
# Where a record of these formats keeps the other columns of its row.
COLUMNS_AT = {"prodigy": "meta", "label-studio": "data", "doccano": None}


def formats() -> list[str]:
    """What ``--format`` may say."""
    return [SAME, JSONL, *(name for name in written() if name != JSONL)]


def check_format(name: str) -> None:
    """Raise ConfigError for a format that is not written."""
    if name not in formats():
        raise ConfigError(unknown("format", name, formats()))


class Writer(ABC):
    """Writes the output of one shard as ``path``, batch by batch; ``path`` may become a folder."""

    extension: str

    def __init__(self, path: Path, shard: Shard, column: str) -> None:
        self.path, self.shard, self.column = path, shard, column

    @abstractmethod
    def write(self, batch: Batch, found: Sequence[TaggedText]) -> None:
        """Add the rows of ``batch``, in which the spans of ``found`` are."""

    @abstractmethod
    def close(self) -> list[Bad]:
        """Bring all to the file; the rows that the format cannot hold, which it then lacks."""


def writer(path: Path, shard: Shard, form: str, text: str, column: str) -> Writer:
    """What writes ``shard``, whose texts are in the column ``text``, in the format ``form``."""
    if form == SAME:
        kinds = {TEXT: JsonLines, JSONL: JsonLines, CSV: Csv, PARQUET: Parquet}
        kind: Callable[[Path, Shard, str], Writer] = kinds[shard.kind]
        return kind(path, shard, column)
    return JsonLines(path, shard, column) if form == JSONL else Labelled(path, shard, form, text)


def extension(shard: Shard, form: str) -> str:
    """What the name of a shard's output ends with; nothing for a folder."""
    if form == SAME:
        return {CSV: ".tsv" if shard.delimiter == "\t" else ".csv", PARQUET: ".parquet"}.get(
            shard.kind, ".jsonl"
        )
    if form == JSONL:
        return ".jsonl"
    write = written()[form].write
    assert write is not None
    names = list(write(()))
    return names[0] if len(names) == 1 and not names[0].startswith("/") else ""


class JsonLines(Writer):
    """Every row as an object on a line, with its spans at ``column``."""

    def __init__(self, path: Path, shard: Shard, column: str) -> None:
        super().__init__(path, shard, column)
        # Half a character in another column (a lone surrogate) stays what it was, an escape.
        self._file = path.open("w", encoding="utf-8", errors="backslashreplace")

    def write(self, batch: Batch, found: Sequence[TaggedText]) -> None:
        """See :meth:`Writer.write`; what JSON does not know, such as a date, becomes a string."""
        for row, tagged in zip(batch.records(), found, strict=True):
            whole = {**row, self.column: span_records(tagged)}
            self._file.write(json.dumps(whole, ensure_ascii=False, default=str) + "\n")

    def close(self) -> list[Bad]:
        """See :meth:`Writer.close`."""
        self._file.close()
        return []


class _Rows:
    """A file whose rows end with a line feed. (A csv.writer that was told so would leave a carriage
    return in a cell unquoted, and readers would take it for the end of the row.)"""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> None:
        """What a csv.writer calls for each row."""
        self._file.write(row.removesuffix("\r\n") + "\n")


class Csv(Writer):
    """Every row as it was, and its spans as JSON in one more cell."""

    def __init__(self, path: Path, shard: Shard, column: str) -> None:
        super().__init__(path, shard, column)
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.DictWriter(
            _Rows(self._file), [*shard.header, column], delimiter=shard.delimiter
        )
        self._rows.writeheader()

    def write(self, batch: Batch, found: Sequence[TaggedText]) -> None:
        """See :meth:`Writer.write`."""
        for row, tagged in zip(batch.records(), found, strict=True):
            spans = json.dumps(span_records(tagged), ensure_ascii=False)
            self._rows.writerow({**row, self.column: spans})

    def close(self) -> list[Bad]:
        """See :meth:`Writer.close`."""
        self._file.close()
        return []


class Parquet(Writer):
    """Every column as it was, and a list of structs with the spans."""

    def __init__(self, path: Path, shard: Shard, column: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        super().__init__(path, shard, column)
        fields: dict[str, Any] = {
            "start": pa.int64(), "end": pa.int64(), "text": pa.string(), "label": pa.string(),
            "score": pa.float64(),
        }  # fmt: skip
        kind = pa.list_(pa.struct(list(fields.items())))
        self._schema = parquet_file(shard.path).schema_arrow.append(pa.field(column, kind))
        self._file = pq.ParquetWriter(path, self._schema)

    def write(self, batch: Batch, found: Sequence[TaggedText]) -> None:
        """See :meth:`Writer.write`."""
        import pyarrow as pa

        spans = pa.array([span_records(tagged) for tagged in found], self._schema.types[-1])
        columns = [*batch.rows.columns, spans]
        self._file.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def close(self) -> list[Bad]:
        """See :meth:`Writer.close`."""
        self._file.close()
        return []


class Labelled(Writer):
    """Sentences in a format of labelled files, which ``data stats`` and ``train`` read again.

    Prodigy's, doccano's and Label Studio's keep the other columns of a row; the others have no
    place for them. A text without words is no sentence: it is left out.
    """

    def __init__(self, path: Path, shard: Shard, form: str, text: str) -> None:
        super().__init__(path, shard, "")
        self._form, self._text = form, text
        self._examples: list[Example] = []
        self._lines: list[int] = []
        self._others: list[dict[str, Any]] = []
        self._scores: list[list[float]] = []

    def write(self, batch: Batch, found: Sequence[TaggedText]) -> None:
        """See :meth:`Writer.write`."""
        for line, row, tagged in zip(batch.lines, batch.records(), found, strict=True):
            if tagged.words:
                self._examples.append(as_example(tagged))
                self._lines.append(line)
                self._others.append(row)
                self._scores.append([span.score for span in tagged.spans])

    def close(self) -> list[Bad]:
        """See :meth:`Writer.close`; what is written has been read back."""
        bad: list[Bad] = []
        try:
            files = self._rendered(self._examples)
        except DataError:  # which sentences?
            bad = self._leave_out_what_does_not_fit()
            files = self._rendered(self._examples)
        if self._form in COLUMNS_AT:
            files = {name: self._with_columns(data) for name, data in files.items()}
        if extension(self.shard, self._form):
            ((_, data),) = files.items()
            self.path.write_bytes(data)
            return bad
        self.path.mkdir()
        for name, data in files.items():
            (self.path / name.lstrip("/")).write_bytes(data)
        return bad

    def _rendered(self, examples: Sequence[Example]) -> Files:
        return render_part(examples, self._form, self.shard.name, lossy=True)[0]

    def _leave_out_what_does_not_fit(self) -> list[Bad]:
        bad = []
        for i in reversed(range(len(self._examples))):
            try:
                self._rendered(self._examples[i : i + 1])
            except DataError as error:
                bad.append(Bad(self._lines[i], first_line(error)))
                for many in (self._examples, self._lines, self._others, self._scores):
                    del many[i]
        return bad[::-1]

    def _with_columns(self, data: bytes) -> bytes:
        """The records of a file with the other columns of their rows and the scores of spans."""
        as_list = data.startswith(b"[")
        lines = data.decode().splitlines()
        records = json.loads(data) if as_list else [json.loads(line) for line in lines]
        place = COLUMNS_AT[self._form]
        for record, row, scores in zip(records, self._others, self._scores, strict=True):
            others = {name: value for name, value in row.items() if name != self._text}
            target = record if place is None else record.setdefault(place, {})
            # The number that doccano's records have gives way to that of the row.
            target |= {k: v for k, v in others.items() if k == "id" or k not in target}
            add_scores(record, scores)
        if not as_list:
            return json_lines(json.loads(json.dumps(records, default=str)))
        rows = (json.dumps(record, ensure_ascii=False, default=str) for record in records)
        return ("[\n" + ",\n".join(rows) + "\n]\n").encode(errors="backslashreplace")


def add_scores(record: dict[str, Any], scores: Iterable[float]) -> None:
    """Give the spans of a Prodigy or Label Studio record their scores, in their order."""
    if "spans" in record:
        for span, score in zip(record["spans"], scores, strict=True):
            span["score"] = score
    for prediction in record.get("predictions", ()):
        results = [each for each in prediction["result"] if each["type"] == "labels"]
        for each, score in zip(results, scores, strict=True):
            each["score"] = score
        known = [each["score"] for each in results]
        prediction["score"] = sum(known) / len(known) if known else 1.0


def as_example(tagged: TaggedText) -> Example:
    """A tagged text as a labelled sentence."""
    spans = tuple(Span(s.word_start, s.word_end, s.label) for s in tagged.spans)
    return Example(tagged.words, spans, tagged.task, tagged.text, tagged.offsets)
