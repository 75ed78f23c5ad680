"""The fault campaign: what must hold whatever happens, tried many times. Run: make faults

Each family prints how often something was tried and how often it held, and every case that did
not. ``--scale`` makes all families smaller or larger, ``--seed`` draws other cases.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import damage
import killed
import lines
import resources
import texts
import torch

from training_helpers import cli, settings, write_data

torch.set_num_threads(1)


@dataclass
class World:
    """What the families work on: a run with its data, and an export of it."""

    folder: Path
    scale: float
    seed: int
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def count(self, number: int) -> int:
        """``number`` at this scale, at least 2."""
        return max(2, round(number * self.scale))

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def export(self) -> Path:
        return self.folder / "export"

    def room(self, name: str) -> Path:
        """A new folder for one case."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))


Case = tuple[str, str | None]  # what was tried, and what went wrong if anything did
Family = Callable[[World], Iterator[Case]]
FAMILIES: dict[str, Family] = {
    **damage.FAMILIES,
    **lines.FAMILIES,
    **texts.FAMILIES,
    **resources.FAMILIES,
    **killed.FAMILIES,
}


def build(folder: Path, scale: float = 1.0, seed: int = 0) -> World:
    """A world in an empty ``folder``."""
    world = World(folder, scale, seed)
    write_data(world.data)
    for arguments in (
        ("train", "--data", world.data, "--out", world.run, *settings()),
        ("export", world.run, world.export),
    ):
        done = cli(*arguments)
        if done.code:
            raise RuntimeError(done.err)
    return world


def tried(family: str, world: World, tell: Callable[[str], None] = print) -> tuple[int, list[str]]:
    """How often a family was tried, and the cases that did not hold."""
    world.rng = random.Random(f"{world.seed} {family}")
    number, wrong = 0, []
    for case, problem in FAMILIES[family](world):
        number += 1
        if problem is not None:
            wrong.append(f"{case}: {problem}")
            tell(f"    NOT HELD {family}: {wrong[-1]}")
    return number, wrong


def main() -> None:
    """Run the families that are asked for; exit with 1 if any case did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", action="append", choices=FAMILIES, help="only this one")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    figures, failed = {}, False
    with tempfile.TemporaryDirectory(prefix="hyperloader-faults-") as folder:
        world = build(Path(folder), options.scale, options.seed)
        for family in options.family or FAMILIES:
            started = time.monotonic()
            number, wrong = tried(family, world)
            seconds = round(time.monotonic() - started)
            figures[family] = {"tried": number, "held": number - len(wrong), "seconds": seconds}
            print(f"{family}: tried {number}, held {number - len(wrong)} ({seconds} s)", flush=True)
            failed |= bool(wrong)
    if options.json:
        options.json.write_text(json.dumps({"seed": options.seed, "families": figures}, indent=1))
    sys.exit(failed)


if __name__ == "__main__":
    main()
