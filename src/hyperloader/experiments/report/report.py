"""The report of a folder of results: Markdown, LaTeX, CSV and figures."""

import csv
import io
from pathlib import Path

from hyperloader.errors import DataError
from hyperloader.experiments.analyse.comparison import Comparison
from hyperloader.experiments.analyse.curves import FLAT, equal_time_table, learning_lines
from hyperloader.experiments.analyse.sentences import Gold, gold_spans, read_sentences
from hyperloader.experiments.analyse.study import Study
from hyperloader.experiments.plan.grid import run_name
from hyperloader.experiments.report.content import (
    MISSING,
    cost_table,
    difference_table,
    f1_table,
    paper_table,
    share,
    systems_table,
)
from hyperloader.experiments.report.difference_figure import plot_differences
from hyperloader.experiments.report.figures import (
    figure_paths,
    plot_curves,
    plot_parameters,
    plot_sizes,
)
from hyperloader.experiments.report.tables import TextTable, latex, markdown
from hyperloader.experiments.run.results import GOLD, Grid, Results
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


def write_report(results: Results, out: Path, data: Path | None = None) -> list[Path]:
    """Write report.md, report.tex, report.csv and the figures into ``out``; return the paths.

    What has no result is shown as missing. ``data`` is the folder of the corpora: it gives the
    gold spans where the folder of results does not hold them; without them nothing is tested
    for significance, and the report says so.

    Raises:
        ConfigError: no experiment in the folder.
        DataError: not one run is finished, or ``data`` holds other corpora.
        HyperloaderError: matplotlib is not installed (the rest is written).
    """
    study = Study.of(results)
    missing = study.without_result()
    if len(missing) == len(study.records):
        raise DataError(
            "no run is finished yet; make some with hyperloader experiment run", results.path
        )
    sentences = None if data is None else read_sentences(study.about, data)
    gold = gold_spans(study, sentences)
    tables = _tables(study, gold)
    paths = [out / f"report.{kind}" for kind in ("md", "tex", "csv")]
    write_text(paths[0], _markdown(study, tables, missing, tested=gold is not None))
    write_text(paths[1], "\n".join(map(latex, tables)))
    write_text(paths[2], _csv(study))
    for name, (_, plot) in FIGURES.items():
        plot(figures := figure_paths(out, name), study)
        paths += figures
    return paths


def _tables(study: Study, gold: Gold | None) -> list[TextTable]:
    comparison = Comparison(study, gold)
    tables = []
    for fraction in study.reached:
        tables += [f1_table(study, comparison, fraction), cost_table(study, fraction)]
        if len(study.systems(fraction)) > 1:
            tables.append(difference_table(study, comparison, fraction))
        if (published := paper_table(study, fraction)) is not None:
            tables.append(published)
        if (in_time := equal_time_table(study, fraction)) is not None:
            tables.append(in_time)
    return [*tables, systems_table(study)]


def _markdown(
    study: Study, tables: list[TextTable], missing: dict[str, str], *, tested: bool
) -> str:
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
        lines += [f"- {line}" for line in _absent(study, missing)]
        lines.append("")
    if not tested:
        lines += [
            f"No significance is tested: {GOLD} is not in the folder; give the corpora by --data.",
            "",
        ]
    body = "\n".join(markdown(table) for table in tables)
    pictures = "\n".join(
        f"![{caption}]({figure_paths(Path(), name)[0]})\n" for name, (caption, _) in FIGURES.items()
    )
    return "\n".join([*lines, body, *_learning(study), pictures])


def _absent(study: Study, missing: dict[str, str]) -> list[str]:
    """The runs without a result: those that failed by name, the others counted."""
    lines = [f"{name}: {reason}" for name, reason in missing.items() if reason != MISSING]
    for fraction in study.fractions:
        for system in study.systems(fraction):
            runs = [run_name(*k) for k in study.records if k[:2] == (system, fraction)]
            absent = [name for name in runs if missing.get(name) == MISSING]
            if absent:
                names = f" ({', '.join(absent)})" if len(absent) < len(runs) else ""
                lines.append(
                    f"{system}, {share(fraction)}: {len(absent)} of {len(runs)} missing{names}"
                )
    return lines


def _learning(study: Study) -> list[str]:
    """Which systems are still learning, for each share of the data with a curve."""
    lines = []
    for fraction in study.reached:
        if told := learning_lines(study, fraction):
            lines += [
                f"Validation F1 with {share(fraction)} of the data; a change below {FLAT} is flat. "
                "Where the learning rate falls to zero every curve flattens towards its end.",
                "",
                *(f"- {line}" for line in told),
                "",
            ]
    return lines


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
