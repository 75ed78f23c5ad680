"""``hyperloader evaluate`` and ``hyperloader score``: what they print, write and refuse."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from hyperloader.errors import DataError
from hyperloader.evaluation import files, plots
from training_helpers import cli, corpora, refused, settings, write_data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    data = write_data(folder / "data")
    done = cli("train", "--data", data, "--out", folder / "run", *settings())
    assert done.code == 0, done.err
    return folder / "run"


def test_the_table_names_every_task_and_the_average(run: Path) -> None:
    done = cli("evaluate", run)
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    rows: dict[str, list[str]] = {}
    for line in lines:
        if line:
            rows.setdefault(line[0], line[1:])
    assert rows["task"] == ["sentences", "spans", "P", "R", "F1", "strict", "F1", "ECE"]
    for name, corpus in corpora().items():
        test = corpus.splits["test"]
        assert rows[name][:2] == [str(len(test)), str(sum(len(e.spans) for e in test))]
    assert len(rows["average"]) == 5
    for corpus in corpora().values():
        for label in corpus.labels("test"):
            spans = sum(s.label == label for e in corpus.splits["test"] for s in e.spans)
            assert [label, str(spans)] in [line[:2] for line in lines]
    starts = [" ".join(line[:4]) for line in lines]
    for measure in ("seqeval, default", "seqeval, strict", "boundaries and label", "label, any"):
        assert sum(start.startswith(measure) for start in starts) == 2, "one per task"
    brief = cli("evaluate", run, "--brief")
    assert brief.code == 0, brief.err
    assert "boundaries" not in brief.out
    assert "average" in brief.out


def test_json_is_all_that_is_printed_and_agrees_with_the_file(run: Path, tmp_path: Path) -> None:
    done = cli("evaluate", run, "--json", "--output", tmp_path / "deep" / "scores.json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert json.loads((tmp_path / "deep" / "scores.json").read_text()) == document
    assert (document["split"], document["scoring"]) == ("test", "seqeval")
    assert set(document["tasks"]) == {"dining", "home"}
    assert document["average"]["default"]["f1"] == pytest.approx(
        sum(score["default"]["f1"] for score in document["tasks"].values()) / 2
    )


def test_report_and_plot_are_written(run: Path, tmp_path: Path) -> None:
    report, plot = tmp_path / "report.html", tmp_path / "plot.png"
    done = cli("evaluate", run, "--html", report, "--plot", plot, "--task", "home")
    assert done.code == 0, done.err
    assert "<html" in report.read_text()
    assert "home" in report.read_text()
    assert "dining" not in report.read_text()
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert str(report) in done.out.replace("\n", "")


def test_reference_scoring_runs(run: Path) -> None:
    done = cli("evaluate", run, "--scoring", "reference", "--json", "--task", "dining")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert 0 <= document["tasks"]["dining"]["reference"]["f1"] <= 1
    table = cli("evaluate", run, "--scoring", "reference")
    assert table.code == 0, table.err
    assert "average" in table.out


def test_reference_scoring_does_not_drop_a_report_silently(run: Path, tmp_path: Path) -> None:
    done = cli("evaluate", run, "--scoring", "reference", "--html", tmp_path / "report.html")
    assert done.code == 2
    assert "omit --html, --plot and --reliability" in done.err


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_part_can_be_scored(run: Path, split: str) -> None:
    done = cli("evaluate", run, "--split", split, "--json")
    assert done.code == 0, done.err
    for name, score in json.loads(done.out)["tasks"].items():
        assert score["sentences"] == len(corpora()[name].splits[split])


def test_a_validation_part_that_was_drawn_can_be_scored(run: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    for folder in data.iterdir():
        next(folder.glob("valid*")).unlink()
    done = cli("evaluate", run, "--data", data, "--split", "validation", "--json")
    assert done.code == 0, done.err
    sizes = {name: s["sentences"] for name, s in json.loads(done.out)["tasks"].items()}
    assert sizes == {"dining": 2, "home": 3}


def test_a_part_that_is_absent_is_named(run: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    next((data / "home").glob("test*")).unlink()
    done = cli("evaluate", run, "--data", data)
    assert done.code == 2
    assert "no test sentences for home" in done.err


def test_a_checkpoint_folder_needs_to_be_told_the_data(run: Path, tmp_path: Path) -> None:
    checkpoint = run / "checkpoints" / "step-00000006"
    done = cli("evaluate", checkpoint)
    assert done.code == 2
    assert "give --data DIR" in done.err
    done = cli("evaluate", checkpoint, "--data", run.parent / "data", "--json")
    assert done.code == 0, done.err


def test_a_file_is_scored_as_the_task_that_one_says(run: Path, tmp_path: Path) -> None:
    data = run.parent / "data"
    meals = tmp_path / "meals" / "test.conll"
    meals.parent.mkdir()
    shutil.copy(next((data / "home").glob("test*")), meals)
    assert "say with --task which one it is for (known: dining, home)" in refused(
        "evaluate", run, "--data", meals
    )
    done = cli("evaluate", run, "--data", meals, "--task", "home", "--json")
    assert done.code == 0, done.err
    whole = json.loads(cli("evaluate", run, "--task", "home", "--json").out)
    assert json.loads(done.out)["tasks"]["home"]["default"] == whole["tasks"]["home"]["default"]


def test_unknown_labels_are_printed(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "home" / "test.conll"
    file.parent.mkdir()
    file.write_text("hello O\nlamp B-DEVICE\n")
    done = cli("evaluate", run, "--data", tmp_path)
    assert done.code == 0, done.err
    assert "labels that the model does not have" in done.out
    assert "'DEVICE' (1; the model has 'device')" in done.out
    assert "never predicted" in done.out or "undefined" in done.out


# Files are checked before the work begins


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run must not even be loaded."""

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setattr("hyperloader.tagger.Tagger.from_pretrained", fail)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("option", ["--output", "--html", "--plot", "--reliability"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".", "is a folder"),
        ("", "is a folder"),
        ("/", "is a folder"),
        ("/proc/x.html", "cannot be written"),
        ("file/x.html", "cannot be written"),
        ("/dev/null", "is not an ordinary file"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_before_scoring(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, name: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert said in refused("evaluate", run, option, name)
    assert [p.name for p in tmp_path.iterdir()] == ["file"], "nothing is left"


@pytest.mark.usefixtures("no_work")
def test_what_else_is_known_to_fail_is_refused_before_scoring(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = tmp_path / "same"
    assert "two of the files to write are the same" in refused(
        "evaluate", run, "--output", same, "--html", tmp_path / "." / "same"
    )
    monkeypatch.setattr(files, "ROOM", shutil.disk_usage(tmp_path).total * 2)
    assert "MiB are left on the disk" in refused("evaluate", run, "--output", same)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for option in ("--plot", "--reliability"):
        assert "pip install 'hyperloader[plots]'" in refused("evaluate", run, option, same)
    assert not list(tmp_path.iterdir())


def test_scores_are_printed_though_a_file_cannot_be_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the check cannot foresee, such as a disk that fills up meanwhile."""
    pytest.importorskip("matplotlib", reason="NOT TESTED: needs the extra 'plots'")

    def full(figure: Any, path: Path) -> None:
        raise DataError("cannot write the plot: No space left on device", path)

    monkeypatch.setattr(plots, "save_figure", full)
    report, plot = tmp_path / "report.html", tmp_path / "plot.png"
    done = cli("evaluate", run, "--html", report, "--plot", plot, "--brief")
    assert done.code == 2
    assert "strict F1" in done.out
    assert "average" in done.out
    line = done.err.splitlines()[-1]
    assert line.startswith("error: plot: ")
    assert "No space left" in line
    assert done.err.count("error: ") == 1
    assert report.is_file(), "the other file is written"
    as_json = cli("evaluate", run, "--json", "--plot", plot)
    assert as_json.code == 2
    assert set(json.loads(as_json.out)["tasks"]) == {"dining", "home"}


# hyperloader score


def test_files_of_two_formats_are_scored(run: Path, tmp_path: Path) -> None:
    gold = next((run.parent / "data" / "home").glob("test*"))
    examples = corpora()["home"].splits["test"]
    predicted = tmp_path / "predicted.jsonl"
    rows = [
        {
            "words": e.words,
            "spans": [
                {"start": s.word_start, "end": s.word_end, "label": s.label} for s in e.spans[1:]
            ],
        }
        for e in examples
    ]
    predicted.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spans = sum(len(e.spans) for e in examples)
    missed = sum(bool(e.spans) for e in examples)
    out = tmp_path / "scores.json"
    done = cli("score", gold, predicted, "--json", "--output", out)
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert json.loads(out.read_text()) == document
    assert document["default"]["recall"] == pytest.approx(1 - missed / spans)
    assert document["overlap"]["strict"]["missed"] == missed
    table = cli("score", gold, predicted)
    assert table.code == 0, table.err
    lines = [" ".join(line.split()) for line in table.out.splitlines()]
    assert lines[0] == f"{len(examples)} sentences, {spans} gold spans"
    f1 = f"{document['default']['f1']:.4f}"
    for start in ("seqeval, default", "seqeval, strict", "boundaries and label"):
        assert any(line.startswith(f"{start} 1.0000 ") and f" {f1}" in line for line in lines)
    for label in {s.label for e in examples for s in e.spans}:
        assert any(line.startswith(f"{label} ") for line in lines)


def test_what_cannot_be_scored_is_one_line(run: Path, tmp_path: Path) -> None:
    data = run.parent / "data"
    home, dining = (next((data / name).glob("test*")) for name in ("home", "dining"))
    assert "sentence 1 differs at word 1" in refused("score", home, dining)
    assert "nowhere" in refused("score", home, tmp_path / "nowhere")
    assert "is a folder" in refused("score", home, home, "--output", tmp_path)


def test_sentences_that_are_training_sentences_of_any_task_can_be_left_out(
    run: Path, tmp_path: Path
) -> None:
    data = write_data(tmp_path / "data")
    known = corpora()
    dining, home = (known[name].splits for name in ("dining", "home"))
    leaked = [[word.upper() for word in home["train"][0].words], list(dining["train"][0].words)]
    extra = "".join("".join(f"{word}\tO\n" for word in words) + "\n" for words in leaked)
    (test,) = (data / "dining").glob("test*")
    test.write_text(test.read_text().rstrip("\n") + "\n\n" + extra)
    seen = {tuple(map(str.lower, e.words)) for c in known.values() for e in c.splits["train"]}
    new = sum(tuple(map(str.lower, e.words)) not in seen for e in dining["test"])
    done = cli("evaluate", run, "--data", data, "--without-seen", "--json")
    assert done.code == 0, done.err
    all_of_it = len(dining["test"]) + 2
    assert f"dining: {all_of_it - new} of {all_of_it} sentences left out as seen" in done.err
    document = json.loads(done.out)
    assert document["without_seen"]
    assert document["tasks"]["dining"]["sentences"] == new
    told = refused("evaluate", run, "--split", "train", "--without-seen")
    assert "all train sentences of dining are training sentences too" in told
