"""Sentences from files of records (JSON, JSONL, CSV, Parquet, Arrow), one record each."""

from collections.abc import Callable
from typing import Any

from hyperloader.corpora.reading.source import Source
from hyperloader.corpora.reading.values import MissingKey
from hyperloader.types import Example

ReadRecord = Callable[[Source, int, Any], Example | None]


def read_records(source: Source, read_record: ReadRecord) -> list[Example]:
    """``read_record(source, line, record)`` of every record; None leaves one out.

    Raises DataError with the line for whatever ValueError it raises, and for a repeated ``id``.
    """
    examples: list[Example] = []
    lines: dict[Any, int] = {}
    for line, record in source.records():
        try:
            _check_id(record, line, lines)
            found = read_record(source, line, record)
        except MissingKey as error:
            also = error.key in source.keys and "; other records have it: give each form its file"
            raise source.error(f"{error}{also or ''}", line) from error
        except ValueError as error:
            raise source.error(error, line) from error
        if found is not None:
            examples.append(found)
    return examples


def read_objects(source: Source, read_object: ReadRecord) -> list[Example]:
    """As ``read_records``, for records that must be objects."""

    def checked(source: Source, line: int, record: Any) -> Example | None:
        if not isinstance(record, dict):
            raise ValueError("not a JSON object")
        return read_object(source, line, record)

    return read_records(source, checked)


def _check_id(record: Any, line: int, lines: dict[Any, int]) -> None:
    number = record.get("id") if isinstance(record, dict) else None
    if not isinstance(number, str | int):
        return
    if number in lines:
        raise ValueError(
            f"id {number!r} occurs twice, first in line {lines[number]}; remove one of the records"
        )
    lines[number] = line
