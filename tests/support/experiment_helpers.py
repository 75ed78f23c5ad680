"""A small experiment on the sample corpora, for the tests of experiments."""

from pathlib import Path
from typing import Any

import yaml

from training_helpers import Outcome, cli, write_data

# A model this small writes few spans after so few steps, some thanks to a high rate and no dropout;
# what counts here is how it is run.
TINY: dict[str, Any] = {
    "recipe": "scratch",
    "set": {
        "backbone": "scratch:tiny",
        "vocab_size": 400,
        "dropout": 0.0,
        "training": {"steps": 4, "batch_size": 8, "learning_rate": 3e-3, "warmup_steps": 0},
        "validation.every": 2,
    },
    "systems": {
        "hyperloader": {},
        "lora": {"model.method": "lora", "tasks": "apart"},
    },
    "fractions": [0.5],
    "seeds": [1],
}


def write_experiment(folder: Path, name: str = "tiny", **changes: Any) -> Path:
    """The experiment as a file, with top-level keys replaced."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**TINY, **changes}, sort_keys=False))
    return path


def start(folder: Path, *options: object, name: str = "tiny", **changes: Any) -> Outcome:
    """Run the experiment into ``folder``/out on data in ``folder``/data."""
    return cli("experiment", "run", *arguments(folder, *options, name=name, **changes))


def arguments(folder: Path, *options: object, name: str = "tiny", **changes: Any) -> list[object]:
    """What comes after ``experiment run``."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data").exists():
        write_data(folder / "data")
    file = write_experiment(folder, name, **changes)
    return [file, "--data", folder / "data", "--out", folder / "out", *options]
