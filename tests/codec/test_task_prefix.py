"""The task's name before the source: who gets it, what it is, and that it costs room."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import LABELS, SENTENCES, mt5_like_tokenizer, tiny_codec, tiny_model, tiny_tokenizer
from hyperloader.checkpoint import load_checkpoint, save_checkpoint
from hyperloader.codec.batch import encode_example, encode_words
from hyperloader.codec.codec import CodecConfig
from hyperloader.codec.tokenizer import train_tokenizer
from hyperloader.errors import ConfigError
from hyperloader.outputs.sentt.codec import SentTCodec, sentt_text
from hyperloader.tagger import Tagger
from hyperloader.training.setup import build
from hyperloader.types import Example, Span
from training_helpers import corpora, make_trainer, recipe

PREFIXED = tiny_codec(task_prefix=True)
PLAIN = tiny_codec()


def test_the_source_is_the_tasks_name_and_then_the_text() -> None:
    words = ["play", "the", "song"]
    for task in LABELS:
        (window,) = encode_words(PREFIXED, words, task)
        text = PREFIXED.tokenizer.decode(window.source)
        expected = f"{task} {sentt_text(words)}</s>"
        assert text.replace(" ", "") == expected.replace(" ", "")
        name = PREFIXED.tokenizer(task, add_special_tokens=False)["input_ids"]
        assert window.source == [*name, *PLAIN.encode_source(words)]


def test_the_target_has_no_prefix() -> None:
    found = Example(("play", "it"), (Span(1, 2, "ITEM"),), "music")
    ((ours,), (plain,)) = (encode_example(codec, found) for codec in (PREFIXED, PLAIN))
    assert ours.target == plain.target
    assert ours.source != plain.source


def test_without_a_task_there_is_no_prefixed_source() -> None:
    with pytest.raises(ValueError, match="say which"):
        PREFIXED.encode_source(["play"])
    assert PLAIN.encode_source(["play"]) == PLAIN.encode_source(["play"], "music")


@settings(max_examples=100)
@given(
    words=st.lists(st.text(max_size=9), min_size=1, max_size=40),
    budget=st.integers(20, 48),
    task=st.sampled_from([*LABELS]),
)
def test_the_name_counts_in_the_budget(words: list[str], budget: int, task: str) -> None:
    codec = tiny_codec(task_prefix=True, max_source_tokens=budget, overlap=2)
    (name,) = codec.pieces([task])
    covered: set[int] = set()
    for window in encode_words(codec, words, task):
        assert len(window.source) <= budget
        assert tuple(window.source[: len(name)]) == name
        assert window.source[len(name)] == codec.pieces.sentinels[0]
        covered |= set(range(window.window.start, window.window.end))
    assert covered == set(range(len(words)))
    assert {len(codec.windows(words))} == {len(encode_words(codec, words, t)) for t in LABELS}


def test_a_name_is_never_a_special_token() -> None:
    for tokenizer in (tiny_tokenizer(), mt5_like_tokenizer()):
        codec = SentTCodec(
            tokenizer, {"</s>": (), "<extra_id_0>": ()}, CodecConfig(task_prefix=True)
        )
        special = {*tokenizer.all_special_ids, *codec.pieces.sentinels} - {codec.pieces.unk}
        for ids in codec.prefixes.values():
            assert ids
            assert special.isdisjoint(ids)


def test_names_that_cannot_be_told_or_leave_no_room_are_refused() -> None:
    alike = {"Music": (), "music": ()}
    tokenizer = train_tokenizer(SENTENCES, vocab_size=400, lowercase=True)
    with pytest.raises(ConfigError, match=r"the tasks 'Music' and 'music' the same.*rename one"):
        SentTCodec(tokenizer, alike, CodecConfig(task_prefix=True))
    assert SentTCodec(tokenizer, alike).prefixes == {}
    with pytest.raises(ConfigError, match=r"leaves no room for a word in max_source_tokens 16"):
        SentTCodec(
            tiny_tokenizer(), {"x" * 60: ()}, CodecConfig(task_prefix=True, max_source_tokens=16)
        )


@pytest.mark.parametrize(
    ("method", "tasks", "expected"),
    [
        ("hyperdecoder", ("dining",), True),
        ("hyperdecoder", ("dining", "home"), True),
        ("full", ("dining",), False),
        ("full", ("dining", "home"), True),
        ("hyperloader", ("dining", "home"), False),
        ("unipelt-t5", ("dining",), False),
    ],
)
def test_the_method_decides_and_a_recipe_overrules(
    method: str, tasks: tuple[str, ...], expected: bool
) -> None:
    on = {name: corpora()[name] for name in tasks}
    base: dict[str, Any] = {"model": {"method": method, "train_backbone": "all"}}
    assert build(recipe(**base), on).codec.config.task_prefix is expected
    other = build(recipe(**base, codec={"task_prefix": not expected}), on)
    assert other.codec.config.task_prefix is not expected


def test_it_is_saved_and_used_when_tagging(tmp_path: Path) -> None:
    model = tiny_model(PREFIXED, random=True)
    save_checkpoint(tmp_path / "c", model, PREFIXED)
    codec = load_checkpoint(tmp_path / "c").codec
    assert isinstance(codec, SentTCodec)
    assert codec.config.task_prefix
    assert codec.prefixes == PREFIXED.prefixes
    trainer = make_trainer(tmp_path / "run", model={"method": "full"})
    trainer.train()
    tagger = Tagger.from_pretrained(tmp_path / "run")
    assert isinstance(tagger.codec, SentTCodec)
    assert set(tagger.codec.prefixes) == {"dining", "home"}
    tagged = tagger.tag("a table for two at noon", "dining")
    assert len(tagged.words) == 6
