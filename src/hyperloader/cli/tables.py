"""Tables that more than one command prints, from what the commands give as JSON."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_MEASURES = {
    "strict": "boundaries and label",
    "exact": "boundaries, any label",
    "type": "label, any overlap",
    "partial": "any overlap, half for a part",
}
_COUNTS = {
    "correct": "COR",
    "incorrect": "INC",
    "partial": "PAR",
    "missed": "MIS",
    "spurious": "SPU",
}


def score_table(document: dict[str, Any]) -> Table:
    """One row per task and the average, from what ``evaluate --json`` prints."""
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
            table.add_row(escape(name), count, f"{score['reference']['f1']:.4f}")
            continue
        numbers = [*_prf(score["default"]), f"{score['strict']['f1']:.4f}"]
        if errors:
            numbers.append(f"{score['calibration']['ece']:.4f}")
        table.add_row(escape(name), count, f"{score['default']['support']:,}", *numbers)
    mean = document["average"]
    if reference:
        table.add_row("[bold]average", "", f"[bold]{mean['reference']['f1']:.4f}")
    else:
        numbers = [*_prf(mean["default"]), f"{mean['strict']['f1']:.4f}"]
        if errors:
            numbers.append(f"{sum(errors) / len(errors):.4f}")
        table.add_row("[bold]average", "", "", *(f"[bold]{n}" for n in numbers))
    return table


def raw_text_table(document: dict[str, Any]) -> Table:
    """One row per task and the average, from ``evaluate --scoring raw-text --json``."""
    table = Table(
        box=None,
        header_style="bold",
        caption=f"raw text is split by the rule {document['words']}; words found: of the files' "
        "words those that are words of the raw text too",
        caption_justify="left",
    )
    table.add_column("task")
    for column in ("sentences", "spans", "F1", "raw text F1", "difference", "words found"):
        table.add_column(column, justify="right")
    for name, score in document["tasks"].items():
        counts = (f"{score['sentences']:,}", f"{score['spans']:,}")
        table.add_row(escape(name), *counts, *_raw_text(score))
    table.add_row("[bold]average", "", "", *(f"[bold]{n}" for n in _raw_text(document["average"])))
    return table


def _raw_text(score: dict[str, Any]) -> list[str]:
    return [
        f"{score['tokens_f1']:.4f}",
        f"{score['raw_f1']:.4f}",
        f"{score['difference']:+.4f}",
        f"{score['words_found']:.2%}",
    ]


def print_tasks(console: Console, document: dict[str, Any], *, brief: bool) -> None:
    """What ``evaluate --json`` prints beyond a row per task: measures, labels and notes of each.

    ``brief``: the notes alone.
    """
    for name, score in document["tasks"].items():
        if "per_label" in score and not brief:
            console.print(f"\n[bold]{escape(name)}[/bold]")
            print_scores(console, score)
        for note in score.get("notes", ()):
            console.print(f"{name}: {note}", markup=False, soft_wrap=True)
    if found := document.get("calibration"):
        console.print(f"ECE of all {found['spans']:,} predicted spans: {found['ece']:.4f}")


def print_scores(console: Console, score: dict[str, Any]) -> None:
    """One task by every measure, then label by label."""
    console.print(measure_table(score))
    console.print("COR right, INC wrong, PAR partly right, MIS missed, SPU spurious", style="dim")
    console.print(label_table(score))


def measure_table(score: dict[str, Any]) -> Table:
    """What counts as right: seqeval's two modes, and the four measures with their counts."""
    table = Table(box=None, header_style="bold")
    table.add_column("right if")
    for column in ("P", "R", "F1", *_COUNTS.values()):
        table.add_column(column, justify="right")
    for mode in ("default", "strict"):
        table.add_row(f"seqeval, {mode}", *_prf(score[mode]))
    for measure, meaning in _MEASURES.items():
        found = score["overlap"][measure]
        table.add_row(meaning, *_prf(found), *(f"{found[name]:,}" for name in _COUNTS))
    return table


def label_table(score: dict[str, Any]) -> Table:
    """One row per label, the most frequent first, and the means over labels."""
    table = Table(box=None, header_style="bold")
    table.add_column("label", overflow="fold")
    for column in ("gold", "predicted", "P", "R", "F1"):
        table.add_column(column, justify="right")
    rows = sorted(score["per_label"].items(), key=lambda row: (-row[1]["support"], row[0]))
    for label, found in rows:
        counts = (f"{found['support']:,}", f"{found['predicted']:,}")
        table.add_row(escape(label), *counts, *_prf(found))
    for mean in ("macro", "weighted"):
        table.add_row(f"[bold]{mean} average", "", "", *_prf(score[mean]))
    return table


def _prf(found: dict[str, Any]) -> list[str]:
    return [f"{found[name]:.4f}" for name in ("precision", "recall", "f1")]
