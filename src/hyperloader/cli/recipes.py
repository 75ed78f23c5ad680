"""``hyperloader recipes``: what the recipes that come with the package set."""

from importlib.resources import files
from itertools import takewhile
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from hyperloader.config import (
    DataSection,
    Recipe,
    TrainingSection,
    ValidationSection,
    recipe_names,
)
from hyperloader.errors import ConfigError, unknown


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe's file.")] = None,
    keys: Annotated[bool, typer.Option("--keys", help="List every key that --set takes.")] = False,
) -> None:
    """List the recipes, print one, or list every key that a recipe can set.

    A recipe is a YAML file that says all about a training run. To write your own, print one into a
    file, change it, and give the file to --recipe; for a few keys --set is enough.

    Examples:

      hyperloader recipes

      hyperloader recipes reference > mine.yaml

      hyperloader recipes --keys
    """
    console = Console()
    if keys:
        _print_keys(console)
        return
    if name is None:
        for each in recipe_names():
            console.print(f"[bold]{each}[/bold]")
            console.print(Padding(_about(each), (0, 0, 1, 4)))
        console.print("Print one with: hyperloader recipes NAME; all keys with: --keys")
        return
    if name not in recipe_names():
        raise ConfigError(unknown("recipe", name, recipe_names()))
    typer.echo((files("hyperloader") / "recipes" / f"{name}.yaml").read_text(), nl=False)


def _about(name: str) -> str:
    """The comment that a recipe's file begins with."""
    lines = (files("hyperloader") / "recipes" / f"{name}.yaml").read_text().splitlines()
    return " ".join(line.removeprefix("# ") for line in takewhile(_is_comment, lines))


def _is_comment(line: str) -> bool:
    return line.startswith("#")


def _print_keys(console: Console) -> None:
    from hyperloader.modeling.config import ModelConfig
    from hyperloader.outputs.sentt.codec import CodecConfig

    table = Table(box=None, header_style="bold")
    table.add_column("key", no_wrap=True)
    table.add_column("default", overflow="fold")
    table.add_column("meaning", overflow="fold")
    sections: dict[str, type[BaseModel]] = {
        "": Recipe,
        "data.": DataSection,
        "training.": TrainingSection,
        "validation.": ValidationSection,
        "model.": ModelConfig,
        "codec.": CodecConfig,
    }
    for prefix, kind in sections.items():
        for key, field in kind.model_fields.items():
            if f"{prefix}{key}." in sections or f"{prefix}{key}" == "model.tasks":
                continue
            table.add_row(prefix + key, str(field.default), field.description or "")
    console.print(table)
