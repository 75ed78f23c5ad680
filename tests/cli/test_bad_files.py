"""Files that cannot be read as they are: one line with file, line and what to do."""

from pathlib import Path

import pytest

from training_helpers import cli, refused

OSLO = '{"text": "to Oslo", "label": [[3, 7, "city"]]}\n'


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        # A format that is none.
        ("a.txt", "just prose\nand more\n", "no known format: looked for tags like O and B-"),
        ("a.conll", "just\nprose\n", "a.conll:1: 1 column(s) where a word and its tag belong; "),
        ("a.jsonl", "Oslo B-city\n", "named .jsonl, without such a record (it begins with"),
        ("a.json", '{"name": "x", "version": 3}', "no known format: its records have the keys na"),
        ("a.jsonl", '{"n": ' + 5000 * "1" + "}\n", "JSON that is nested too deeply, or has too lo"),
        ("a.csv", "a,b\n1,2\n", "'hyperloader data formats' shows what is read"),
        ("a.bin", "hello\n", "unknown extension '.bin'"),
        ("a.conll", "Oslo\0B-city\n", "a.conll:1: a NUL character; the file is no text"),
        # Two formats in one file.
        ("a.jsonl", OSLO + '{"text": "to Rome", "spans": []}\n',
         "a.jsonl:1: no 'spans' in {\"text\": \"to Oslo\", \"label\": [[3, 7, \"city\"]]}; other "
         "records have it: give each form its file"),
        ("a.conll", "Oslo B-city\n\n" + OSLO, "a.conll:3: 7 column(s) where 2 columns belong; "),
        # Offsets beyond the text.
        ("a.jsonl", OSLO + OSLO.replace("7", "70"), "a.jsonl:2: span 3:70 'city' does not fit a "
         "text of 7 characters; correct its offsets"),
        # Names that tags use.
        ("a.conll", "to O\nOslo B-O\n", "a.conll:1: a label may not be named 'O', which tags use; "
         "rename the label"),
        ("a.jsonl", OSLO.replace("city", "I"), "a.jsonl:1: a label may not be named 'I'"),
        # Numbers that should be unique.
        ("a.jsonl", OSLO.replace("{", '{"id": 7, ') * 2,
         "a.jsonl:2: id 7 occurs twice, first in line 1; remove one of the records"),
    ],
)  # fmt: skip
def test_one_line_says_what_to_do(tmp_path: Path, name: str, content: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    line = refused("data", "stats", path)
    assert said in line
    assert str(path) in line
    assert refused("train", "--data", path, "--out", tmp_path / "run") == line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("encoding", "name", "text"),
    [
        ("cp1252", "Windows-1252", "in O\nZürich B-city\n"),
        ("cp1251", "Windows-1251", "в O\nМоскве B-city\n"),
        ("koi8_r", "KOI8-R", "в O\nМоскве B-city\n"),
        ("shift_jis", "Shift JIS", "in O\n東京です B-city\n"),
        ("euc_kr", "EUC-KR", "in O\n서울에서 B-city\n"),
        ("gb18030", "GB18030", "in O\n在上海市 B-city\n"),
        ("utf-16", "UTF-16", "in O\nOslo B-city\n"),
        ("utf-16-le", "UTF-16", "in O\nOslo B-city\n"),
        ("utf-16-be", "UTF-16", "in O\nOslo B-city\n"),
    ],
)
def test_another_encoding_is_guessed(tmp_path: Path, encoding: str, name: str, text: str) -> None:
    path = tmp_path / "a.conll"
    path.write_bytes(text.encode(encoding))
    line = refused("data", "stats", path)
    assert f"the file is probably {name}: save it as UTF-8" in line
    assert f"{path}:1: " in line or f"{path}:2: " in line


def test_a_folder_of_several_formats(tmp_path: Path) -> None:
    """Each part may have its own; two files for one part are refused, whatever they hold."""
    folder = tmp_path / "trips"
    folder.mkdir()
    (folder / "train.conll").write_text("to O\nRome B-city\n")
    (folder / "test.jsonl").write_text(OSLO)
    done = cli("data", "stats", folder)
    assert done.code == 0
    assert "  odd: parts in different formats: train conll, test doccano\n" in done.out
    (folder / "train.jsonl").write_text(OSLO)
    line = refused("data", "stats", folder)
    assert f"{folder / 'train.jsonl'}: train.conll is the train part too; keep one of them" in line
    (folder / "train.jsonl").unlink()
    (folder / "export.jsonl").write_text(OSLO)
    line = refused("data", "stats", folder)
    assert f"{folder / 'export.jsonl'}: the name says neither train, validation nor test; " in line


@pytest.mark.parametrize("content", ["", "\n\n", "-DOCSTART- O\n\n", "# a comment\n"])
def test_an_empty_part_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "train.conll").write_text("to O\nRome B-city\n")
    (tmp_path / "test.conll").write_text(content)
    line = refused("data", "stats", tmp_path)
    assert f"{tmp_path / 'test.conll'}: " in line
    assert "empty" in line or "no sentence in it" in line
