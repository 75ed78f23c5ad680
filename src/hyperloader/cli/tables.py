"""Tables that more than one command prints."""

from typing import Any

from rich.table import Table


def score_table(document: dict[str, Any]) -> Table:
    """One row a task and the average, from what ``evaluate --json`` prints."""
    table = Table(box=None, header_style="bold")
    table.add_column("task")
    reference = document["scoring"] == "reference"
    columns = (
        ["sentences", "F1"] if reference else ["sentences", "spans", "P", "R", "F1", "strict F1"]
    )
    errors = [s["calibration"]["ece"] for s in document["tasks"].values() if "calibration" in s]
    if errors:
        columns.append("ECE")
    for column in columns:
        table.add_column(column, justify="right")
    for name, score in document["tasks"].items():
        count = f"{score['sentences']:,}"
        if reference:
            table.add_row(name, count, f"{score['reference']['f1']:.4f}")
            continue
        default = score["default"]
        numbers = [f"{default[k]:.4f}" for k in ("precision", "recall", "f1")]
        numbers.append(f"{score['strict']['f1']:.4f}")
        if errors:
            numbers.append(f"{score['calibration']['ece']:.4f}")
        table.add_row(name, count, f"{default['support']:,}", *numbers)
    mean = document["average"]
    if reference:
        table.add_row("[bold]average", "", f"[bold]{mean['reference']['f1']:.4f}")
    else:
        numbers = [f"{mean['default'][k]:.4f}" for k in ("precision", "recall", "f1")]
        numbers.append(f"{mean['strict']['f1']:.4f}")
        if errors:
            numbers.append(f"{sum(errors) / len(errors):.4f}")
        table.add_row("[bold]average", "", "", *(f"[bold]{n}" for n in numbers))
    return table
