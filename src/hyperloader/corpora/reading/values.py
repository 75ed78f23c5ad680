"""Checked access to values of JSON objects. ValueError says what is wrong; callers know where."""

import json
from typing import Any

_KINDS = {str: "a string", int: "a whole number", list: "a list", dict: "an object"}


class MissingKey(ValueError):
    """An object without a ``key`` that it must have."""

    def __init__(self, key: str, record: dict[str, Any]):
        super().__init__(
            f"no {key!r} in {json.dumps(record, ensure_ascii=False, default=str)[:60]}"
        )
        self.key = key


def get(record: dict[str, Any], key: str, kind: type) -> Any:
    """``record[key]``, which must be there and of that kind."""
    if key not in record:
        raise MissingKey(key, record)
    return typed(record[key], kind, repr(key))


def typed(value: Any, kind: type, what: str) -> Any:
    """``value``, which must be of that kind (true and false are no numbers)."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{what} is {value!r}, not {_KINDS[kind]}")
    return value


def number(value: Any, what: str) -> int:
    """A whole number, perhaps written as a string, as in tables."""
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return int(typed(value, int, what))


def is_triple(value: Any) -> bool:
    """Whether a value is ``[start, end, label]``."""
    return (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(isinstance(v, int) and not isinstance(v, bool) for v in value[:2])
        and isinstance(value[2], str)
    )
