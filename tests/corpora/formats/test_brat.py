"""brat folders: sentences from texts, and entities in one piece or several."""

from pathlib import Path

import pytest

from corpus_files import read, surfaces, write
from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import DataError

TEXT = "Dr Okafor joined.\n\nShe left Lagos\nIsland for Ely.\n"
ENTITIES = (
    "T1\tPerson 3 9\tOkafor\n"
    "T2\tPlace 28 33;34 40\tLagos Island\n"
    "T3\tPlace 45 48\tEly\n"
    "R1\tLives_in Arg1:T1 Arg2:T2\n"
    "#1\tAnnotatorNotes T1\tsure\n"
)


def folder(path: Path, text: str = TEXT, entities: str = ENTITIES) -> Path:
    write(path, "a.txt", text)
    write(path, "a.ann", entities)
    return path


def test_texts_become_sentences(tmp_path: Path) -> None:
    (first, second), reading = read(folder(tmp_path))
    assert first.words == ("Dr", "Okafor", "joined", ".")
    assert surfaces(first) == [("Okafor", "Person")]
    assert second.text == "She left Lagos\nIsland for Ely."  # not cut where an entity goes on
    assert surfaces(second) == [("Lagos Island", "Place"), ("Ely", "Place")]
    assert (reading.format, reading.reason) == ("brat", "it has 1 .ann files")
    assert reading.notes == (
        "relations, which are not read: 1 (the first in line 4)",
        "notes, which are not read: 1 (the first in line 5)",
    )


def test_discontinuous_entities_are_counted(tmp_path: Path) -> None:
    path = folder(tmp_path, "left and right arms\n", "T1\tBody 0 4;15 19\tleft arms\n")
    (only,), reading = read(path)
    assert only.spans == ()
    assert reading.notes[0].startswith("discontinuous entities, which are left out: 1")
    with pytest.raises(DataError, match=r"discontinuous .*; mend it, or read without strict"):
        read(path, strict=True)


def test_a_folder_of_parts_and_a_folder_of_corpora(tmp_path: Path) -> None:
    folder(tmp_path / "one")
    folder(tmp_path / "two" / "train")
    folder(tmp_path / "two" / "test")
    corpora = load_corpora(tmp_path)
    sizes = {n: [len(x) for x in c.splits.values()] for n, c in corpora.items()}
    assert sizes == {"one": [1, 1, 0], "two": [1, 1, 2]}
    assert list(load_corpora(tmp_path / "one")) == ["one"]


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ("T1\tX 3 99\tOkafor\n", "a.ann:1: entity 3:99 does not fit a text of 50 characters"),
        ("T1\tX 3 9\tOkafor\nT2 X 3 9\n", "a.ann:2: not a line of brat"),
        ("T1\tX 4 9\tOkafor\n", "a.ann:1: the text at 4:9 is 'kafor', not 'Okafor'"),
        ("T1\tO 3 9\tOkafor\n", "a.ann:1: a label may not be named 'O'"),
    ],
)
def test_bad_entities(tmp_path: Path, entities: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(folder(tmp_path, entities=entities))
    assert message in str(caught.value)


def test_what_does_not_belong_into_the_folder(tmp_path: Path) -> None:
    folder(tmp_path)
    write(tmp_path, "b.txt", "No annotations here.\n")
    assert read(tmp_path)[1].notes[-1] == "texts without an .ann file, which are left out: 1"
    write(tmp_path, "c.ann", "")
    with pytest.raises(DataError, match=r"c\.ann has no c\.txt beside it"):
        read(tmp_path)
    (tmp_path / "c.ann").unlink()
    write(tmp_path, "train.conll", "a O\n")
    with pytest.raises(DataError, match=r"\.ann files and \.conll files in one folder; keep each"):
        read(tmp_path)
