"""``hyperloader verify``: compare the models with vectors of the published implementations."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from hyperloader.reproduction.golden import GoldenResult

_OUTCOMES = {
    "pass": "[green]pass[/green]",
    "fail": "[bold red]FAIL[/bold red]",
    "missing": "no such method here yet",
}


def verify(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Files golden_*.safetensors, or their folder."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print all differences as JSON.")] = False,
) -> None:
    """Recompute what the published implementations computed and show the largest differences.

    Differences of logits, loss and generated weights are absolute, those of gradients relative to
    the largest entry of the same tensor. What a file does not hold is shown as -; for BERT the last
    hidden states are compared in place of logits. The exit code is 0 if at least one file was
    compared and all that were are within the tolerance, 1 otherwise. A file of a method that does
    not exist here is named and has no effect on the exit code.

    Examples:

      hyperloader verify golden/

      hyperloader verify golden/golden_hyperloader.safetensors --json
    """
    from hyperloader.reproduction.golden import TOLERANCES, find_golden_files, verify_file

    results = [verify_file(path) for path in find_golden_files(paths)]
    compared = [result for result in results if result.differences is not None]
    passed = bool(compared) and all(result.passed for result in compared)
    if as_json:
        document = {
            "passed": passed,
            "tolerances": TOLERANCES,
            "files": [_as_json(result) for result in results],
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        console = Console()
        console.print(_table(results, TOLERANCES))
        if not compared:
            console.print("nothing was compared: none of these methods exists here yet")
    if not passed:
        raise typer.Exit(1)


def _outcome(result: "GoldenResult") -> str:
    if result.differences is None:
        return "missing"
    return "pass" if result.passed else "fail"


def _as_json(result: "GoldenResult") -> dict[str, Any]:
    """JSON has no infinity: a difference that is not a number is null."""
    document: dict[str, Any] = {
        "file": result.file,
        "method": result.method,
        "outcome": _outcome(result),
        "differences": None,
    }
    if result.differences is not None:
        document["differences"] = {
            kind: worst if math.isfinite(worst) else None
            for kind, worst in result.differences.items()
        }
    return document


def _table(results: list["GoldenResult"], tolerances: dict[str, float]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("method", overflow="fold")
    for kind in tolerances:
        table.add_column(kind, justify="right", no_wrap=True)
    table.add_column("outcome")
    for result in results:
        found = result.differences or {}
        cells = [
            _number(found[kind], tolerance) if kind in found else "-"
            for kind, tolerance in tolerances.items()
        ]
        table.add_row(escape(result.method), *cells, _OUTCOMES[_outcome(result)])
    limits = [f"{tolerance:.0e}" for tolerance in tolerances.values()]
    table.add_row("tolerance", *limits, "", style="dim")
    return table


def _number(worst: float, tolerance: float) -> str:
    text = f"{worst:.1e}"
    return text if worst <= tolerance else f"[bold red]{text}[/bold red]"
