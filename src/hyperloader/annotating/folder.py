"""The folder that is written: what was asked for, what is done, and at the end a manifest.

While a run goes on, ``.work`` holds its plan and a record for each finished shard, written when
the output has its name. A stopped run takes the plan from there, and does what has no record.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hyperloader.annotating.shards import Shard
from hyperloader.annotating.work import Done
from hyperloader.errors import TargetError
from hyperloader.store import LOCK, MANIFEST, read_json, write_text

ERRORS = "errors.jsonl"
KIND = "annotations"
_WORK, _PLAN = ".work", "plan.json"
_LARGEST = 1 << 30  # bytes of a plan: a terabyte of short lines has fewer


class Annotations:
    """The folder ``path``.

    ``asked`` says what makes two runs the same: tagger, settings, inputs.

    Raises:
        TargetError: it holds something else, or a run that asked for something else.
    """

    def __init__(self, path: Path, asked: Mapping[str, Any]) -> None:
        self.path, self.asked = path, json.loads(json.dumps(asked))
        self.aside = path / _WORK / "aside"
        self._records = path / _WORK / "done"
        before = self._before()
        if before is not None:
            self._check_same(before)

    def _before(self) -> dict[str, Any] | None:
        """What an earlier run asked for; None: there was none."""
        if not self.path.exists():
            return None
        if not self.path.is_dir():
            raise TargetError(f"{self.path} is a file; name a folder for --out")
        for place in (self.path / MANIFEST, self.path / _WORK / _PLAN):
            if place.exists():
                about = read_json(place, _LARGEST)
                if about.get("kind") == KIND:
                    return dict(about["asked"])
        if any(p.name not in (LOCK, _WORK) for p in self.path.iterdir()):
            raise TargetError(
                f"{self.path} holds other files and no annotations, so it is left as it is; "
                "choose a new folder"
            )
        return None

    def _check_same(self, before: dict[str, Any]) -> None:
        for name in self.asked.keys() | before.keys():
            if self.asked.get(name) != before.get(name):
                was, now = (str(about.get(name))[:80] for about in (before, self.asked))
                raise TargetError(
                    f"{self.path} holds annotations of another run ({name} was {was}, now it is "
                    f"{now}); give the same command to go on, or choose a new folder"
                )

    @property
    def finished(self) -> dict[str, Any] | None:
        """The manifest, once all is done."""
        place = self.path / MANIFEST
        return read_json(place, _LARGEST) if place.exists() else None

    def plan(self) -> list[Shard] | None:
        """The shards that an earlier run has planned."""
        place = self.path / _WORK / _PLAN
        if not place.exists():
            return None
        return [Shard.of(about) for about in read_json(place, _LARGEST)["shards"]]

    def keep_plan(self, shards: Iterable[Shard]) -> None:
        """Store what is to be done."""
        about = {
            "kind": KIND, "asked": self.asked, "shards": [shard.to_dict() for shard in shards]
        }  # fmt: skip
        write_text(self.path / _WORK / _PLAN, json.dumps(about))

    def done(self) -> dict[int, Done]:
        """The shards that are finished, whose output is there."""
        found = {}
        for place in self._records.glob("*.json"):
            each = Done.of(read_json(place, _LARGEST))
            if (self.path / each.output).exists():
                found[each.number] = each
        return found

    def keep(self, done: Done) -> None:
        """Store that a shard is finished."""
        write_text(self._records / f"{done.number:05d}.json", json.dumps(done.to_dict()))

    def finish(self, shards: list[Shard], done: Mapping[int, Done], about: Any) -> dict[str, Any]:
        """Write the errors and the manifest, and remove ``.work``."""
        bad = [
            {"file": shard.path, "line": line, "error": reason}
            for shard in shards
            for line, reason in done[shard.number].bad
        ]
        if bad:
            lines = (json.dumps(each, ensure_ascii=False) + "\n" for each in bad)
            write_text(self.path / ERRORS, "".join(lines))
        outputs = [
            {
                "output": each.output,
                "sha256": each.sha256,
                "rows": each.rows,
                "spans": each.spans,
                "of": {"file": shard.path, "line": shard.line, "errors": len(each.bad)},
            }
            for shard in shards
            for each in [done[shard.number]]
        ]
        manifest = {
            "kind": KIND,
            "asked": self.asked,
            "rows": sum(each.rows for each in done.values()),
            "spans": sum(each.spans for each in done.values()),
            "errors": len(bad),
            **about,
            "outputs": outputs,
        }
        write_text(self.path / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        shutil.rmtree(self.path / _WORK)
        return manifest
