"""The README's table of results: it says what the committed runs say, and only it is rewritten."""

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from folders import ROOT
from hyperloader.errors import ConfigError, DataError
from hyperloader.experiments.analyse.results import Results
from hyperloader.experiments.report.readme import END, find_blocks, readme_table, update_readme
from hyperloader.experiments.run.counts import read_counts
from hyperloader.experiments.run.folder import ResultsFolder
from training_helpers import cli, refused

PAPER = ROOT / "results" / "paper"


def marked(folder: str, inside: str = "old\n", table: str = "results") -> str:
    return f"# Title\n\nbefore\n<!-- {table}: {folder} -->\n{inside}{END}\nafter, no end of line"


def test_the_page_says_what_the_kept_runs_say() -> None:
    name = "docs/results.md"
    page = ROOT / name
    text = page.read_text(encoding="utf-8")
    blocks = find_blocks(page, text)
    assert PAPER in [(page.parent / block.folder).resolve() for block in blocks]
    for block in blocks:
        table = readme_table(block.table, Results.of(ResultsFolder(page.parent / block.folder)))
        here = "\n".join(text.split("\n")[block.start : block.end])
        assert here == table, (
            f"{name} and {block.folder} disagree; run: hyperloader experiment report "
            f"{(page.parent / block.folder).resolve().relative_to(ROOT)} --readme {name}"
        )


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


def test_the_numbers_are_those_of_the_records() -> None:
    system, fraction = "hyperloader", 0.1
    runs = [
        line["result"]
        for line in lines_of(PAPER)
        if (line["system"], line["fraction"]) == (system, fraction)
    ]
    f1 = [statistics.fmean(s["default"]["f1"] for s in run["scores"].values()) for run in runs]
    table = readme_table("results", Results.of(ResultsFolder(PAPER)))
    (row,) = [line for line in table.splitlines() if line.startswith(f"| {system} |")]
    assert f"| {statistics.fmean(f1):.4f} ± {statistics.stdev(f1):.4f}" in row
    assert f"| {runs[0]['trainable']:,} |" in row
    assert f"| {statistics.fmean(run['training_seconds'] for run in runs):,.0f} |" in row


@pytest.mark.parametrize("name", ["paper", "ablations", "steps-4000", "rates"])
def test_the_kept_counts_give_the_kept_scores(name: str) -> None:
    counts = read_counts(ROOT / "results" / name / "counts.npz")
    for line in lines_of(ROOT / "results" / name):
        run = "-".join(
            [line["system"], f"{line['fraction']:g}", str(line["seed"])]
            + (line["tasks"] if line["apart"] else [])
        )
        for task, score in line["result"]["scores"].items():
            correct, predicted, gold = counts[run][task].sum(0).tolist()
            assert (len(counts[run][task]), gold) == (
                score["sentences"],
                score["default"]["support"],
            )
            assert score["default"]["recall"] == pytest.approx(correct / gold)
            assert score["default"]["f1"] == pytest.approx(2 * correct / (predicted + gold))


def test_the_differences_are_those_of_the_runs_with_the_same_seed() -> None:
    kept = Results.of(ResultsFolder(PAPER))
    ours, theirs = (kept.average(system, 0.1) for system in ("hyperloader", "full"))
    differences = [ours[seed] - theirs[seed] for seed in sorted(ours)]
    table = readme_table("differences", kept)
    (row,) = [line for line in table.splitlines() if line.startswith("| full |")]
    mean, deviation = statistics.fmean(differences), statistics.stdev(differences)
    ahead = sum(each > 0 for each in differences)
    p = stats.ttest_rel(list(ours.values()), list(theirs.values())).pvalue
    expected = f"| {mean:+.4f} ± {deviation:.4f} | {ahead} of {len(ours)} | {p:.4f} |"
    assert expected.replace("-", "−") in row


def test_only_what_is_between_the_marks_changes(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    shutil.copytree(PAPER, tmp_path / "out")
    text = marked("out") + marked("other") + marked("./out", table="differences")
    readme.write_text(text, encoding="utf-8")
    update_readme(readme, ResultsFolder(tmp_path / "out"))
    once = readme.read_text(encoding="utf-8")
    kept = Results.of(ResultsFolder(PAPER))
    table, differences = readme_table("results", kept), readme_table("differences", kept)
    assert once == (
        marked("out", f"{table}\n")
        + marked("other")
        + marked("./out", f"{differences}\n", table="differences")
    )
    update_readme(readme, ResultsFolder(tmp_path / "out"))
    assert readme.read_text(encoding="utf-8") == once
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["README.md"]


def test_marks_that_are_missing_or_broken_are_refused(tmp_path: Path) -> None:
    readme, results = (
        tmp_path / "README.md",
        ResultsFolder(shutil.copytree(PAPER, tmp_path / "out")),
    )
    for text, said in (
        ("nothing\n", r"put the lines <!-- results: out --> and <!-- end of results -->"),
        (marked("elsewhere"), "no place for the table"),
        ("<!-- results: out -->\n", r"README.md:1: out has no .* after it"),
        (marked("out").replace("old", "<!-- results: b -->"), r"README.md:4: out has no"),
        (f"a\n{END}\n", r"README.md:2: .* before it"),
    ):
        readme.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=said):
            update_readme(readme, results)
        assert readme.read_text(encoding="utf-8") == text
    with pytest.raises(DataError, match="cannot be read"):
        update_readme(tmp_path / "none.md", results)
    readme.write_text(marked("."), encoding="utf-8")
    with pytest.raises(ConfigError, match="holds no experiment"):
        update_readme(readme, ResultsFolder(tmp_path))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "hyperloader.experiments.report.report.FIGURES", {}
    )  # they take the most time
    readme = tmp_path / "README.md"
    out = tmp_path / "claim"
    shutil.copytree(PAPER, out)
    readme.write_text("no marks\n", encoding="utf-8")
    assert "put the lines" in refused("experiment", "report", out, "--readme", readme)
    readme.write_text(marked("claim"), encoding="utf-8")
    done = cli("experiment", "report", out, "--readme", readme)
    assert done.code == 0, done
    assert done.out.splitlines()[0] == str(readme)
    assert (out / "report" / "report.md").is_file()
    assert "| hyperloader | 3,354,304 |" in readme.read_text(encoding="utf-8")
