"""Input of every size: nothing, one word, more words or labels than fit, a hundred thousand words.

A text is cut into windows that overlap. Each word has the answer of exactly one of them, and
memory is that of one batch of windows, however long the text.
"""

import gc
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bert_helpers import bert_encoder, bert_tokenizer
from helpers import LABELS, SENTENCES, tiny_codec, tiny_model
from hyperloader.codec.batch import Batch, encode_words
from hyperloader.codec.codec import CodecConfig
from hyperloader.codec.windows import EncodedWindow, Window, cut, stitch_words
from hyperloader.errors import HyperloaderError
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs import decoded
from hyperloader.outputs.decoded import DecodedWindow, decode_sentences
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.tagger import Tagger
from hyperloader.types import Span, TaggedText
from segmentations import COSTS, SIZES, segmentations
from slow_decoder import sharpened


def tagger_of(labels: dict[str, tuple[str, ...]] = LABELS, **config: int) -> Tagger:
    codec = tiny_codec(labels, **config)
    return Tagger(sharpened(codec, 3), codec)


SHORT = tagger_of(max_words=6, overlap=2)
WORDS = [word for sentence in SENTENCES for word in sentence.split()]


@settings(max_examples=300)
@given(data=st.data(), costs=COSTS, overlap=st.integers(0, 20), **SIZES)
def test_every_word_has_the_answer_of_one_window(
    data: st.DataObject, costs: list[int], max_words: int, max_cost: int, overlap: int
) -> None:
    windows = cut(costs, max_words=max_words, max_cost=max_cost, overlap=overlap)
    found = [data.draw(segmentations(w.end - w.start)) for w in windows]
    spans, answers = stitch_words(windows, found)
    assert len(answers) == len(costs)
    assert answers == sorted(answers)
    for word, number in enumerate(answers):
        assert windows[number].start <= word < windows[number].end
        inside = any(span.word_start <= word < span.word_end for span in spans)
        theirs = found[number]
        at = word - windows[number].start
        if not inside:  # no window's span was lost on the way
            assert not any(span.word_start <= at < span.word_end for span in theirs)
        if any(window.start <= word < window.end for window in windows[:number]):
            assert inside, "the left window decides unless a span crosses its edge"


LEFT, RIGHT = Window(0, 10), Window(6, 16)


@pytest.mark.parametrize(
    ("left", "right", "stitched", "first"),
    [
        pytest.param(
            [(3, 10, "a", 0.9)],
            [(2, 6, "b", 0.5)],
            [(3, 8, "a", 0.9), (8, 12, "b", 0.5)],
            8,
            id="of a span that is cut off, what lies before the whole one stays",
        ),
        pytest.param(
            [(3, 10, "a", 0.4)],
            [(0, 6, "a", 0.9)],
            [(3, 12, "a", 0.4)],
            10,
            id="a span that neither saw whole has the smaller score",
        ),
        pytest.param(
            [(8, 10, "a", 0.4)],
            [(2, 6, "a", 0.9)],
            [(8, 12, "a", 0.9)],
            8,
            id="a span that one saw whole has its score",
        ),
        pytest.param([(2, 4, "a", 0.4)], [(0, 4, "b", 0.9)], [(2, 4, "a", 0.4)], 10, id="left"),
    ],
)
def test_spans_at_an_edge(
    left: list[tuple], right: list[tuple], stitched: list[tuple], first: int
) -> None:
    parts = [[Span(*s) for s in left], [Span(*s) for s in right]]
    spans, answers = stitch_words([LEFT, RIGHT], parts)
    assert [(s.word_start, s.word_end, s.label, s.score) for s in spans] == stitched
    assert answers == [0] * first + [1] * (16 - first)


def shown(tagged: TaggedText) -> list[tuple[int, int, str]]:
    return [(s.word_start, s.word_end, s.label) for s in tagged.spans]


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(
    words=st.lists(st.sampled_from(WORDS), max_size=40),
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=2),
    task=st.sampled_from(sorted(LABELS)),
)
def test_tags_do_not_depend_on_the_batch(words: list[str], sizes: list[int], task: str) -> None:
    text = " ".join(words)
    one, other = (SHORT.tag(text, task, batch_size=n, alternatives=2) for n in sizes)
    assert shown(one) == shown(other)
    assert one.alternatives is not None
    assert len(one.alternatives) == len(words)
    for ours, theirs in zip(one.alternatives, other.alternatives or (), strict=True):
        assert [p for _, p in ours] == pytest.approx([p for _, p in theirs], abs=1e-4)


def test_alternatives_are_those_of_the_answer() -> None:
    """The likeliest tag of a word is its tag, also where windows were stitched: the tiny model's
    greedy answer takes one token after the other, so a word of several may differ."""
    text = " ".join(WORDS)
    tagged = SHORT.tag(text, "one", alternatives=3)
    assert tagged.alternatives is not None
    starts = {span.word_start for span in tagged.spans}
    inside = {i for s in tagged.spans for i in range(s.word_start + 1, s.word_end)}
    agree = [
        ("thing" if i in starts else "I" if i in inside else "O") == choices[0].tags[0]
        for i, choices in enumerate(tagged.alternatives)
    ]
    assert sum(agree) >= 0.8 * len(agree)
    assert tagged.spans
    plain = SHORT.tag(text, "one")
    assert plain.alternatives is None
    assert shown(plain) == shown(tagged)


def test_forty_thousand_words_go_through_in_the_memory_of_one_batch() -> None:
    codec = tiny_codec({"one": ("thing",)}, max_words=12, overlap=2)
    # A model that takes every word for a thing: one that was lost would be missed.
    tagger = Tagger(tiny_model(codec, random=True, seed=8), codec)
    words = [WORDS[i * i % len(WORDS)] for i in range(40_000)]
    sizes: list[int] = []
    decode_batch = SentTDecoder.decode_batch

    def spy(self: SentTDecoder, batch: Batch, **options: int) -> list[DecodedWindow]:
        sizes.append(batch.input_ids.numel())
        return decode_batch(self, batch, **options)

    with mock.patch.object(SentTDecoder, "decode_batch", spy):
        tagger.tag(" ".join(words[:4_000]), "one", batch_size=256)  # what a batch takes anyway
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tagged = tagger.tag(" ".join(words), "one", batch_size=256)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert tagged.words == tuple(words)
    assert shown(tagged) == [(i, i + 1, "thing") for i in range(40_000)]
    assert len(sizes) > 12
    assert max(sizes) < 5_000  # source tokens of a batch: 4,096, and padding to a round length
    # Of the text, its words, ids and answers, and not of activations: those of all 4,000
    # windows at once would be 8 times what one batch takes.
    assert grown < 200, f"{grown:.0f} MiB more at the peak"


@contextmanager
def frozen() -> Iterator[None]:
    """Of what is there already, ``gc.get_objects`` does not tell: it is all that tests hold."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("texts", [[" ".join(WORDS * 40)], [" ".join(WORDS[:9])] * 150])
def test_few_windows_are_there_at_once(texts: list[str]) -> None:
    counts: list[int] = []
    decode = SentTDecoder.decode

    def alive() -> int:
        return sum(type(thing) is EncodedWindow for thing in gc.get_objects())

    def spy(
        self: SentTDecoder, windows: Sequence[EncodedWindow], **options: int
    ) -> list[DecodedWindow]:
        counts.append(alive())
        return decode(self, windows, **options)

    expected = SHORT.tag(texts, "one", batch_size=4, alternatives=2)
    with (
        frozen(),
        mock.patch.object(SentTDecoder, "decode", spy),
        mock.patch.object(decoded, "AT_ONCE", 16),
    ):
        found = SHORT.tag(texts, "one", batch_size=4, alternatives=2)
    assert len(counts) > 6
    assert 16 <= max(counts) <= 16 + 1  # and the last one of the turn before
    for ours, theirs in zip(found, expected, strict=True):
        assert shown(ours) == shown(theirs)
        assert len(ours.alternatives or ()) == len(ours.words)


def test_of_a_thousand_windows_every_score_is_that_of_one_call() -> None:
    sentences = [encode_words(SHORT.codec, s.split()[:6], "one") for s in SENTENCES * 60]
    windows = [window for (window,) in sentences]
    assert 16 * 8 < len(windows) <= decoded.AT_ONCE
    fresh = [SentTDecoder(SHORT.model, SHORT.codec) for _ in "ab"]
    found = decode_sentences(fresh[0], map(iter, sentences), batch_size=8)
    assert [f.spans for f in found] == [f.spans for f in fresh[1].decode(windows, batch_size=8)]
    assert any(f.spans for f in found)


# The smallest and the strangest


def test_nothing_is_tagged_as_nothing() -> None:
    assert SHORT.tag([], "one", alternatives=3) == []
    assert SHORT.tag([], []) == []
    for text in ("", "  \n"):
        tagged = SHORT.tag(text, "one", alternatives=3, min_score=0.5)
        assert (tagged.words, tagged.spans, tagged.alternatives) == ((), (), ())
    assert list(SHORT.pipe(iter([]), "one", alternatives=1)) == []
    empty = SHORT.tag(["", "play", ""], ["one", "music", "flights"], alternatives=1)
    assert [len(t.alternatives or ()) for t in empty] == [0, 1, 0]


def test_a_thousand_labels_that_begin_alike() -> None:
    labels = tuple(f"{a}_{b}_{c}" for a in "xyz" for b in range(18) for c in range(19))
    tagger = tagger_of({"t": labels})
    tagged = tagger.tag(SENTENCES[0], "t", alternatives=5)
    assert tagged.alternatives is not None
    assert {len(choices) for choices in tagged.alternatives} <= {1, 2, 3, 4, 5}
    everything = tagger.tag(SENTENCES[0], "t", alternatives=5_000)
    for some, choices in zip(tagged.alternatives, everything.alternatives or (), strict=True):
        assert len(some) == min(5, len(choices))
        assert [p for _, p in some] == pytest.approx([p for _, p in choices[:5]], rel=1e-3)
        assert sum(p for _, p in choices) == pytest.approx(1, abs=1e-3)
        tags = [tag for names, _ in choices for tag in names]
        assert len(tags) == len(set(tags))
        assert set(tags) >= {"O", *labels}


def test_a_head_takes_part() -> None:
    """One label, and a sentence far longer than the encoder's positions."""
    texts = ["play robin", "", "a b c " * 40]
    codec = TokenCodec(
        bert_tokenizer(), {"one": ("thing",)}, CodecConfig(max_source_tokens=40, overlap=3)
    )
    config = ModelConfig(method="unipelt-bert", tasks=("one",), prefix_hidden_dim=8)
    tagger = Tagger(
        TokenTagger(bert_encoder(1), config, tags={"one": len(codec.tags["one"])}), codec
    )
    for text, tagged in zip(texts, tagger.tag(texts, "one", alternatives=3), strict=True):
        assert tagged.alternatives is not None
        assert len(tagged.alternatives) == len(text.split())
        for choices in tagged.alternatives:
            assert {tag for names, _ in choices for tag in names} == set(codec.tags["one"])
            assert sum(p for _, p in choices) == pytest.approx(1, abs=1e-5)


def test_spans_below_the_smallest_score_are_left_out() -> None:
    plain = SHORT.tag(SENTENCES, "music", alternatives=2)
    scores = sorted(span.score for tagged in plain for span in tagged.spans)
    assert len(scores) > 4
    bound = scores[len(scores) // 2]
    kept = SHORT.tag(SENTENCES, "music", alternatives=2, min_score=bound)
    for before, after in zip(plain, kept, strict=True):
        sure = [span for span in before.spans if abs(span.score - bound) > 1e-4]
        for span in sure:  # the others are decided by rounding
            same = [s for s in after.spans if (s.start, s.end) == (span.start, span.end)]
            assert len(same) == (span.score > bound)
            assert all(s.label == span.label for s in same)
        assert (after.words, after.offsets) == (before.words, before.offsets)
    assert sum(len(t.spans) for t in kept) < len(scores)
    assert (
        SHORT.tag(SENTENCES[0], "music", min_score=0.0).spans
        == SHORT.tag(SENTENCES[0], "music").spans
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_score": 1.01}, "a score lies in"),
        ({"min_score": float("nan")}, "a score lies in"),
        ({"alternatives": -1}, "-1 alternatives per word"),
        ({"batch_size": 0}, "a batch size of 0"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict, said: str) -> None:
    for call in (
        lambda: SHORT.tag("a b", "one", **options),
        lambda: SHORT.tag([], "one", **options),
        lambda: next(SHORT.pipe(["a"], "one", **options)),
    ):
        with pytest.raises(HyperloaderError, match=said) as caught:
            call()
        assert "\n" not in str(caught.value)
