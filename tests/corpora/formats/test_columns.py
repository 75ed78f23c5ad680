"""Columns as people have them: CoNLL-2003, GermEval, WikiANN, OntoNotes, CoNLL-U, odd tags."""

from pathlib import Path
from typing import Any

import pytest

from corpus_files import read, surfaces, write
from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import DataError

CONLL_2003 = """-DOCSTART- -X- -X- O

Lindqvist NNP I-NP I-PER
visited VBD I-VP O
Port NNP I-NP I-LOC
Ellen NNP I-NP I-LOC
Islay NNP B-NP B-LOC
. . O O

Rain NN I-NP O
"""


def test_conll_2003_from_its_own_files(tmp_path: Path) -> None:
    for name in ("eng.train", "eng.testa", "eng.testb"):
        write(tmp_path / "conll2003", name, CONLL_2003)
    corpus = load_corpora(tmp_path / "conll2003")["conll2003"]
    assert {part: len(examples) for part, examples in corpus.splits.items()} == {
        "train": 2, "validation": 2, "test": 2,
    }  # fmt: skip
    first = corpus.splits["test"][0]
    assert surfaces(first) == [("Lindqvist", "PER"), ("Port Ellen", "LOC"), ("Islay", "LOC")]
    assert [reading.format for reading in corpus.readings] == ["conll"] * 3
    assert corpus.readings[0].notes == ()  # I- without B- is what IOB1 writes, no repair


def test_a_column_is_chosen_by_number_or_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, "x.txt", CONLL_2003)
    (first, _), _ = read(path, tag=3)
    assert [label for _, label in surfaces(first)] == ["NP", "VP", "NP", "NP"]
    (first, _), _ = read(path, tag=-2, word=2)
    assert first.words[0] == "NNP"
    named = write(tmp_path, "named.conllup", "# global.columns = ID FORM NE XPOS\n1\tBo\tB-P\tN\n")
    (only,), reading = read(named)
    assert surfaces(only) == [("Bo", "P")]
    assert "column 3 holds tags" in reading.reason
    (only,), _ = read(named, word="XPOS", tag="ne")
    assert only.words == ("N",)
    with pytest.raises(DataError, match=r"no column named 'NER' \(names: ID, FORM, NE, XPOS\)"):
        read(named, tag="NER", format="conll")
    with pytest.raises(DataError, match="there is no column 9: the file has 4"):
        read(named, tag=9, format="conll")
    header = write(tmp_path, "h.tsv", "token\tpos\tner\nBo\tN\tB-P\nran\tV\tO\n")
    (only,), _ = read(header)
    assert (only.words, surfaces(only)) == (("Bo", "ran"), [("Bo", "P")])


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("#ely PLACE\nand O\nCambs PLACE\n", {}),
        ("# by hand\n#ely b-place\nand o\nCambs b-place\n", {}),
        ("# id 1\n#ely B-PLACE HT\nand O CC\nCambs B-PLACE NN\n", {"tag": 2}),
        ("word\ttag\tpos\n#ely\tB-PLACE\tHT\nand\tO\tCC\nCambs\tB-PLACE\tNN\n", {}),
    ],
)
def test_a_hashtag_is_a_word_however_tags_are_written(
    tmp_path: Path, text: str, options: dict[str, Any]
) -> None:
    (only,), _ = read(write(tmp_path, "x.conll", text), **options)
    assert only.words == ("#ely", "and", "Cambs")
    assert [words for words, _ in surfaces(only)] == ["#ely", "Cambs"]


def test_more_names_than_columns(tmp_path: Path) -> None:
    (only,), _ = read(write(tmp_path, "x.conll", "# global.columns = FORM NE XPOS\nBo B-P\n"))
    assert (only.words, surfaces(only)) == (("Bo",), [("Bo", "P")])
    (only,), _ = read(write(tmp_path, "y.conll", "# global.columns = FORM XPOS NE\nBo B-P\n"))
    assert surfaces(only) == [("Bo", "P")]


def test_germeval_reads_the_outer_layer_and_says_so(tmp_path: Path) -> None:
    text = (
        "#\thttp://example.org/a\t[2011-02-03]\n"
        "1\tDie\tO\tO\n2\tUni\tB-ORG\tO\n3\tJena\tI-ORG\tB-LOC\n4\tlehrt\tO\tO\n\n"
        "#\thttp://example.org/b\t[2011-02-04]\n1\tJena\tB-LOC\tO\n"
    )
    (first, second), reading = read(write(tmp_path, "NER-de-train.tsv", text))
    assert first.words == ("Die", "Uni", "Jena", "lehrt")
    assert surfaces(first) == [("Uni Jena", "ORG")]
    assert surfaces(second) == [("Jena", "LOC")]
    assert "words with a nested tag in the last column, which is not read: 1" in reading.notes
    assert "words are column 2; passed over: column 1 (it numbers the words)" in reading.notes


def test_wikiann_loses_its_language(tmp_path: Path) -> None:
    text = "pt:Porto\tB-LOC\npt:e\tO\npt:Faro\tB-LOC\n\npt:Ana:Rita\tB-PER\n"
    (first, second), reading = read(write(tmp_path, "train", text))
    assert (first.words, second.words) == (("Porto", "e", "Faro"), ("Ana:Rita",))
    assert reading.notes == ("every word begins with 'pt:', which is left off",)
    mixed = "pt:Porto\tB-LOC\nor\tO\nen:Ely\tB-LOC\n"
    ((only,), _) = read(write(tmp_path, "mixed.tsv", mixed))
    assert only.words == ("pt:Porto", "or", "en:Ely")


def test_columns_of_ids_are_passed_over(tmp_path: Path) -> None:
    text = "wb/a/01 0 0 Anna NNP B-PERSON\nwb/a/01 0 1 slept VBD O\n\nwb/a/02 1 0 Hi UH O\n"
    (first, second), reading = read(write(tmp_path, "x.conll", text))
    assert (first.words, second.words) == (("Anna", "slept"), ("Hi",))
    assert surfaces(first) == [("Anna", "PERSON")]
    assert reading.notes[0].startswith("words are column 4; passed over: column 1 (it is the same")


CONLL_U = """# sent_id = 1
# text = Zum Rhein, bitte.
1-2\tZum\t_\t_\t_\t_\t_\t_\t_\t_
1\tZu\tzu\tADP\t_\t_\t3\tcase\t_\tner=O
2\tdem\tder\tDET\t_\t_\t3\tdet\t_\tner=O
3\tRhein\tRhein\tPROPN\t_\t_\t0\troot\t_\tner=B-RIVER|SpaceAfter=No
4\t,\t,\tPUNCT\t_\t_\t5\tpunct\t_\t_
5\tbitte\tbitte\tINTJ\t_\t_\t3\tdiscourse\t_\tSpaceAfter=No|ner=O

# text = Ely, Cambs
1\tEly\tEly\tPROPN\t_\t_\t0\troot\t_\tner=B-CITY|SpaceAfter=No
2\t,\t,\tPUNCT\t_\t_\t3\tpunct\t_\tner=O
3\tCambs\tCambs\tPROPN\t_\t_\t1\tappos\t_\tner=B-COUNTY
"""


def test_conll_u_with_entities_in_misc(tmp_path: Path) -> None:
    (first, second), reading = read(write(tmp_path, "de-train.conllu", CONLL_U))
    assert reading.format == "conllu"
    assert "tags at 'ner' in the last" in reading.reason
    assert first.words == ("Zu", "dem", "Rhein", ",", "bitte")
    assert surfaces(first) == [("Rhein", "RIVER")]
    assert (first.text, second.text) == (None, "Ely, Cambs")
    assert second.offsets == ((0, 3), (3, 4), (5, 10))
    assert reading.notes == (
        "rows of multiword tokens and empty nodes, which are passed over: 1 (the first in line 3)",
    )
    bare = "1\tEly\tEly\tPROPN\t_\t_\t0\troot\t_\tSpaceAfter=No\n"
    with pytest.raises(DataError, match="CoNLL-U without entities: looked for tags such as name="):
        read(write(tmp_path, "bare.conllu", bare))


def test_conll_u_with_tags_as_its_last_column(tmp_path: Path) -> None:
    text = "# text = Ely slept\n1\tEly\tEly\tPROPN\t_\t_\t2\tnsubj\t_\tB-CITY\n"
    text += "2\tslept\tsleep\tVERB\t_\t_\t0\troot\t_\tO\n"
    (only,), reading = read(write(tmp_path, "x.conll", text))
    assert (reading.format, only.words, surfaces(only)) == (
        "conll", ("Ely", "slept"), [("Ely", "CITY")],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tags", "spans", "name"),
    [
        ("b-org i-org o b-org", [("w x", "org"), ("z", "org")], "lower-case prefixes"),
        ("B_ORG I_ORG O B_ORG", [("w x", "ORG"), ("z", "ORG")], "an underscore"),
        ("ORG-B ORG-I O ORG-B", [("w x", "ORG"), ("z", "ORG")], "behind the label"),
        ("ORG_B ORG_I O ORG_B", [("w x", "ORG"), ("z", "ORG")], "behind the label"),
        ("B-LOC M-LOC E-LOC S-LOC", [("w x y", "LOC"), ("z", "LOC")], "BMES"),
        ("B-ORG I-ORG _ B-PER", [("w x", "ORG"), ("z", "PER")], "_ outside of spans"),
        ("ORG ORG O PER", [("w x", "ORG"), ("z", "PER")], "labels without a prefix"),
    ],
)
def test_tags_in_another_spelling(
    tmp_path: Path, tags: str, spans: list[tuple[str, str]], name: str
) -> None:
    rows = zip("wxyz", tags.split(), strict=True)
    text = "".join(f"{word} {tag}\n" for word, tag in rows)
    (only,), reading = read(write(tmp_path, "x.txt", text))
    assert surfaces(only) == spans
    assert "the tags have another spelling" in reading.notes[0]
    assert name in reading.notes[0]


def test_repaired_tags_are_counted_or_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "x.conll", "a B-x\nb O\nc I-x\n\nd I-y\n")
    (first, second), reading = read(path)
    assert (surfaces(first), surfaces(second)) == ([("a", "x"), ("c", "x")], [("d", "y")])
    assert reading.notes == (
        "tags that go on with no open span, read as the start of one: 2 (the first in line 1)",
    )
    refused = r"x\.conll:1: tags that go on .*; mend it, or read without strict"
    with pytest.raises(DataError, match=refused):
        read(path, strict=True)
