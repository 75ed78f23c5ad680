"""The tokenizer without transformers gives the ids that transformers' gives, and says when not."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from helpers import tiny_tokenizer
from hyperloader.builtin import backbone_path, run_path
from hyperloader.codec.light_tokenizer import CONFIG, FILE, LightTokenizer, light_tokenizer
from hyperloader.codec.pieces import SubTokens, WordPieces
from hyperloader.codec.tokenizer import train_tokenizer
from hyperloader.corpora.registry import load_corpora
from hyperloader.trust import load_tokenizer

ODD = [
    *(
        "",
        " ",
        "▁",
        "</s>",
        "<pad>",
        "<unk>",
        "<extra_id_0>",
        "a<extra_id_5>b",
        "<0x41>",
        "İstanbul",
    ),
    *(
        "e\u0301",
        "ﬁ",
        "ß",
        "日本語",
        "שלום",
        "\u202eabc\u202c",
        "\u200b",
        "\ufeff",
        "\x00",
        "\ufffd",
    ),
    *(
        "👩\u200d👩\u200d👧",
        "🇩🇪",
        "\U0010ffff",
        "\ue000",
        "a" * 300,
        "Ünïcode",
        "don't",
        "3:30",
        "  x  y ",
    ),
]


@cache
def both() -> tuple[LightTokenizer, PreTrainedTokenizerBase]:
    folder = run_path("builtin-t5") / "tokenizer"
    ours = light_tokenizer(folder)
    assert ours is not None
    return ours, AutoTokenizer.from_pretrained(folder)


def assert_same(texts: list[str]) -> None:
    ours, theirs = both()
    for split in (True, False):
        for add in (True, False):
            options = {"add_special_tokens": add, "split_special_tokens": split}
            found = ours(texts, return_attention_mask=True, **options)
            expected = theirs(texts, return_attention_mask=True, **options)
            assert found["input_ids"] == expected["input_ids"]
            assert found["attention_mask"] == expected["attention_mask"]
    assert WordPieces(ours)(texts) == WordPieces(theirs)(texts)


def test_odd_texts_have_the_same_ids() -> None:
    assert_same(ODD)


def test_real_words_and_sentences_have_the_same_ids(shared: Path) -> None:
    tasks = ["atis", "restaurant", "snips"]
    corpora = load_corpora(shared / "data" / "labelled", tasks).values()
    sentences = [e.words for corpus in corpora for e in corpus.splits["test"]]
    words = sorted({word for sentence in sentences for word in sentence})
    assert len(words) > 3_000
    ours, theirs = both()
    assert WordPieces(ours)(words) == WordPieces(theirs)(words)
    assert_same([" ".join(sentence) for sentence in sentences[::10]])


@given(texts=st.lists(st.text(max_size=20), min_size=1, max_size=5))
@example(texts=["</s> <pad>", "<extra_id_199><extra_id_200>"])
@settings(max_examples=60)
def test_any_text_has_the_same_ids(texts: list[str]) -> None:
    assert_same(texts)


@given(texts=st.lists(st.text(max_size=20), min_size=1, max_size=5))
@example(texts=[*ODD, "[CLS]", "a[SEP]b", "[MASK] [UNK]", "İSTANBUL É é", "##ing"])
@settings(max_examples=60)
def test_words_have_the_ids_of_berts_tokenizer(texts: list[str]) -> None:
    ours, theirs = of_minilm()
    assert SubTokens(ours)(texts) == SubTokens(theirs)(texts)


@cache
def of_minilm() -> tuple[LightTokenizer, PreTrainedTokenizerBase]:
    folder = Path(backbone_path("minilm"))
    ours = light_tokenizer(folder)
    assert ours is not None
    return ours, AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (CONFIG, {"do_lower_case": False}),
        (CONFIG, {"strip_accents": True}),
        (CONFIG, {"tokenize_chinese_chars": False}),
        (CONFIG, {"never_split": ["x"]}),
        (CONFIG, {"tokenizer_class": "ElectraTokenizer"}),
        (CONFIG, {"mask_token": "[M]"}),
        (FILE, {"pre_tokenizer": {"type": "Whitespace"}}),
        (FILE, {"normalizer": None}),
    ],
)
def test_a_bert_whose_settings_and_file_differ_is_left_to_transformers(
    tmp_path: Path, name: str, values: dict[str, Any]
) -> None:
    for file in (FILE, CONFIG):
        (tmp_path / file).write_bytes((Path(backbone_path("minilm")) / file).read_bytes())
    assert light_tokenizer(tmp_path) is not None
    changed(name, **values)(tmp_path)
    assert light_tokenizer(tmp_path) is None


def test_ids_of_special_tokens_and_vocabulary_are_the_same() -> None:
    ours, theirs = both()
    assert ours.get_vocab() == theirs.get_vocab()
    assert set(ours.all_special_ids) == set(theirs.all_special_ids)
    assert len(ours.all_special_ids) == 203
    for name in ("pad_token_id", "eos_token_id", "unk_token_id"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_it_is_saved_alike_wherever_it_was_loaded_from(tmp_path: Path) -> None:
    ours, _ = both()
    ours.save_pretrained(tmp_path / "saved")
    train_tokenizer(["a lamp"], vocab_size=400).save_pretrained(tmp_path / "made")
    load_tokenizer(tmp_path / "made").save_pretrained(tmp_path / "loaded")
    light_tokenizer(tmp_path / "loaded").save_pretrained(tmp_path / "light")  # type: ignore[union-attr]
    AutoTokenizer.from_pretrained(tmp_path / "made").save_pretrained(tmp_path / "noted")
    assert "is_local" in (tmp_path / "noted" / CONFIG).read_text()  # else there is nothing to drop
    light_tokenizer(tmp_path / "noted").save_pretrained(tmp_path / "dropped")  # type: ignore[union-attr]
    for name in (FILE, CONFIG):
        made = (tmp_path / "made" / name).read_bytes()
        for other in ("loaded", "light", "dropped"):
            assert (tmp_path / other / name).read_bytes() == made, other
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert again(ODD)["input_ids"] == ours(ODD)["input_ids"]


def changed(name: str, **values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


@pytest.mark.parametrize(
    "change",
    [
        changed(CONFIG, tokenizer_class="T5Tokenizer"),
        changed(CONFIG, add_prefix_space=True),
        changed(CONFIG, eos_token="<end>"),
        changed(CONFIG, extra_special_tokens=["<extra_id_0>", "<new>"]),
        changed(CONFIG, pad_token=None),
        changed(FILE, added_tokens=[]),
        changed(FILE, model={"type": "none"}),
        lambda folder: (folder / FILE).write_text("{"),
        lambda folder: (folder / CONFIG).unlink(),
        lambda folder: (folder / "special_tokens_map.json").write_text("{}"),
    ],
)
def test_other_and_damaged_tokenizers_are_left_to_transformers(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    tiny_tokenizer().save_pretrained(tmp_path)
    assert light_tokenizer(tmp_path) is not None
    change(tmp_path)
    assert light_tokenizer(tmp_path) is None


def test_a_folder_that_is_not_there_is_left_to_transformers(tmp_path: Path) -> None:
    assert light_tokenizer(tmp_path / "nowhere") is None
