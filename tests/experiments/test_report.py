"""``hyperloader experiment report``, on records written by hand: every number is known."""

import csv
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest

from hyperloader.evaluation.metrics import score_task
from hyperloader.experiments.analyse.results import Results
from hyperloader.experiments.plan.grid import run_name
from hyperloader.experiments.plan.spec import System
from hyperloader.experiments.report.figures import plot_differences
from hyperloader.experiments.report.tables import Cell, TextTable, latex, markdown
from hyperloader.experiments.run.folder import (
    GOLD,
    METADATA,
    Design,
    Metadata,
    ResultsFolder,
    planned,
)
from hyperloader.experiments.run.record import (
    PREDICTIONS,
    Record,
    Result,
    TaskScore,
    write_record,
    write_spans,
)
from hyperloader.types import Span
from training_helpers import cli, refused

SENTENCES = 60
SEEDS = (1, 2, 3)
LEFT_OUT = ("hyperlora", 0.1, 3, "")
FAILED = ("hyperlora", 1.0, 2, "")
# How many of the sentences of (atis, snips) each system gets right, by seed.
SECONDS = {"hyperloader": 60.0, "hyperlora": 30.0, "unipelt-t5": 30.0}
RISE = {"hyperloader": 0.05, "hyperlora": 0.0001, "unipelt-t5": 0.02}
RIGHT = {
    "hyperloader": [(54, 50), (55, 51), (56, 52)],
    "hyperlora": [(20, 49), (21, 50), (22, 51)],
    "unipelt-t5": [(19, 20), (20, 21), (21, 22)],
}


def gold() -> list[tuple[Span, ...]]:
    return [(Span(0, 1, "a"),) for _ in range(SENTENCES)]


def predicted(right: int) -> list[tuple[Span, ...]]:
    return [(Span(0, 1, "a" if i < right else "b"),) for i in range(SENTENCES)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results with one run missing and one failed."""
    out = tmp_path_factory.mktemp("report") / "out"
    systems = {
        "hyperloader": System(),
        "hyperlora": System(set={"model.method": "hyperlora"}),
        "unipelt-t5": System(tasks="apart", set={"model.method": "unipelt-t5"}),
    }
    about = Metadata(
        data="corpora",
        corpora={"atis": "0", "snips": "0"},
        recipe="builtin",
        budget="full",
        base={},
        backbone=None,
        experiments={"mine": Design(systems=systems, fractions=(0.1, 1.0), seeds=SEEDS)},
    )
    out.mkdir()
    (out / METADATA).write_text(about.model_dump_json())
    write_spans(out / GOLD, {"atis": gold(), "snips": gold()})
    for key in planned(about):
        if key != LEFT_OUT:
            _write(out / "runs" / run_name(*key), key)
    return out


def _write(folder: Path, key: tuple[str, float, int, str]) -> None:
    system, fraction, seed, task = key
    right = dict(zip(("atis", "snips"), RIGHT[system][seed - 1], strict=True))
    tasks = (task,) if task else ("atis", "snips")
    spans = {name: predicted(right[name]) for name in tasks}
    lengths = [1] * SENTENCES
    trainable = 1000 if task else 5000
    result = Result(
        scores={
            name: TaskScore.of(score_task(name, gold(), spans[name], lengths)) for name in tasks
        },
        best_step=5,
        steps=10,
        sentences_seen=320,
        trainable=trainable,
        total=20_000,
        training_seconds=SECONDS[system],
        scoring_seconds=1.0,
        wall_seconds=40.0,
        validation=[
            {"step": step, "loss": 1.0, "f1": RISE[system] * step} for step in (2, 4, 6, 8, 10)
        ],
    )
    failed = key == FAILED
    write_spans(folder / PREDICTIONS, spans)
    write_record(
        folder,
        Record(
            status="failed" if failed else "done",
            system=system,
            fraction=fraction,
            seed=seed,
            tasks=tasks,
            apart=bool(task),
            error="TrainingError: the loss is not finite" if failed else None,
            result=None if failed else result,
            environment={"hyperloader": "1.2.3"},
            finished="now",
        ),
    )


@pytest.fixture(scope="module")
def report(results: Path) -> Path:
    """The folder of the report."""
    done = cli("experiment", "report", results, "--out", results.parent / "report")
    assert done.code == 0, done
    assert [Path(line).name for line in done.out.splitlines()] == [
        *("report.md", "report.tex", "report.csv"),
        *("figure.png", "differences.png", "sizes.png", "curves.png"),
    ]
    return results.parent / "report"


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of the Markdown rows that begin with ``first``."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")][1:]
        for line in text.splitlines()
        if line.startswith(f"| {first} |")
    ]


def test_means_deviations_and_significance(report: Path) -> None:
    text = (report / "report.md").read_text()
    atis = [a / SENTENCES for a, _ in RIGHT["hyperloader"]]
    mean, deviation = statistics.fmean(atis), statistics.stdev(atis)
    ours, lora, apart = (
        rows(text, system)[0]  # the first table is that of a tenth: atis, snips and the average
        for system in ("hyperloader", "hyperlora", "unipelt-t5 ♣")
    )
    # 20 sentences of 60 apart: beyond doubt; one of 60 apart (snips): not.
    assert ours[0] == f"**{mean:.4f} ± {deviation:.4f}**"
    assert ours[1] == "0.8500 ± 0.0167"
    assert lora[1].endswith("(2 of 3 seeds)")
    assert "**" not in ours[1] + lora[1] + apart[1]
    average = [statistics.fmean(pair) / SENTENCES for pair in RIGHT["hyperloader"]]
    assert ours[2].strip("*").startswith(f"{statistics.fmean(average):.4f}")


def test_what_it_cost(report: Path) -> None:
    text = (report / "report.md").read_text()
    assert rows(text, "hyperloader")[1] == ["5,000", "25.00", "1", "5,000", "60"]
    assert rows(text, "hyperlora")[1] == ["5,000", "25.00", "1", "5,000", "30"]
    assert rows(text, "unipelt-t5 ♣")[1] == ["1,000", "5.00", "2", "2,000", "60"]


def test_what_is_missing_is_said(report: Path) -> None:
    text = (report / "report.md").read_text()
    assert "runs: 22 of 24 finished" in text
    assert "- hyperlora, 10 %: 1 of 3 missing (hyperlora-0.1-3)" in text
    assert "- hyperlora-1-2: TrainingError: the loss is not finite" in text
    with (report / "report.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 2 * 3 * 3 * 2
    statuses = [row["status"] for row in table]
    assert (statuses.count("missing"), statuses.count("failed")) == (2, 2)
    done = [row for row in table if row["status"] == "done"]
    assert all(float(row["f1"]) == float(row["strict_f1"]) > 0 for row in done)


def test_the_papers_numbers_stand_beside_ours(report: Path) -> None:
    text = (report / "report.md").read_text()
    tenth, whole = (row for row in rows(text, "atis") if len(row) == 10)
    # Published: UniPELT BERT, UniPELT T5, HyperFormer, HyperLoader, Hyperdecoder.
    assert tenth[::2] == ["0.5901", "0.8919", "0.9162", "0.9172", "0.9193"]
    assert whole[::2] == ["0.9446", "0.9611", "0.9595", "0.9599", "0.9519"]
    assert tenth[1] == tenth[5] == tenth[9] == "not planned"
    assert tenth[7].startswith("0.9167")
    average = next(row for row in rows(text, "Average") if len(row) == 10)
    assert average[6] == f"{(0.9172 + 0.8970) / 2:.4f}"
    assert "mtop" in text


def test_the_differences_to_the_first_system(report: Path) -> None:
    text = (report / "report.md").read_text()
    f1, value, interval, p, by_seed, ahead, over_seeds, p_seeds = rows(text, "unipelt-t5 ♣")[2]
    pairs = zip(RIGHT["hyperloader"], RIGHT["unipelt-t5"], strict=True)
    expected = statistics.fmean((sum(a) - sum(b)) / (2 * SENTENCES) for a, b in pairs)
    assert float(value) == pytest.approx(expected, abs=5e-5)
    low, high = map(float, interval.split(" to "))
    assert low < expected < high
    assert float(p) < 0.001
    average = statistics.fmean(sum(right) / (2 * SENTENCES) for right in RIGHT["unipelt-t5"])
    assert float(f1.split()[0]) == pytest.approx(average, abs=5e-5)
    mean, deviation = map(float, by_seed.split(" ± "))
    assert mean == pytest.approx(expected, abs=5e-5)  # as all seeds have as many spans
    assert deviation == pytest.approx(0, abs=5e-5)  # each is ahead by as much
    assert ahead == "3 of 3"
    assert list(map(float, over_seeds.split(" to "))) == pytest.approx([expected] * 2, abs=5e-5)
    assert float(p_seeds) == 0


def test_latex_and_figure(report: Path) -> None:
    text = (report / "report.tex").read_text()
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2 * 5 + 1
    assert r"\textbf{0.9167 $\pm$ 0.0167}" in text
    assert r"hyperlora" in text
    assert "±" not in text


def test_every_picture_is_there_and_shown(report: Path) -> None:
    text = (report / "report.md").read_text()
    for name in ("figure", "differences", "sizes", "curves"):
        png = (report / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG")
        assert len(png) > 5000
        assert f"]({name}.png)" in text


def test_validation_f1_at_equal_examples_and_at_equal_time(report: Path) -> None:
    # hyperlora is the fastest with 30 s; hyperloader has then made half of its ten steps and was
    # validated at the fourth. The two models of unipelt-t5 took 60 s and 20 steps together.
    text = (report / "report.md").read_text()
    assert "within 30 s" in text
    ours = [row for row in rows(text, "hyperloader") if len(row) == 5][1]
    assert ours == ["0.5000 ± 0.0000", "10", "60", "0.2000 ± 0.0000", "4"]
    fastest = [row for row in rows(text, "hyperlora") if len(row) == 5][1]
    assert fastest == ["0.0010 ± 0.0000", "10", "30", "0.0010 ± 0.0000", "10"]
    apart = [row for row in rows(text, "unipelt-t5 ♣") if len(row) == 5][1]
    assert apart == ["0.2000 ± 0.0000", "20", "60", "0.0800 ± 0.0000", "8"]


def test_who_is_still_learning_is_said(report: Path) -> None:
    text = (report / "report.md").read_text()
    assert "- hyperloader: still rising: +0.125 over the last quarter\n" in text
    assert "- hyperlora: flat: +0.000 over the last quarter\n" in text
    assert "- unipelt-t5 ♣: still rising: +0.050 over the last quarter\n" in text


def test_special_signs() -> None:
    table = TextTable("50 % of_it", ["a|b", "c"], [[Cell("x & y"), Cell("1", True)]], (0,))
    assert r"| a\|b | c |" in markdown(table)
    assert "| x & y | **1** |" in markdown(table)
    assert r"x \& y & \textbf{1} \\" in latex(table)
    assert r"\caption{50 \% of\_it}" in latex(table)


def test_the_picture_of_differences_shows_the_other_systems(results: Path, tmp_path: Path) -> None:
    plot_differences(tmp_path / "d.svg", Results.of(ResultsFolder(results)))
    drawn = (tmp_path / "d.svg").read_text()  # the text of each label stands in a comment
    pairs = zip(RIGHT["unipelt-t5"], RIGHT["hyperloader"], strict=True)
    mean = statistics.fmean((sum(a) - sum(b)) / (2 * SENTENCES) for a, b in pairs)
    assert drawn.count(f"◂ −{-mean:.2f}") == 2  # beyond the axis, once for each share
    for system in ("hyperlora", "unipelt-t5 ♣"):
        assert drawn.count(f"<!-- {system} -->") == 2
    assert "<!-- hyperloader -->" not in drawn
    assert "less that of hyperloader" in drawn


def test_without_matplotlib_the_tables_are_written(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    line = refused("experiment", "report", results, "--out", tmp_path)
    assert "pip install 'hyperloader[plots]'" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("report.csv", "report.md", "report.tex")
    ]


def test_folders_that_cannot_be_reported(results: Path, tmp_path: Path) -> None:
    assert "holds no experiment" in refused("experiment", "report", tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(results / METADATA, empty)
    assert "no run is finished yet" in refused("experiment", "report", empty)
    broken = shutil.copytree(results, tmp_path / "broken")
    (broken / "runs" / "hyperloader-0.1-1" / "run.json").write_text('{"status": "done"}')
    assert "delete its folder" in refused("experiment", "report", broken)
    broken = shutil.copytree(results, tmp_path / "cut")
    predictions = broken / "runs" / "hyperloader-0.1-1" / PREDICTIONS
    predictions.write_bytes(predictions.read_bytes()[:20])
    assert "cannot be read" in refused("experiment", "report", broken)


def test_without_gold_spans_nothing_is_called_significant(results: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(results, tmp_path / "bare")
    (bare / GOLD).unlink()
    assert cli("experiment", "report", bare).code == 0
    text = (bare / "report" / "report.md").read_text()
    assert "No significance is tested" in text
    assert "**" not in text
    assert rows(text, "hyperlora")[2][1:4] == ["missing"] * 3


def test_seeds_that_only_one_has_are_not_compared(results: Path) -> None:
    kept = Results.of(ResultsFolder(results))
    assert kept.seeds("hyperlora", 0.1) == [1, 2, 3]
    assert set(kept.average("hyperlora", 0.1)) == {1, 2}
    assert set(kept.average("hyperlora", 1.0)) == {1, 3}
    per_seed: dict[str, Any] = kept.without_result()
    assert list(per_seed) == ["hyperlora-0.1-3", "hyperlora-1-2"]


def text_of(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.glob("report.*")}


def test_packed_runs_make_the_same_report(
    results: Path, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperloader.experiments.report.report.FIGURES", {})
    done = cli("experiment", "pack", results, "--to", tmp_path / "packed")
    assert done.code == 0, done
    names = ["counts.npz", "experiment.json", "runs.jsonl"]
    assert sorted(path.name for path in (tmp_path / "packed").iterdir()) == names
    assert cli("experiment", "report", tmp_path / "packed").code == 0
    ours, theirs = text_of(tmp_path / "packed" / "report"), text_of(report)
    assert ours["report.csv"] == theirs["report.csv"]
    assert ours["report.tex"] == theirs["report.tex"]
    pictures = [line for line in theirs["report.md"].splitlines() if line.startswith("![")]
    assert [line for line in theirs["report.md"].splitlines() if line not in pictures and line] == [
        line for line in ours["report.md"].splitlines() if line
    ]
    before = (tmp_path / "packed" / "counts.npz").read_bytes()
    assert cli("experiment", "pack", results, "--to", tmp_path / "packed").code == 0
    assert (tmp_path / "packed" / "counts.npz").read_bytes() == before


def test_packing_in_place_deletes_nothing_and_runs_join_packed_ones(
    results: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(results, tmp_path / "out")
    whole = ResultsFolder(out)
    records, counts = whole.records(), whole.counts()
    whole.pack(out)
    first = run_name("hyperloader", 0.1, 1)
    assert (out / "runs" / first / PREDICTIONS).is_file()
    for path in (out / "runs").iterdir():
        if path.name != first:
            shutil.rmtree(path)
    for folder in (whole, ResultsFolder(out)):
        assert folder.records() == records
        again = folder.counts()
        assert again.keys() == counts.keys()
        assert all((again[r][t] == c).all() for r, each in counts.items() for t, c in each.items())
    # What lies in a folder of its own is newer than what is packed.
    record = records[first].model_copy(update={"finished": "later"})
    write_record(out / "runs" / first, record)
    assert whole.record(first) == whole.records()[first] == record
    whole.pack(out)
    shutil.rmtree(out / "runs")
    assert whole.record(first) == record


def test_what_cannot_be_packed_is_refused(results: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert "holds other files" in refused("experiment", "pack", results, "--to", tmp_path / "full")
    bare = shutil.copytree(results, tmp_path / "bare")
    (bare / GOLD).unlink()
    assert f"cannot be counted: {GOLD} is missing" in refused("experiment", "pack", bare)
    ResultsFolder(results).pack(tmp_path / "packed")
    lines = (tmp_path / "packed" / "runs.jsonl").read_text().splitlines()
    (tmp_path / "packed" / "runs.jsonl").write_text("\n".join([lines[0], lines[1][:-9]]))
    assert "runs.jsonl:2 is damaged" in refused("experiment", "report", tmp_path / "packed")
    (tmp_path / "packed" / "runs.jsonl").write_text("\n".join(lines))
    (tmp_path / "packed" / "counts.npz").write_bytes(b"PK")
    assert "counts.npz cannot be read" in refused("experiment", "report", tmp_path / "packed")
