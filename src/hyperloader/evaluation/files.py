"""The files that an evaluation leaves: checked before the work begins, written when it is done."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperloader.errors import ConfigError, DataError, HyperloaderError
from hyperloader.evaluation.evaluate import Evaluation
from hyperloader.evaluation.plots import need_matplotlib, plot_confusion
from hyperloader.evaluation.reliability import plot_reliability
from hyperloader.evaluation.report import TaskReport, write_html_report
from hyperloader.store import write_text

# More than any of the files takes; a report of the largest corpus has less than one MiB.
ROOM = 8 * 2**20


@dataclass(frozen=True, slots=True)
class OutputFiles:
    """Where to write what; None: not wanted.

    Attributes:
        scores: all scores as JSON.
        report: an HTML page with highlighted errors.
        plot: a picture of the most confused labels.
        reliability: a picture of the share of right spans over their score.
    """

    scores: Path | None = None
    report: Path | None = None
    plot: Path | None = None
    reliability: Path | None = None

    @property
    def wanted(self) -> dict[str, Path]:
        """The files by what they hold."""
        named = {
            "scores": self.scores,
            "report": self.report,
            "plot": self.plot,
            "reliability": self.reliability,
        }
        return {name: path for name, path in named.items() if path is not None}

    def check(self) -> None:
        """See that every file can be written, without writing any.

        Raises:
            ConfigError: two of the files are the same.
            HyperloaderError: a picture is wanted and matplotlib is not installed.
            DataError: as `check_output`.
        """
        places = [path.resolve() for path in self.wanted.values()]
        if len(set(places)) < len(places):
            raise ConfigError("two of the files to write are the same; give each its own name")
        for path in self.wanted.values():
            check_output(path)
        if self.plot or self.reliability:
            need_matplotlib()

    def write(
        self, document: dict[str, Any], evaluation: Evaluation | None = None, subtitle: str = ""
    ) -> tuple[dict[str, Path], list[str]]:
        """Write all files; one that fails does not keep the others from being written.

        Args:
            document: what the file of scores holds.
            evaluation: what the other files show; None where none of them is wanted.
            subtitle: of the report; plain text.

        Returns:
            What was written, and a line for each file that was not.
        """
        tasks = evaluation.tasks if evaluation else {}
        writers: dict[str, Callable[[Path], None]] = {
            "scores": lambda path: write_json(path, document),
            "report": lambda path: write_html_report(
                path,
                [TaskReport(task.scores, task.examples) for task in tasks.values()],
                title="hyperloader evaluation",
                subtitle=subtitle,
            ),
            "plot": lambda path: plot_confusion(path, {n: t.scores for n, t in tasks.items()}),
            "reliability": lambda path: plot_reliability(
                path, {name: task.reliability for name, task in tasks.items()}
            ),
        }
        written, failed = {}, []
        for name, path in self.wanted.items():
            try:
                writers[name](path)
                written[name] = path
            except HyperloaderError as error:
                failed.append(f"{name}: {error}")
        return written, failed


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a document as JSON, whole or not at all. Raises CheckpointError where it cannot be."""
    write_text(path, json.dumps(document, ensure_ascii=False, indent=1) + "\n")


def check_output(path: Path) -> None:
    """See that a file can be written at ``path``: its folder, permissions and room on the disk.

    Raises:
        DataError: it cannot; the line says why.
    """
    if path.is_dir() or not path.name:
        raise DataError("is a folder; give the name of a file to write", path)
    if path.exists() and not path.is_file():
        raise DataError("is not an ordinary file; give the name of a file to write", path)
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise DataError(
            f"cannot be written ({error.strerror or error}); choose another file", path
        ) from error
    if free < ROOM:
        raise DataError(
            f"only {free / 2**20:.1f} MiB are left on the disk, and {ROOM // 2**20} MiB are wanted "
            "to be safe; make room or choose another disk",
            path,
        )
