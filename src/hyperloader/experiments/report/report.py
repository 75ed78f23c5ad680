"""The report of a folder of results: Markdown, LaTeX, CSV and figures."""

import csv
import io
from pathlib import Path

from hyperloader.errors import DataError
from hyperloader.experiments.analyse.comparison import Comparison
from hyperloader.experiments.analyse.curves import FLAT
from hyperloader.experiments.analyse.results import Results
from hyperloader.experiments.plan.grid import run_name
from hyperloader.experiments.report.content import (
    MISSING,
    cost_table,
    difference_table,
    equal_time_table,
    f1_table,
    learning_lines,
    paper_table,
    share,
    systems_table,
)
from hyperloader.experiments.report.figures import (
    figure_path,
    plot_curves,
    plot_differences,
    plot_parameters,
    plot_sizes,
)
from hyperloader.experiments.report.tables import TextTable, latex, markdown
from hyperloader.experiments.run.counts import COUNTS
from hyperloader.experiments.run.folder import GOLD, Design, ResultsFolder
from hyperloader.store import write_text

FIGURES = {
    "figure": ("Average F1 and trained parameters", plot_parameters),
    "differences": ("Each system against the first", plot_differences),
    "sizes": ("F1 and training sentences", plot_sizes),
    "curves": ("Validation F1 and steps", plot_curves),
}
COLUMNS = (
    *("system", "fraction", "seed", "corpus", "status", "sentences"),
    *("f1", "precision", "recall", "strict_f1", "strict_precision", "strict_recall"),
    *("trainable", "total", "steps", "best_step", "sentences_seen"),
    *("training_seconds", "wall_seconds"),
)


def write_report(folder: ResultsFolder, out: Path) -> list[Path]:
    """Write report.md, report.tex, report.csv and the figures into ``out``; return the paths.

    What has no result is shown as missing. Where the folder holds neither counts nor the gold spans
    to count by, nothing is tested for significance, and the report says so.

    Raises:
        ConfigError: no experiment in the folder.
        DataError: not one run is finished.
        HyperloaderError: scipy is not installed, or matplotlib (then the rest is written).
    """
    results = Results.of(folder)
    missing = results.without_result()
    if len(missing) == len(results.records):
        raise DataError(
            "no run is finished yet; make some with hyperloader experiment run", folder.path
        )
    comparison = Comparison(results)
    tables = _tables(results, comparison)
    paths = [out / f"report.{kind}" for kind in ("md", "tex", "csv")]
    write_text(paths[0], _markdown(results, tables, missing, tested=bool(comparison.counts)))
    write_text(paths[1], "\n".join(map(latex, tables)))
    write_text(paths[2], _csv(results))
    for name, (_, plot) in FIGURES.items():
        paths.append(figure_path(out, name))
        plot(paths[-1], results)
    return paths


def _tables(results: Results, comparison: Comparison) -> list[TextTable]:
    tables = []
    for fraction in results.reached:
        tables += [f1_table(results, comparison, fraction), cost_table(results, fraction)]
        if len(results.systems(fraction)) > 1:
            tables.append(difference_table(results, comparison, fraction))
        if (published := paper_table(results, fraction)) is not None:
            tables.append(published)
        if (in_time := equal_time_table(results, fraction)) is not None:
            tables.append(in_time)
    return [*tables, systems_table(results)]


def _markdown(
    results: Results, tables: list[TextTable], missing: dict[str, str], *, tested: bool
) -> str:
    metadata = results.metadata
    settings = ", ".join(f"{key}={value}" for key, value in metadata.base.items())
    lines = [
        f"# Results of {', '.join(metadata.experiments)}",
        "",
        f"- data: {metadata.data} ({', '.join(metadata.corpora)})",
        f"- recipe of all systems: {metadata.recipe} with the budget {metadata.budget} "
        f"({settings})",
        *(f"- {name}: {_design(design)}" for name, design in metadata.experiments.items()),
        f"- runs: {len(results.records) - len(missing)} of {len(results.records)} finished",
        *(f"- made with: {line}" for line in _environments(results)),
    ]
    lines.append("")
    if missing:
        lines += ["Without a result:", ""]
        lines += [f"- {line}" for line in _absent(results, missing)]
        lines.append("")
    if not tested:
        lines += [
            f"No significance is tested: the folder holds neither {COUNTS} nor {GOLD}.",
            "",
        ]
    body = "\n".join(markdown(table) for table in tables)
    pictures = "\n".join(
        f"![{caption}]({figure_path(Path(), name)})\n" for name, (caption, _) in FIGURES.items()
    )
    return "\n".join([*lines, body, *_learning(results), pictures])


def _absent(results: Results, missing: dict[str, str]) -> list[str]:
    """The runs without a result: those that failed by name, the others counted."""
    lines = [f"{name}: {reason}" for name, reason in missing.items() if reason != MISSING]
    for fraction in results.fractions:
        for system in results.systems(fraction):
            runs = [run_name(*k) for k in results.records if k[:2] == (system, fraction)]
            absent = [name for name in runs if missing.get(name) == MISSING]
            if absent:
                names = f" ({', '.join(absent)})" if len(absent) < len(runs) else ""
                lines.append(
                    f"{system}, {share(fraction)}: {len(absent)} of {len(runs)} missing{names}"
                )
    return lines


def _learning(results: Results) -> list[str]:
    """Which systems are still learning, for each share of the data with a curve."""
    lines = []
    for fraction in results.reached:
        if told := learning_lines(results, fraction):
            lines += [
                f"Validation F1 with {share(fraction)} of the data; a change below {FLAT} is flat. "
                "Where the learning rate falls to zero every curve flattens towards its end.",
                "",
                *(f"- {line}" for line in told),
                "",
            ]
    return lines


def _design(design: Design) -> str:
    shares, seeds = ", ".join(map(share, design.fractions)), ", ".join(map(str, design.seeds))
    return f"{len(design.systems)} systems, {shares} of the data, seeds {seeds}"


def _environments(results: Results) -> list[str]:
    """Every different environment that runs were made in."""
    found = {
        ", ".join(f"{key} {value}" for key, value in record.environment.items()): None
        for record in results.records.values()
        if record is not None and record.result is not None
    }
    return list(found)


def _csv(results: Results) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for (system, fraction, seed, task), record in results.records.items():
        for corpus in [task] if task else results.tasks:
            row = {"system": system, "fraction": fraction, "seed": seed, "corpus": corpus}
            if record is None or record.result is None:
                status = "missing" if record is None else record.status
                writer.writerow({**row, "status": status})
                continue
            result, score = record.result, record.result.scores[corpus]
            modes = {"": score.default, "strict_": score.strict}
            scores = {
                f"{prefix}{key}": getattr(mode, key)
                for prefix, mode in modes.items()
                for key in ("f1", "precision", "recall")
            }
            rest = {key: getattr(result, key) for key in COLUMNS[12:]}
            writer.writerow(
                {**row, "status": record.status, "sentences": score.sentences, **scores, **rest}
            )
    return file.getvalue()
