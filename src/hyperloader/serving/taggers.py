"""The taggers of a service, by name."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperloader.builtin import examples, is_bundled, tagger_name
from hyperloader.errors import ConfigError, HyperloaderError, unknown
from hyperloader.registry import Registry
from hyperloader.serving.refusals import Refused
from hyperloader.tagger import Tagger

_NAME = re.compile(r"[\w.-]{1,100}")


@dataclass(frozen=True, slots=True)
class Served:
    """A tagger with its name, and a sentence for those of its tasks that have one."""

    name: str
    tagger: Tagger
    examples: dict[str, str]

    def tasks(self) -> list[dict[str, Any]]:
        """What it can be asked for."""
        found = []
        for task in self.tagger.tasks:
            with suppress(HyperloaderError):  # taken away meanwhile
                labels = list(self.tagger.labels(task))
                examples = [self.examples[task]] if task in self.examples else []
                entry = {"model": self.name, "task": task, "labels": labels, "examples": examples}
                found.append(entry)
        return found


def load(given: str, device: str | None = None, precision: str = "float32") -> Served:
    """The tagger ``PATH`` or ``NAME=PATH``, with one text tagged: the first one takes longer.

    Raises:
        CheckpointError, ConfigError: as :meth:`Tagger.from_pretrained`, and a name that is none.
    """
    name, named, path = given.partition("=")  # paths may have more of these, names have none
    name, path = (name, tagger_name(path)) if named else ("", tagger_name(given))
    name = name or Path(path).resolve().name if not is_bundled(path) else name or path
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be a tagger's name; give another one of letters, digits, '.', '-' "
            "and '_', as NAME=PATH"
        )
    tagger = Tagger.from_pretrained(path, device, precision=precision)
    tagger.tag("one two three", tagger.tasks[0])
    return Served(name, tagger, examples() if is_bundled(path) else {})


class Taggers(Registry[Served]):
    """The taggers in the order in which they were named; the first that fits is the default."""

    def __init__(self, entries: Iterable[Served] = ()) -> None:
        super().__init__("model", entries)

    def chosen(self, model: str | None, tasks: Sequence[str | None]) -> Served:
        """The tagger called ``model``, or the first one that knows all ``tasks``.

        Raises:
            Refused: there is none. The message lists what there is.
        """
        if model is not None:
            if model not in self:
                raise Refused(422, "unknown_model", unknown("model", model, self))
            found = self[model]
            _check(tasks, found.tagger.tasks)
            return found
        wanted = dict.fromkeys(tasks)
        for served in self.values():
            if all(_knows(served, task) for task in wanted):
                return served
        _check(tasks, tuple(dict.fromkeys(t for s in self.values() for t in s.tagger.tasks)))
        names = ", ".join(str(task) for task in wanted)
        raise Refused(422, "unknown_task", f"no one model knows all of these tasks: {names}")

    def take_out(self, name: str) -> Served:
        """Forget a tagger; what it was asked before is still answered.

        Raises:
            Refused: there is none of that name, or it is the last one.
        """
        if name not in self:
            raise Refused(404, "unknown_model", unknown("model", name, self))
        if len(self) == 1:
            raise Refused(409, "conflict", f"{name!r} is the only model; load another one first")
        return self.pop(name)


def _knows(served: Served, task: str | None) -> bool:
    tasks = served.tagger.tasks
    return len(tasks) == 1 if task is None else task in tasks


def _check(tasks: Iterable[str | None], known: Sequence[str]) -> None:
    """Raise Refused for a task that is not ``known``, or none where there are several."""
    for task in dict.fromkeys(tasks):
        if task is None and len(known) > 1:
            raise Refused(422, "unknown_task", f"give a task (one of: {', '.join(known)})")
        if task is not None and task not in known:
            raise Refused(422, "unknown_task", unknown("task", task, known))
