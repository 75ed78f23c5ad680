"""The tagger: spans that lie in the text as it was given, whatever the text."""

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from helpers import LABELS, tiny_codec, tiny_model
from hyperloader.errors import HyperloaderError
from hyperloader.tagger import Tagger
from hyperloader.types import TaggedSpan, TaggedText


def make_tagger(**config: int) -> Tagger:
    """Random weights, which find spans everywhere."""
    codec = tiny_codec(**config)
    return Tagger(tiny_model(codec, random=True, seed=8), codec)


TAGGER = make_tagger()
TEXTS = [
    "play little robin redbreast",
    "",
    "show me flights from boston to denver",
    "O I TRACK </s> <extra_id_5>",
    "   \t ",
    "one",
]


def check(found: TaggedText, text: str, task: str) -> None:
    """Everything that must hold of a result whatever the model says."""
    assert (found.text, found.task) == (text, task)
    assert found.words == tuple(text.split())
    assert [text[a:b] for a, b in found.offsets] == list(found.words)
    end = 0
    for span in found.spans:
        assert text[span.start : span.end] == span.text
        assert span.label in LABELS[task]
        assert 0 < span.score <= 1
        assert end <= span.word_start < span.word_end <= len(found.words)
        assert span.start == found.offsets[span.word_start][0]
        assert span.end == found.offsets[span.word_end - 1][1]
        end = span.word_end


words = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            *("</s>", "<pad>", "<unk>", "<extra_id_0>", "<extra_id_5>", "<extra_id_99>", "▁"),
            *(
                "😀",
                "👩‍👩‍👧",
                "🇩🇪",
                "e\u0301",
                "שלום",
                "\u202eabc\u202c",
                "\u200b",
                "\ufeff",
                "ﬁ",
                "ß",
            ),
            *("O", "I", "TRACK", "a" * 300),
        ]
    ),
)
gaps = st.sampled_from([" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", "\x1f", ""])


@given(
    parts=st.lists(st.tuples(gaps, words), max_size=12), tail=gaps, task=st.sampled_from([*LABELS])
)
@example(parts=[(" ", "x"), ("", "</s>")], tail="\n", task="music")
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_spans_lie_in_the_text_as_given(parts: list[tuple[str, str]], tail: str, task: str) -> None:
    text = "".join(gap + word for gap, word in parts) + tail
    check(TAGGER.tag(text, task), text, task)


def test_a_random_model_finds_spans_at_all() -> None:
    """Or the tests here would check nothing."""
    found = TAGGER.tag(TEXTS, "music")
    assert sum(len(tagged.spans) for tagged in found) > 3
    assert any(span.word_end - span.word_start > 1 for tagged in found for span in tagged.spans)


def test_one_text_gives_one_result_and_a_list_gives_a_list() -> None:
    one = TAGGER.tag(TEXTS[0], "music")
    assert isinstance(one, TaggedText)
    assert TAGGER.tag([TEXTS[0]], "music") == [one]
    assert TAGGER.tag([], "music") == []
    assert TAGGER.tag([], []) == []


def close(one: TaggedText, other: TaggedText) -> None:
    """The same but for rounding of the scores (a batch is computed in another order)."""
    assert (one.text, one.words, one.task) == (other.text, other.words, other.task)
    for ours, theirs in zip(one.spans, other.spans, strict=True):
        assert (ours.start, ours.end, ours.label) == (theirs.start, theirs.end, theirs.label)
        assert ours.score == pytest.approx(theirs.score, rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_a_list_is_tagged_as_its_texts_alone_in_their_order(batch_size: int) -> None:
    for together, text in zip(
        TAGGER.tag(TEXTS, "music", batch_size=batch_size), TEXTS, strict=True
    ):
        check(together, text, "music")
        close(together, TAGGER.tag(text, "music"))


def test_a_task_for_each_text_is_as_single_task_calls() -> None:
    tasks = ["music", "one", "flights", "music", "flights", "one"]
    together = TAGGER.tag(TEXTS, tasks)
    for tagged, text, task in zip(together, TEXTS, tasks, strict=True):
        check(tagged, text, task)
        close(tagged, TAGGER.tag(text, task))
    assert TAGGER.tag(TEXTS[2], "music").spans != TAGGER.tag(TEXTS[2], "flights").spans


@pytest.mark.parametrize("text", ["", " ", "\n", "\t \u3000\r\n"])
def test_blank_texts_have_no_words_and_no_spans(text: str) -> None:
    tagged = TAGGER.tag(text, "music")
    assert (tagged.text, tagged.words, tagged.spans) == (text, (), ())


def test_ten_thousand_words_are_tagged_whole_in_one_call() -> None:
    tagger = make_tagger(max_words=20, overlap=4)
    vocabulary = ["play", "boston", "</s>", "<extra_id_7>", "😀", "O", "thing"]
    text = " ".join(vocabulary[i * i % 7] for i in range(10_000))
    tagged = tagger.tag(text, "one", batch_size=256)
    check(tagged, text, "one")
    assert len(tagged.words) == 10_000
    assert max(span.word_end for span in tagged.spans) > 9_900


def test_a_word_longer_than_any_window_is_still_a_word() -> None:
    tagger = make_tagger(max_source_tokens=16)
    text = "play " + "x" * 5_000 + " now"
    check(tagger.tag(text, "music"), text, "music")


@pytest.mark.parametrize("task", ["musik", "", "Music"])
def test_an_unknown_task_lists_the_tasks(task: str) -> None:
    for call in (
        lambda: TAGGER.tag("a b", task),
        lambda: TAGGER.tag(["a", "b"], ["music", task]),
        lambda: TAGGER.labels(task),
        lambda: next(TAGGER.pipe(["a"], task)),
    ):
        with pytest.raises(HyperloaderError) as caught:
            call()
        assert all(name in str(caught.value) for name in LABELS)
        assert "\n" not in str(caught.value)
    with pytest.raises(HyperloaderError, match="did you mean 'music'"):
        TAGGER.tag("a", "musik")


def test_tasks_that_do_not_match_the_texts_are_refused() -> None:
    with pytest.raises(HyperloaderError, match="2 texts but 1 tasks"):
        TAGGER.tag(["a", "b"], ["music"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not \udcff fine", "text 1 is not valid Unicode at character 4"),
        (None, "text 1 is not a string but of type NoneType"),
        (b"bytes", "text 1 is not a string but of type bytes; decode it first"),
        (["words"], "text 1 is not a string but of type list"),
    ],
)
def test_what_is_no_text_is_refused(text: object, said: str) -> None:
    for call in (TAGGER.tag, lambda texts, task: list(TAGGER.pipe(texts, task))):
        with pytest.raises(HyperloaderError, match=said) as caught:
            call(["fine", text], "music")  # type: ignore[list-item]
        assert "\n" not in str(caught.value)


def test_pipe_streams_in_order_and_holds_little() -> None:
    drawn = 0

    def endless() -> Iterator[str]:
        nonlocal drawn
        while True:
            yield f"play song {drawn}"
            drawn += 1

    stream = TAGGER.pipe(endless(), "music", batch_size=2)
    assert drawn == 0, "nothing is read before it is asked for"
    found = [next(stream) for _ in range(20)]
    assert [tagged.words[2] for tagged in found] == [str(i) for i in range(20)]
    assert drawn <= 20 + 4 * 2
    assert [t.text for t in TAGGER.pipe(iter(TEXTS), "music", batch_size=1)] == TEXTS
    assert list(TAGGER.pipe([], "music")) == []


def test_pipe_reads_tasks_along_with_the_texts() -> None:
    tasks = ["music", "one", "flights", "music", "flights", "one"]
    expected = TAGGER.tag(TEXTS, tasks)
    for size, names in ((1, tasks), (2, iter(tasks)), (64, itertools.cycle(tasks))):
        found = list(TAGGER.pipe(iter(TEXTS), names, batch_size=size))
        assert [tagged.task for tagged in found] == tasks
        for one, other in zip(found, expected, strict=True):
            close(one, other)
    with pytest.raises(HyperloaderError, match="6 texts but 1 tasks"):
        list(TAGGER.pipe(TEXTS, ["music"]))
    with pytest.raises(HyperloaderError, match="the tasks end before the texts do"):
        list(TAGGER.pipe(iter(TEXTS), iter(["music"])))


def test_pipe_passes_contexts_through() -> None:
    contexts = [object() for _ in TEXTS]
    pairs = zip(TEXTS, contexts, strict=True)
    found = list(TAGGER.pipe(pairs, "music", as_tuples=True, batch_size=1))
    assert [context for _, context in found] == contexts
    for (tagged, _), other in zip(found, TAGGER.tag(TEXTS, "music"), strict=True):
        close(tagged, other)


def test_split_text_is_tagged_as_it_is_split() -> None:
    for text in TEXTS:
        close(
            TAGGER.tag_words(text.split(), "music") if text.split() else TAGGER.tag("", "music"),
            TAGGER.tag(" ".join(text.split()), "music"),
        )
    sentences = [("new york", "is", "a.", "city"), [], ["one"]]
    found = TAGGER.tag_words(sentences, ["music", "one", "one"])
    assert [tagged.text for tagged in found] == ["new york is a. city", "", "one"]
    assert [tagged.words for tagged in found] == [tuple(words) for words in sentences]
    assert found[0].offsets == ((0, 8), (9, 11), (12, 14), (15, 19))
    for tagged in found:
        for span in tagged.spans:
            words = tagged.words[span.word_start : span.word_end]
            assert span.text == tagged.text[span.start : span.end] == " ".join(words)
    assert sum(len(tagged.spans) for tagged in found)
    assert TAGGER.tag_words([], "music") == []


@pytest.mark.parametrize(
    ("sentences", "said"),
    [
        ("play it", "sentence 0 is a string|use tag"),
        ([["play"], "it"], "sentence 1 is a string"),
        ([["play", ""]], "word 1 of sentence 0 is empty"),
        ([["play", None]], "word 1 of sentence 0 is not a string"),
        ([["\ud800"]], "word 0 of sentence 0 is not valid Unicode"),
    ],
)
def test_what_are_no_words_is_refused(sentences: object, said: str) -> None:
    with pytest.raises(HyperloaderError, match=said):
        TAGGER.tag_words(sentences, "music")  # type: ignore[call-overload]


def test_the_task_may_be_omitted_if_there_is_one() -> None:
    codec = tiny_codec({"one": ("thing",)})
    tagger = Tagger(tiny_model(codec, random=True, seed=8), codec)
    for found in (
        tagger.tag("one thing"),
        tagger.tag(["one thing"])[0],
        tagger.tag_words(["one", "thing"]),
        next(tagger.pipe(["one thing"])),
    ):
        assert found.task == "one"
    assert tagger.labels() == ("thing",)
    with pytest.raises(HyperloaderError, match=r"give a task \(one of: music, flights, one\)"):
        TAGGER.tag("one thing")


def test_a_tagged_text_is_plain_values() -> None:
    for tagged in (
        TAGGER.tag(TEXTS[0], "music"),
        TAGGER.tag(TEXTS[0], "music", alternatives=2),
        TAGGER.tag("", "one", alternatives=2),
    ):
        document = tagged.to_dict()
        assert json.loads(json.dumps(document)) == document
        assert document["text"] == tagged.text
        assert document["words"] == list(tagged.words)
        assert document["offsets"] == [list(place) for place in tagged.offsets]
        assert document["spans"] == [span.to_dict() for span in tagged.spans]
        assert ("alternatives" in document) == (tagged.alternatives is not None)
    (span, *_) = TAGGER.tag(TEXTS[0], "music").spans
    assert span.to_dict() == {
        "start": span.start,
        "end": span.end,
        "text": span.text,
        "label": span.label,
        "score": span.score,
        "word_start": span.word_start,
        "word_end": span.word_end,
    }


def test_representations_fit_a_line() -> None:
    text = "word " * 500
    span = TaggedSpan(0, 2499, text.strip(), "THING", 0.987, 0, 500)
    assert repr(span).startswith("<THING 'word word ")
    assert repr(span).endswith("…' 0:2499 0.99>")
    tagged = TaggedText(text, tuple(text.split()), (), (span,) * 20, "one")
    assert repr(span) in repr(tagged)
    assert "task 'one'" in repr(tagged)
    assert "and 12 more" in repr(tagged)
    assert len(repr(tagged)) < 1000
    assert repr(TAGGER.tag("", "one")) == "<TaggedText '', task 'one': []>"
    assert "not calibrated" in repr(TAGGER)
    assert "music, flights, one" in repr(TAGGER)


def test_threads_may_share_a_tagger() -> None:
    """Mixed tasks from eight threads, with what is remembered thrown away again and again."""
    tagger = make_tagger()
    pairs = [(text, task) for text in TEXTS for task in LABELS] * 4
    alone = [TAGGER.tag(text, task) for text, task in pairs]

    def work(start: int) -> list[TaggedText]:
        mine = pairs[start::8]
        found = []
        for text, task in mine:
            tagger.codec.pieces._cache = {}
            found.append(tagger.tag(text, task))
        texts, tasks = zip(*mine, strict=True)
        for one, other in zip(tagger.tag(texts, tasks), found, strict=True):
            close(one, other)
        return found

    with ThreadPoolExecutor(8) as pool:
        for start, found in enumerate(pool.map(work, range(8))):
            for one, other in zip(found, alone[start::8], strict=True):
                close(one, other)


def test_it_says_what_it_knows() -> None:
    assert TAGGER.tasks == tuple(LABELS)
    assert TAGGER.labels("one") == ("thing",)
    assert TAGGER.device.type == "cpu"
