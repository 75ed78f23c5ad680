"""A table once, written as Markdown and as LaTeX."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, perhaps in bold."""

    text: str
    bold: bool = False


@dataclass(frozen=True, slots=True)
class TextTable:
    """A caption, the names of the columns, and rows; ``rules`` are rows with a line above them."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    rules: Sequence[int] = ()


def cells(*texts: str) -> list[Cell]:
    """A row without bold."""
    return [Cell(text) for text in texts]


def markdown(table: TextTable) -> str:
    """The table for Markdown, its caption above it."""
    marks = ["---"] + ["---:"] * (len(table.header) - 1)
    rows = [[f"**{c.text}**" if c.bold else c.text for c in row] for row in table.rows]
    lines = ["| " + " | ".join(map(_plain, row)) + " |" for row in [list(table.header), *rows]]
    lines.insert(1, "|" + "|".join(marks) + "|")
    return f"{table.caption}\n\n" + "\n".join(lines) + "\n"


def latex(table: TextTable) -> str:
    """The table for LaTeX with the package booktabs."""
    rows = [
        (r"\midrule" + "\n" if i in table.rules else "")
        + " & ".join(rf"\textbf{{{_escape(c.text)}}}" if c.bold else _escape(c.text) for c in row)
        + r" \\"
        for i, row in enumerate(table.rows)
    ]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
            r"\toprule",
            " & ".join(map(_escape, table.header)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{_escape(table.caption)}}}",
            r"\end{table}",
            "",
        ]
    )


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


_LATEX = {
    **{mark: rf"\{mark}" for mark in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": r"$<$",
    ">": r"$>$",
    "♣": r"$\clubsuit$",
    "−": r"$-$",
}


def _escape(text: str) -> str:
    return re.sub(".", lambda match: _LATEX.get(match[0], match[0]), " ".join(text.split()))
