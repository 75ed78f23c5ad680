"""The report of a folder of results: Markdown, LaTeX, CSV and a figure."""

import csv
import io
from pathlib import Path

from hyperloader.errors import DataError
from hyperloader.experiments.comparison import Comparison
from hyperloader.experiments.content import (
    difference_table,
    f1_table,
    paper_table,
    share,
    systems_table,
)
from hyperloader.experiments.figures import plot_parameters
from hyperloader.experiments.results import Grid, Results
from hyperloader.experiments.study import Study
from hyperloader.experiments.tables import TextTable, latex, markdown
from hyperloader.store import write_text

FIGURE = "figure.png"
COLUMNS = (
    *("system", "fraction", "seed", "corpus", "status", "sentences"),
    *("f1", "precision", "recall", "strict_f1", "strict_precision", "strict_recall"),
    *("trainable", "total", "steps", "best_step", "sentences_seen"),
    *("training_seconds", "wall_seconds"),
)


def write_report(results: Results, out: Path) -> list[Path]:
    """Write report.md, report.tex, report.csv and figure.png into ``out``; return the paths.

    What has no result is shown as missing.

    Raises:
        ConfigError: no experiment in the folder.
        DataError: not one run is finished.
        HyperloaderError: matplotlib is not installed (the rest is written).
    """
    study = Study.of(results)
    missing = study.without_result()
    if len(missing) == len(study.records):
        raise DataError(
            "no run is finished yet; make some with hyperloader experiment run", results.path
        )
    tables = _tables(study)
    paths = [out / f"report.{kind}" for kind in ("md", "tex", "csv")]
    write_text(paths[0], _markdown(study, tables, missing))
    write_text(paths[1], "\n".join(map(latex, tables)))
    write_text(paths[2], _csv(study))
    plot_parameters(out / FIGURE, study)
    return [*paths, out / FIGURE]


def _tables(study: Study) -> list[TextTable]:
    comparison = Comparison(study)
    tables = []
    for fraction in study.fractions:
        tables.append(f1_table(study, comparison, fraction))
        if len(study.systems(fraction)) > 1:
            tables.append(difference_table(study, comparison, fraction))
        if (published := paper_table(study, fraction)) is not None:
            tables.append(published)
    return [*tables, systems_table(study)]


def _markdown(study: Study, tables: list[TextTable], missing: dict[str, str]) -> str:
    about = study.about
    settings = ", ".join(f"{key}={value}" for key, value in about.base.items())
    lines = [
        f"# Results of {', '.join(about.experiments)}",
        "",
        f"- data: {about.data} ({', '.join(about.corpora)})",
        f"- recipe of all systems: {about.recipe} with the budget {about.budget} ({settings})",
        *(f"- {name}: {_grid(grid)}" for name, grid in about.experiments.items()),
        f"- runs: {len(study.records) - len(missing)} of {len(study.records)} finished",
        *(f"- made with: {line}" for line in _environments(study)),
    ]
    lines.append("")
    if missing:
        lines += ["Without a result:", ""]
        lines += [f"- {name}: {reason}" for name, reason in missing.items()]
        lines.append("")
    body = "\n".join(markdown(table) for table in tables)
    return "\n".join(lines) + f"\n{body}\n![Average F1 and trained parameters]({FIGURE})\n"


def _grid(grid: Grid) -> str:
    shares, seeds = ", ".join(map(share, grid.fractions)), ", ".join(map(str, grid.seeds))
    return f"{len(grid.systems)} systems, {shares} of the data, seeds {seeds}"


def _environments(study: Study) -> list[str]:
    """Every different environment that runs were made in."""
    found = {
        ", ".join(f"{key} {value}" for key, value in record.environment.items()): None
        for record in study.records.values()
        if record is not None and record.outcome is not None
    }
    return list(found)


def _csv(study: Study) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for (system, fraction, seed, task), record in study.records.items():
        for corpus in [task] if task else study.tasks:
            row = {"system": system, "fraction": fraction, "seed": seed, "corpus": corpus}
            if record is None or record.outcome is None:
                status = "missing" if record is None else record.status
                writer.writerow({**row, "status": status})
                continue
            outcome, score = record.outcome, record.outcome.scores[corpus]
            modes = {"": score.default, "strict_": score.strict}
            scores = {
                f"{prefix}{key}": getattr(mode, key)
                for prefix, mode in modes.items()
                for key in ("f1", "precision", "recall")
            }
            rest = {key: getattr(outcome, key) for key in COLUMNS[12:]}
            writer.writerow(
                {**row, "status": record.status, "sentences": score.sentences, **scores, **rest}
            )
    return file.getvalue()
