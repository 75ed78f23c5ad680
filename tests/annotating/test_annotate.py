"""Files in, the same rows with spans out: every kind of file, every kind of bad row."""

import csv
import gzip
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from annotating_helpers import here
from corpus_files import read
from hyperloader.annotating.rows import read_rows
from hyperloader.annotating.run import annotate
from hyperloader.annotating.shards import cut
from hyperloader.annotating.writers import formats
from hyperloader.errors import DataError, HyperloaderError
from hyperloader.tagger import Tagger
from training_helpers import cli, refused

TEXTS = [
    "play the song little robin redbreast", "which thing is the best thing", "", "   ",
    "show me flights from boston to denver", "café \U0001f600 thing", 'a "quoted" thing, twice',
    "one\ttab", "what does the fare code mean",
]  # fmt: skip


def run(inputs: Any, out: Path, tagger: Path, **options: Any) -> dict[str, Any]:
    quiet = Console(file=io.StringIO())
    given = inputs if isinstance(inputs, list) else [str(inputs)]
    return annotate(
        given, out, tagger=tagger, **{"engine": here, "console": quiet, "shard_rows": 4, **options}
    )


def spans_of(tagger: Path, texts: Sequence[str]) -> list[list[tuple[Any, ...]]]:
    """What the tagger itself finds."""
    found = Tagger.from_pretrained(tagger).tag(list(texts))
    return [[(s.start, s.end, s.text, s.label) for s in tagged.spans] for tagged in found]


def plain(spans: Sequence[Any]) -> list[tuple[Any, ...]]:
    assert all(0 <= span["score"] <= 1 for span in spans)
    return [(s["start"], s["end"], s["text"], s["label"]) for s in spans]


def outputs(out: Path, manifest: dict[str, Any]) -> list[Path]:
    """The outputs in their order; nothing else lies in the folder."""
    names = [each["output"] for each in manifest["outputs"]]
    extra = {"manifest.json", ".lock", *(["errors.jsonl"] if manifest["errors"] else [])}
    assert {path.name for path in out.iterdir()} - {".lock"} == {*names, *extra} - {".lock"}
    return [out / name for name in names]


def jsonl(paths: Sequence[Path]) -> list[dict[str, Any]]:
    return [json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()]


def test_lines_of_text(tmp_path: Path, tagger: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(TEXTS).encode())
    manifest = run(tmp_path / "in.txt", tmp_path / "out", tagger)
    files = outputs(tmp_path / "out", manifest)
    assert [path.name for path in files] == ["00000-in.jsonl", "00001-in.jsonl", "00002-in.jsonl"]
    rows = jsonl(files)
    assert [row["line"] for row in rows] == list(range(1, 10))
    assert [row["text"] for row in rows] == TEXTS
    assert [plain(row["spans"]) for row in rows] == spans_of(tagger, TEXTS)
    assert manifest["rows"] == len(TEXTS)
    assert manifest["spans"] == sum(len(row["spans"]) for row in rows) > 0


def test_json_lines_keep_all_that_they_have(tmp_path: Path, tagger: Path) -> None:
    rows = [{"id": i, "question": t, "more": {"a": [1.5, None]}} for i, t in enumerate(TEXTS)]
    with gzip.open(tmp_path / "in.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    manifest = run(tmp_path / "in.jsonl.gz", tmp_path / "out", tagger, text_column="question")
    (file_out,) = outputs(tmp_path / "out", manifest)  # a packed file is one shard
    found = jsonl([file_out])
    assert [{k: v for k, v in row.items() if k != "spans"} for row in found] == rows
    assert [plain(row["spans"]) for row in found] == spans_of(tagger, TEXTS)


def test_tables_with_commas(tmp_path: Path, tagger: Path) -> None:
    cells = [[str(i), text, 'two\nlines, a "quote"'] for i, text in enumerate(TEXTS)]
    with (tmp_path / "in.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "text", "note"], *cells])
    manifest = run(tmp_path / "in.csv", tmp_path / "out", tagger, column="found")
    files, found = outputs(tmp_path / "out", manifest), []
    assert len(files) == 3
    for path in files:
        with path.open(newline="", encoding="utf-8") as file:
            found += list(csv.DictReader(file))
    assert [[row["id"], row["text"], row["note"]] for row in found] == cells
    assert [plain(json.loads(row["found"])) for row in found] == spans_of(tagger, TEXTS)


def test_parquet_keeps_its_types(tmp_path: Path, tagger: Path) -> None:
    table = pa.table(
        {
            "text": pa.array(TEXTS, pa.large_string()),
            "when": pa.array(range(9), pa.timestamp("ns")),
            "bytes": pa.array([b"\xff"] * 9),
            "list": pa.array([[1, None]] * 9, pa.list_(pa.int8())),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=5)
    manifest = run(tmp_path / "in.parquet", tmp_path / "out", tagger)
    files = outputs(tmp_path / "out", manifest)
    assert [pq.read_metadata(path).num_rows for path in files] == [4, 4, 1]
    found = pa.concat_tables([pq.read_table(path) for path in files])
    assert found.drop(["spans"]) == table
    assert [plain(spans) for spans in found["spans"].to_pylist()] == spans_of(tagger, TEXTS)


def test_bad_rows_are_told_with_their_lines_and_stop_nothing(
    tmp_path: Path, tagger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperloader.annotating.run.by_processes", here)
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.jsonl").write_bytes(
        b'{"text": "a thing"}\nnot json\n\n{"txt": 1}\n{"text": null}\n[1]\n{"text": "\xff"}\n'
        b'{"text": 7}\n{"text": "x", "spans": []}\n{"text": "\\ud800"}\n{"text": "last"}'
    )
    (data / "b.csv").write_bytes(
        b'text,id\n"two\nlines",1\na,b,c\n\xff,3\n\nfine,4\n"never ends,5\nmore,6\n'
    )
    (data / "c.txt").write_bytes(b"fine\n\xff\xfe\nfine too\n")
    pq.write_table(pa.table({"text": ["x", None, "z"]}), data / "d.parquet")
    (data / ".hidden.txt").write_text("no")
    (data / "notes.md").write_text("no")
    done = cli(
        *("annotate", data, "--out", tmp_path / "out", "--tagger", tagger, "--shard-rows", 2)
    )
    assert done.code == 2, done
    assert "error" not in done.out
    errors = jsonl([tmp_path / "out" / "errors.jsonl"])
    reasons = {(Path(e["file"]).name, e["line"]): e["error"] for e in errors}
    assert len(reasons) == len(errors)
    assert {place for place in reasons if place[0] == "a.jsonl"} == {
        ("a.jsonl", line) for line in range(2, 11)
    }
    assert {place for place in reasons if place[0] != "a.jsonl"} == {
        *(("b.csv", 4), ("b.csv", 5), ("b.csv", 8), ("c.txt", 2), ("d.parquet", 2)),
    }
    for place, reason in {
        ("a.jsonl", 2): "not JSON", ("a.jsonl", 3): "an empty line",
        ("a.jsonl", 4): "unknown column 'text'; did you mean 'txt'", ("a.jsonl", 5): "null",
        ("a.jsonl", 6): "not a JSON object", ("a.jsonl", 7): "not UTF-8",
        ("a.jsonl", 8): "not a string but of type int", ("a.jsonl", 9): "give --column another",
        ("a.jsonl", 10): "lone surrogate", ("b.csv", 4): "3 cells, but 2 columns",
        ("b.csv", 5): "not UTF-8", ("c.txt", 2): "not UTF-8", ("d.parquet", 2): "null",
        ("b.csv", 8): "1 cells, but 2 columns",
    }.items():  # fmt: skip
        assert reason in reasons[place], place
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["rows"], manifest["errors"]) == (2 + 2 + 2 + 2, 14)
    assert f"14 rows were not tagged; {tmp_path / 'out' / 'errors.jsonl'}" in done.err


@given(
    st.lists(st.text(st.sampled_from('ab,"\n\r\té😀'), max_size=8), max_size=12), st.integers(1, 5)
)
def test_shards_of_a_table_are_the_whole_table(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], rows: int
) -> None:
    path = tmp_path_factory.mktemp("csv") / "in.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text", "n"], *([t, str(i)] for i, t in enumerate(texts))])
    shards = cut([str(path)], rows)
    found = [b for s in shards for b in read_rows(s, "text", "spans", 3)]
    assert [row for b in found for row in b.rows] == [
        {"text": t, "n": str(i)} for i, t in enumerate(texts)
    ]
    assert not [bad for b in found for bad in b.bad]
    assert all(shard.rows <= rows for shard in shards)
    assert [s.start for s in shards[1:]] == [s.end for s in shards[:-1]]
    assert cut([str(path)], rows) == shards


@pytest.mark.parametrize("form", [name for name in formats() if name not in ("same", "jsonl")])
def test_labelled_formats_are_read_again(form: str, tmp_path: Path, tagger: Path) -> None:
    texts = [text for text in TEXTS if text.strip() and "\t" not in text and '"' not in text]
    (tmp_path / "in.txt").write_text("\n".join([*texts, ""]), encoding="utf-8")
    manifest = run(tmp_path / "in.txt", tmp_path / "out", tagger, format=form, shard_rows=100)
    assert manifest["errors"] == 0
    (output,) = outputs(tmp_path / "out", manifest)
    examples, _ = read(output)
    expected = Tagger.from_pretrained(tagger).tag(texts)
    # A format of words alone has no place for the text.
    assert [
        [("".join(e.words[s.word_start : s.word_end]), s.label) for s in e.spans] for e in examples
    ] == [[("".join(s.text.split()), s.label) for s in t.spans] for t in expected]
    assert any(tagged.spans for tagged in expected)


def test_records_of_annotation_tools_keep_ids_and_scores(tmp_path: Path, tagger: Path) -> None:
    rows = [{"id": 7 + i, "text": f"{t}."} for i, t in enumerate(TEXTS[:2])]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = Tagger.from_pretrained(tagger).tag([row["text"] for row in rows])
    scores = [[span.score for span in tagged.spans] for tagged in expected]
    for form in ("prodigy", "label-studio", "doccano"):
        manifest = run(tmp_path / "in.jsonl", tmp_path / form, tagger, format=form)
        (output,) = outputs(tmp_path / form, manifest)
        text = output.read_text("utf-8")
        records = json.loads(text) if form == "label-studio" else jsonl([output])
        if form == "doccano":
            assert [record["id"] for record in records] == [7, 8]
        elif form == "prodigy":
            assert [record["meta"] for record in records] == [{"id": 7}, {"id": 8}]
            assert [[s["score"] for s in r["spans"]] for r in records] == scores
        elif form == "label-studio":
            assert [record["data"]["id"] for record in records] == [7, 8]
            results = [record["predictions"][0]["result"] for record in records]
            assert [[each["score"] for each in result] for result in results] == scores


def test_inputs_may_be_folders_patterns_and_addresses(tmp_path: Path, tagger: Path) -> None:
    for name in ("x/a.txt", "x/deep/b.txt", "y/a.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    given = [str(tmp_path / "x"), f"file://{tmp_path}/y/*.txt"]
    manifest = run(given, tmp_path / "out", tagger)
    files = outputs(tmp_path / "out", manifest)
    assert [row["text"] for row in jsonl(files)] == ["x/a.txt", "x/deep/b.txt", "y/a.txt"]
    assert [path.name for path in files] == ["00000-a.jsonl", "00001-b.jsonl", "00002-a.jsonl"]
    assert manifest["inputs"][2]["file"].startswith("file://")


def test_an_empty_file_is_no_rows(tmp_path: Path, tagger: Path) -> None:
    (tmp_path / "in.txt").write_text("")
    manifest = run(tmp_path / "in.txt", tmp_path / "out", tagger)
    assert (manifest["rows"], manifest["outputs"]) == (0, [])


def test_mistakes_are_one_line_before_anything_is_written(tmp_path: Path, tagger: Path) -> None:
    (tmp_path / "in.csv").write_text("text,spans\na,b\n")
    (tmp_path / "in.txt").write_text("a thing\n")
    (tmp_path / "in.doc").write_text("a thing\n")
    (tmp_path / "bad.parquet").write_text("no parquet")
    out = tmp_path / "out"
    text = tmp_path / "in.txt"
    for arguments, problem in (
        ((tmp_path / "in.csv",), "has a column 'spans' already; give --column"),
        (
            (tmp_path / "in.csv", "--text-column", "txt"),
            "unknown column 'txt'; did you mean 'text'",
        ),
        ((tmp_path / "in.doc",), "what .doc holds is not known"),
        ((tmp_path / "nothing",), "no file there"),
        ((tmp_path / "bad.parquet",), "cannot be read"),
        ((text, "--format", "labelstudio"), "did you mean 'label-studio'"),
        ((text, "--task", "two"), "unknown task 'two'"),
        ((text, "--min-score", "2"), "a score lies in [0, 1]"),
        ((text, "--words", "wordz"), "unknown word rule"),
        (("nowhere://bucket/x.txt",), "cannot be read"),
    ):
        message = refused("annotate", *arguments, "--out", out, "--tagger", tagger)
        assert problem in message
        assert not out.exists() or not [p for p in out.iterdir() if p.name != ".lock"]
    with pytest.raises(HyperloaderError, match="at least one worker"):
        run(text, out, tagger, workers=0)


def test_nothing_of_the_users_is_touched(tmp_path: Path, tagger: Path) -> None:
    (tmp_path / "in.txt").write_text("a thing\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(HyperloaderError, match="holds other files and no annotations"):
        run(tmp_path / "in.txt", tmp_path / "mine", tagger)
    with pytest.raises(HyperloaderError, match="is a file; name a folder"):
        run(tmp_path / "in.txt", tmp_path / "in.txt", tagger)
    first = run(tmp_path / "in.txt", tmp_path / "out", tagger)
    assert run(tmp_path / "in.txt", tmp_path / "out", tagger) == first
    with pytest.raises(HyperloaderError, match=r"another run \(min_score was 0.0, now it is 0.5"):
        run(tmp_path / "in.txt", tmp_path / "out", tagger, min_score=0.5)
    (tmp_path / "in.txt").write_text("another thing\n")
    with pytest.raises(HyperloaderError, match="another run"):
        run(tmp_path / "in.txt", tmp_path / "out", tagger)


def test_a_row_that_the_tagger_refuses_is_a_bad_one(
    tmp_path: Path, tagger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = Tagger.tag

    def refuse(self: Tagger, texts: Any, *given: Any, **options: Any) -> Any:
        if "long" in texts or texts == "long":
            raise DataError("too long")
        return tag(self, texts, *given, **options)

    monkeypatch.setattr(Tagger, "tag", refuse)
    (tmp_path / "in.txt").write_text("a\nlong\nb\n")
    manifest = run(tmp_path / "in.txt", tmp_path / "out", tagger)
    assert [row["text"] for row in jsonl(outputs(tmp_path / "out", manifest))] == ["a", "b"]
    (bad,) = jsonl([tmp_path / "out" / "errors.jsonl"])
    assert (bad["line"], bad["error"]) == (2, "too long")


def test_a_row_is_cut_nowhere_though_a_quote_has_no_other(tmp_path: Path) -> None:
    cells = ['5" pipe', "b", '"c\nd"', '"e\nf"', "g", '"h\ni"', "j"]
    rows = "".join(f"{i},{cell},x\n" for i, cell in enumerate(cells))
    for name, head, ends in (("a", "n,text,m\n", "\n"), ("b", 'n",text,m\n', "\n"),
                             ("c", "n,text,m\n", "\r")):  # fmt: skip
        path = tmp_path / f"{name}.csv"
        path.write_text((head + rows).replace("\n", ends), newline="")
        with path.open(newline="") as file:
            wanted = list(csv.DictReader(file))
        shards = cut([str(path)], 1)
        assert [s.rows for s in shards] == [1] * len(cells)
        batches = [b for s in shards for b in read_rows(s, "text", "spans", 3)]
        assert [row for b in batches for row in b.rows] == wanted


def test_a_carriage_return_in_a_cell_is_read_again(tmp_path: Path, tagger: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b'n,text\n1,"a\rb"\n2,c\n')
    manifest = run(tmp_path / "in.csv", tmp_path / "out", tagger)
    (output,) = outputs(tmp_path / "out", manifest)
    with output.open(newline="", encoding="utf-8") as file:
        assert [(row["n"], row["text"]) for row in csv.DictReader(file)] == [
            ("1", "a\rb"),
            ("2", "c"),
        ]
    assert output.read_bytes().count(b"\n") == 3
    assert output.read_bytes().count(b"\r") == 1


@pytest.mark.parametrize("form", ["same", "prodigy", "label-studio"])
def test_half_characters_beside_the_text_stop_nothing(
    form: str, tmp_path: Path, tagger: Path
) -> None:
    half, name = "\ud83d", os.fsdecode(b"caf\xe9.jsonl")
    lines = json.dumps({"text": "play", "m": half}) + "\n" + json.dumps({half: "no text"}) + "\n"
    (tmp_path / name).write_text(lines)
    manifest = run(tmp_path / name, tmp_path / "out", tagger, format=form)
    assert (manifest["rows"], manifest["errors"]) == (1, 1)
    (bad,) = jsonl([tmp_path / "out" / "errors.jsonl"])
    assert bad["file"] == str(tmp_path / name)
    (written,) = outputs(tmp_path / "out", manifest)
    content = json.loads(written.read_text("utf-8"))
    row = content[0]["data"] if form == "label-studio" else content.get("meta", content)
    assert row["m"] == half


def test_outputs_inside_an_input_are_no_inputs(tmp_path: Path, tagger: Path) -> None:
    (tmp_path / "in.txt").write_text("play\n")
    manifest = run(tmp_path, tmp_path / "out", tagger)
    assert (tmp_path / "out" / "00000-in.jsonl").is_file()
    assert run(tmp_path, tmp_path / "out", tagger) == manifest
    with pytest.raises(HyperloaderError, match="another run"):
        run(tmp_path / "out", tmp_path / "out", tagger)
