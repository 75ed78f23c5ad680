"""The log: one JSON object per line on standard error, without texts unless that is asked for."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

logger = logging.getLogger("hyperloader.serving")


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time, level, event, and what ``extra`` has as fields.

    Of an exception it tells the type and the lines of code. Its message may hold a user's text,
    and is there only with ``texts``.
    """

    def __init__(self, texts: bool = False) -> None:
        super().__init__()
        self._texts = texts

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            entry["error"] = type(error).__name__
            entry["at"] = [
                f"{frame.filename}:{frame.lineno}"
                for frame in traceback.extract_tb(error.__traceback__)
            ]
            if self._texts:
                entry["message"] = str(error)
        return json.dumps(entry, ensure_ascii=False)


def log(
    event: str, level: int = logging.INFO, error: BaseException | None = None, **fields: Any
) -> None:
    """Write one line."""
    logger.log(level, event, extra={"fields": fields}, exc_info=error)


def set_up(texts: bool = False) -> None:
    """Let this log, and what uvicorn says, go to standard error in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(texts))
    for name, level in ((logger.name, logging.INFO), ("uvicorn", logging.WARNING)):
        chosen = logging.getLogger(name)
        chosen.handlers, chosen.propagate = [handler], False
        chosen.setLevel(level)
