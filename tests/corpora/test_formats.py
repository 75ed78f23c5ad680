"""The formats of the paper's corpora, and what all formats share: bad input with file and line."""

from pathlib import Path

import pytest

from hyperloader.corpora.formats import FORMATS
from hyperloader.corpora.parts import read_part
from hyperloader.errors import DataError
from hyperloader.tags import spans_to_bio
from hyperloader.types import Example, Span

MTOP_LINE = "\t".join(
    [
        "3232353833393435",
        "IN:GET_MESSAGE",
        "6:9:SL:RECIPIENT,10:13:SL:SENDER,18:23:SL:SENDER,24:29:SL:DATE_TIME",
        "Haben mir Ben und Leroy heute geschrieben",
        "messaging",
        "de_XX",
        "[IN:GET_MESSAGE [SL:SENDER Ben ] [SL:SENDER Leroy ] [SL:RECIPIENT mir ] "
        "[SL:DATE_TIME heute ] ]",
        '{"tokens":["Haben","mir","Ben","und","Leroy","heute","geschrieben"],"tokenSpans":['
        '{"start":0,"length":5},{"start":6,"length":3},{"start":10,"length":3},'
        '{"start":14,"length":3},{"start":18,"length":5},{"start":24,"length":5},'
        '{"start":30,"length":11}]}',
    ]
)


def read(folder: Path, name: str, text: str) -> tuple[Example, ...]:
    path = folder / name
    path.write_bytes(text.encode())
    return read_part(path, "task")[0]


def seq(folder: Path, words: str, tags: str, label: str | None = None) -> tuple[Example, ...]:
    (folder / "seq.in").write_text(words, "utf-8")
    (folder / "seq.out").write_text(tags, "utf-8")
    if label is not None:
        (folder / "label").write_text(label, "utf-8")
    return read_part(folder, "task")[0]


@pytest.mark.parametrize("name", [n for n, f in FORMATS.items() if f.extensions and n != "docbin"])
def test_documented_example_of_each_format_is_read(tmp_path: Path, name: str) -> None:
    example = FORMATS[name].example
    for extension in FORMATS[name].extensions:
        if extension in (".parquet", ".arrow"):
            continue
        if (name == "hf" and extension == ".csv") or extension in (".yml", ".yaml"):
            continue  # other writings of the same, tested where they are read
        path = tmp_path / f"x{extension}"
        path.write_text(example, "utf-8")
        examples, reading = read_part(path, "task")
        assert reading.format == name, extension
        assert [word.lower() for word in examples[0].words] == ["play", "abba"]
        assert [(s.word_start, s.word_end, s.label.lower()) for s in examples[0].spans] == [
            (1, 2, "artist")
        ]


def test_mtop_line_of_the_format_description(tmp_path: Path) -> None:
    (example,) = read(tmp_path, "train.txt", MTOP_LINE + "\n")
    assert example.words == ("Haben", "mir", "Ben", "und", "Leroy", "heute", "geschrieben")
    assert example.spans == (
        Span(1, 2, "RECIPIENT"),
        Span(2, 3, "SENDER"),
        Span(4, 5, "SENDER"),
        Span(5, 6, "DATE_TIME"),
    )
    assert example.intent == "GET_MESSAGE"
    assert example.text is not None
    assert example.offsets is not None
    assert tuple(example.text[a:b] for a, b in example.offsets) == example.words


def test_mtop_keeps_the_outermost_slot_and_says_so(tmp_path: Path) -> None:
    slots = "10:13:SL:NAME,6:13:SL:PEOPLE,18:23:SL:SENDER"
    fields = MTOP_LINE.split("\t")
    path = tmp_path / "x.tsv"
    path.write_text("\t".join([*fields[:2], slots, *fields[3:]]), "utf-8")
    (example,), reading = read_part(path, "task")
    assert example.spans == (Span(1, 3, "PEOPLE"), Span(4, 5, "SENDER"))
    assert reading.notes == (
        "slots nested in others or on no token, which are left out: 1 (the first in line 1)",
    )


@pytest.mark.parametrize(
    ("official", "part", "odd"),
    [("eval-en.tsv", "dev", []), ("test-en.tsv", "test", [273, 305, 1433])],
)
def test_official_mtod_gives_the_published_tags(
    shared: Path, official: str, part: str, odd: list[int]
) -> None:
    folder = shared / "data" / "labelled" / "mtod"
    examples, reading = read_part(folder / "official" / official, "mtod")
    assert reading.format == "mtod"
    rows = {
        name: (folder / part / name).read_text("utf-8").splitlines()
        for name in ("seq.in", "seq.out", "label")
    }
    assert [" ".join(e.words) for e in examples] == rows["seq.in"]
    assert [e.intent for e in examples] == rows["label"]
    tags = [" ".join(spans_to_bio(e.spans, len(e.words))) for e in examples]
    pairs = enumerate(zip(tags, rows["seq.out"], strict=True), start=1)
    assert [line for line, (ours, published) in pairs if ours != published] == odd


def test_seq_splits_on_any_white_space_and_keeps_intents(tmp_path: Path) -> None:
    examples = seq(tmp_path, "add  it \nstop\n\n", "O B-x \nO \n", "add it\n\n")
    assert examples == (
        Example(("add", "it"), (Span(1, 2, "x"),), "task", intent="add it"),
        Example(("stop",), (), "task"),
    )


@pytest.mark.parametrize(
    ("words", "tags", "label", "message"),
    [
        ("a b\nc d\n", "O O\nO\n", None, "seq.out:2: 1 tags for the 2 words"),
        ("a\n\nb\n", "O\n\nO\n", None, "seq.in:2: an empty sentence"),
        ("a\nb\n", "O\n", None, "seq.out: 1 lines, but seq.in has 2"),
        ("a\n", "O\nO\n", None, "seq.out:2: a line too many"),
        ("a\nb\n", "O\nO\n", "x\n", "label: 1 lines, but seq.in has 2"),
        ("a\nb\n", "O\nX-y\n", None, "seq.out:2: 'X-y' is not a tag"),
        ("\n", "\n", None, "no sentence"),
    ],
)
def test_bad_seq(tmp_path: Path, words: str, tags: str, label: str | None, message: str) -> None:
    with pytest.raises(DataError) as caught:
        seq(tmp_path, words, tags, label)
    assert message in str(caught.value)


def test_columns_comments_documents_and_line_ends(tmp_path: Path) -> None:
    text = (
        "\ufeff-DOCSTART- -X- O\r\n\r\n# a comment that ends in O\r\nEU NNP I-ORG\r\n# # O\r\n"
        "\r\n\r\n# sent_id = 2\r\n#tag NN I-MISC\r\ncaf\u00e9\tVB\tO"
    )
    first, second = read(tmp_path, "x.conll", text)
    assert first == Example(("EU", "#"), (Span(0, 1, "ORG"),), "task")
    assert second == Example(("#tag", "café"), (Span(0, 1, "MISC"),), "task")


def test_carriage_returns_alone_end_lines(tmp_path: Path) -> None:
    expected = (Example(("to", "Oslo"), (Span(1, 2, "x"),), "task"), Example(("stop",), (), "task"))
    assert read(tmp_path, "x.conll", "to O\rOslo B-x\r\rstop O\r") == expected
    rows = '{"words": ["to", "Oslo"], "spans": [{"start": 1, "end": 2, "label": "x"}]}\r'
    assert read(tmp_path, "x.jsonl", rows + '{"words": ["stop"], "spans": []}\r') == expected


def test_tag_first_or_last_is_decided_by_the_whole_file(tmp_path: Path) -> None:
    tag_first = "O\tO\nB-x\tabba\n\nO\tplay\n"
    tag_last = "O\tO\nabba\tB-x\n\nplay\tO\n"
    expected = (
        Example(("O", "abba"), (Span(1, 2, "x"),), "task"),
        Example(("play",), (), "task"),
    )
    for name in ("a.txt", "a.bio", "a.tsv"):
        assert read(tmp_path, name, tag_first) == expected
        assert read(tmp_path, name, tag_last) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.bio", "O\ta\n\nB-x\n", "x.bio:3: 1 column(s) where 2 columns belong"),
        ("x.bio", "O\ta\nB-x\t\nO\tb\n", "x.bio:2: '' is not one word"),
        ("x.bio", "O\ta\nB-x\tnew york\n", "x.bio:2: 'new york' is not one word"),
        ("x.bio", "O\ta\nQ-x\tb\n", "x.bio:2: 'Q-x' is not a tag of the bio scheme"),
        ("x.conll", "a O\nb\n", "x.conll:2: 1 column(s) where 2 columns belong"),
        ("x.conll", "a\nb\n", "x.conll:1: 1 column(s) where a word and its tag belong"),
        ("x.conll", "a U-x\nb S-x\n", "x.conll:2: 'S-x' is not a tag of the bilou scheme"),
        ("x.txt", "just text\nmore text\n", "x.txt: no known format"),
        ("x.conll", " \n\n", "x.conll: the file is empty"),
        ("x.conll", "# only\n# comments\n", "x.conll"),
        ("x.doc", "just text\n", "x.doc: unknown extension '.doc'"),
        ("x.csv", "just,text\n", "x.csv: no known format"),
        ("x.conll", "a B-O\n", "x.conll:1: a label may not be named 'O'"),
    ],
)
def test_bad_columns(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, name, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_broken_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    path.write_bytes(b"a O\nb O\n\nc\xe9 O\n")
    with pytest.raises(DataError, match=r"x\.conll:4: byte 0xe9 is not UTF-8.*Windows-1252"):
        read_part(path, "task")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((2, "6:9"), "slot '6:9' is not start:end:label"),
        ((2, "6:99:SL:X"), "does not fit an utterance of 41 characters"),
        ((7, "{}"), "is not JSON with tokens"),
        ((7, '{"tokens":["a"],"tokenSpans":[]}'), "1 tokens but 0 tokenSpans"),
        ((7, '{"tokens":["a"],"tokenSpans":[{"start":50,"length":1}]}'), "do not ascend"),
    ],
)
def test_bad_mtop(tmp_path: Path, change: tuple[int, str], message: str) -> None:
    fields = MTOP_LINE.split("\t")
    fields[change[0]] = change[1]
    with pytest.raises(DataError) as caught:
        read(tmp_path, "x.tsv", MTOP_LINE + "\n\n" + "\t".join(fields) + "\n")
    assert "x.tsv:3: " in str(caught.value)
    assert message in str(caught.value)
    with pytest.raises(DataError, match=r"x\.tsv:2: 1 tab-separated columns where 8 belong"):
        read(tmp_path, "x.tsv", MTOP_LINE + "\nshort\n")
