"""No sentence of an evaluation part in the text."""

from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from hyperloader.cli.pretrain import check_leaks
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.registry import load_corpora
from hyperloader.pretraining.leaks import find_leaks
from hyperloader.types import Example


def corpus() -> dict[str, Corpus]:
    sentences = [("Play", "the", "Song", "!"), ("what's", "up"), ("stop",)]
    made = [Example(words, (), "toy") for words in sentences]
    return {
        "toy": Corpus("toy", {"train": (made[2],), "validation": (made[1],), "test": (made[0],)})
    }


def leaks_in(folder: Path, *lines: str) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_text("\n".join(["an innocent line", *lines]), encoding="utf-8")
    return find_leaks(folder, corpus())


def test_planted_sentences_are_found(tmp_path: Path) -> None:
    report = leaks_in(tmp_path, "stop", "  PLAY the\tsong !", "play the song", "Whats up?!", "play")
    assert (report.lines, report.sentences, report.total) == (6, 2, 3)
    assert (dict(report.equal), dict(report.similar)) == ({"toy": 1}, {"toy": 2})
    assert [(leak.line, leak.part) for leak in report.first] == [
        (3, "test"),
        (4, "test"),
        (5, "validation"),
    ]
    assert leaks_in(tmp_path, "stop", "play a song").total == 0


def test_the_shared_text_holds_no_evaluation_sentence(shared: Path, tmp_path: Path) -> None:
    """Some files, three corpora, and what is said when a sentence of each part is there."""
    tasks = ["atis", "restaurant", "snips"]
    corpora = load_corpora(shared / "data" / "labelled", tasks)
    folder = tmp_path / "text"
    folder.mkdir()
    names = ("labelled_train_atis", "labelled_train_restaurant", "snips_nlu_benchmark")
    for name in names:
        (folder / f"{name}.txt.xz").symlink_to(shared / "data" / "pretrain" / f"{name}.txt.xz")
    clean = find_leaks(folder, corpora)
    assert (clean.lines, clean.total) == (4_131 + 6_882 + 4_487, 0)
    planted = [
        " ".join(corpus.splits[part][0].words).upper()
        for corpus in corpora.values()
        for part in ("validation", "test")
    ]
    (folder / "planted.txt").write_text("\n".join(planted), encoding="utf-8")
    assert find_leaks(folder, corpora).total == len(planted) == 6


def test_the_check_exits_with_1(shared: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(check_leaks)
    labelled = shared / "data" / "labelled" / "restaurant"
    sentence = load_corpora(labelled)["restaurant"].splits["test"][0]
    (tmp_path / "a.txt").write_text("nothing of the kind\n" + " ".join(sentence.words))
    done = CliRunner().invoke(app, ["--text", str(tmp_path), "--data", str(labelled)])
    assert done.exit_code == 1
    assert "a.txt:2: restaurant test: " in done.stdout
    sentences = f"{766 + 1521:,} validation and test sentences"
    assert f"1 of 2 lines in 1 files equal one of {sentences}" in done.stdout
    (tmp_path / "a.txt").write_text("nothing of the kind\n")
    done = CliRunner().invoke(app, ["--text", str(tmp_path), "--data", str(labelled)])
    assert done.exit_code == 0
    assert done.stdout.startswith("0 of 1 lines")
