"""Tables of a folder of results in a README, each between two comments that name the folder."""

import re
from dataclasses import dataclass
from pathlib import Path

from hyperloader.errors import DataError
from hyperloader.experiments.analyse.results import Results, Summary
from hyperloader.experiments.report.content import (
    APART_MEANS,
    MISSING,
    f1_text,
    seed_by_seed,
    share,
    title,
)
from hyperloader.experiments.report.tables import TextTable, cells, markdown
from hyperloader.experiments.run.folder import ResultsFolder
from hyperloader.store import write_text

END = "<!-- end of results -->"
_START = re.compile(r"<!-- (results|differences): (\S+) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two markers: ``table`` and ``folder`` as the first names them,
    ``lines[start:end]``."""

    table: str
    folder: str
    start: int
    end: int


def find_blocks(path: Path, text: str) -> list[Block]:
    """The blocks of a README's ``text``.

    Raises:
        DataError: a marker without its other half, with the line.
    """
    blocks: list[Block] = []
    begun: tuple[str, str, int] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        match = _START.fullmatch(line.strip())
        if match and begun:
            raise DataError(f"{begun[1]} has no {END} before the next block", path, begun[2])
        if match:
            begun = match[1], match[2], number
        elif line.strip() == END:
            if begun is None:
                raise DataError(f"{END} has no <!-- results: FOLDER --> before it", path, number)
            blocks.append(Block(*begun, number - 1))
            begun = None
    if begun:
        raise DataError(f"{begun[1]} has no {END} after it; add that line", path, begun[2])
    return blocks


def update_readme(path: Path, folder: ResultsFolder) -> None:
    """Write the tables of ``folder`` between their markers; the rest of the file is kept.

    The markers stand on lines of their own, the first is ``<!-- results: FOLDER -->`` for
    :func:`results_table` or ``<!-- differences: FOLDER -->`` for :func:`differences_table`, with
    the folder as seen from the README. The file is written whole or not at all.

    Raises:
        ConfigError: no experiment in the folder.
        DataError: the README cannot be read, or has no markers for the folder.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the README cannot be read ({error}); give a text file", path) from error
    wanted = folder.path.resolve()
    blocks = [b for b in find_blocks(path, text) if (path.parent / b.folder).resolve() == wanted]
    if not blocks:
        raise DataError(
            f"no place for the table of {folder.path}: put the lines <!-- results: "
            f"{_from(path, wanted)} --> and {END} where it is to stand",
            path,
        )
    results, lines = Results.of(folder), text.split("\n")
    for block in reversed(blocks):
        lines[block.start : block.end] = readme_table(block.table, results).split("\n")
    write_text(path, "\n".join(lines))


def readme_table(name: str, results: Results) -> str:
    """What stands between the markers of the table ``name``."""
    table = results_table(results) if name == "results" else differences_table(results)
    return f"\n{markdown(table)}"


def results_table(results: Results) -> TextTable:
    """A row for each system: average F1 and seconds for each share, and trained parameters."""
    several = any(results.apart(system) for system in results.systems())
    header = ["system", "trained parameters"]
    for fraction in results.reached:
        header += [f"F1, {share(fraction)}", f"seconds, {share(fraction)}"]
    rows = []
    for system in results.systems():
        row = [title(results, system), _parameters(results, system)]
        for fraction in results.reached:
            spent = Summary.of(results.training_seconds(system, fraction))
            f1 = f1_text(results, system, fraction, results.average(system, fraction))
            row += [f1, f"{spent.mean:,.0f}" if spent else ""]
        rows.append(cells(*row))
    apart = f"{APART_MEANS} Parameters are those of one." if several else ""
    counts = {len(results.seeds(s, f)) for f in results.reached for s in results.systems(f)}
    seeds = " or ".join(map(str, sorted(counts)))
    caption = (
        f"F1 on the {results.metadata.score} part, averaged over {', '.join(results.tasks)}: mean "
        f"± standard deviation over {seeds} seeds, for each share of the training data. Seconds "
        f"are those of the training steps alone.{apart}"
    )
    return TextTable(caption, header, rows)


def differences_table(results: Results) -> TextTable:
    """The first system less each other one, over seeds, for each share."""
    first, *others = results.systems()
    header = [f"{first} less"]
    for fraction in results.reached:
        header += [share(fraction), "ahead", "p"]
    rows = []
    for other in others:
        row = [title(results, other)]
        for fraction in results.reached:
            if results.differences(first, other, fraction):
                value, ahead, _, p = seed_by_seed(results, first, other, fraction)
                row += [value, ahead, p]
            else:
                row += [f1_text(results, other, fraction, {}), "", ""]
        rows.append(cells(*row))
    caption = (
        f"Average F1 of {first} less that of each other system, for each share of the training "
        "data: mean ± standard deviation of the differences between the two runs of a seed, in "
        f"how many of them {first} is ahead, and p of a paired t test over the seeds."
    )
    return TextTable(caption, header, rows)


def _parameters(results: Results, system: str) -> str:
    known = (results.parameters(system, fraction) for fraction in results.reached)
    return next((f"{p.trainable:,.0f}" for p in known if p is not None), MISSING)


def _from(readme: Path, folder: Path) -> str:
    """``folder`` as a README names it: from its own folder where it lies below that."""
    here = readme.parent.resolve()
    return (folder.relative_to(here) if folder.is_relative_to(here) else folder).as_posix()
