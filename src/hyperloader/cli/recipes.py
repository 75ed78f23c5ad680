"""``hyperloader recipes``: what the recipes that come with the package set."""

from importlib.resources import files
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from hyperloader.config import (
    DataSection,
    Recipe,
    TrainingSection,
    ValidationSection,
    load_recipe,
    recipe_names,
)


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe's file.")] = None,
    keys: Annotated[bool, typer.Option("--keys", help="List every key that --set takes.")] = False,
) -> None:
    """List the recipes, print one, or list every key that a recipe can set.

    Example: hyperloader recipes reference
    """
    console = Console()
    if keys:
        _print_keys(console)
        return
    if name is None:
        for each in recipe_names():
            first = (files("hyperloader") / "recipes" / f"{each}.yaml").read_text().splitlines()[0]
            console.print(f"[bold]{each}[/bold]  {first.removeprefix('# ')}")
        console.print("Print one with: hyperloader recipes NAME; all keys with: --keys")
        return
    load_recipe(name)
    typer.echo((files("hyperloader") / "recipes" / f"{name}.yaml").read_text(), nl=False)


def _print_keys(console: Console) -> None:
    from hyperloader.codec.sentt import CodecConfig
    from hyperloader.modeling.config import ModelConfig

    table = Table(box=None, header_style="bold")
    for column in ("key", "default", "meaning"):
        table.add_column(column, overflow="fold")
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
