"""The likeliest answers to whole sentences, from the tagger and from the command line."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from encoders import KINDS, LABELS, SENTENCES, codec_of, model_of, tokenizer_of
from helpers import tiny_codec, tiny_model
from hyperloader.calibration import Calibration
from hyperloader.codec.codec import CodecConfig
from hyperloader.errors import HyperloaderError
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.tagger import Tagger
from hyperloader.tags import spans_to_bio
from hyperloader.types import Span, TaggedSequence, TaggedText
from training_helpers import cli, refused

TEXTS, TASKS = [s[0] for s in SENTENCES], [s[1] for s in SENTENCES]


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    config = CodecConfig(max_source_tokens=KINDS["bert"].most)
    codec = TokenCodec(tokenizer_of("bert"), LABELS, config)
    return Tagger(model_of("bert", "hyperloader"), codec)


def places(spans: Any) -> list[tuple[Any, ...]]:
    return [(span.word_start, span.word_end, span.label) for span in spans]


def tags_of(one: TaggedSequence, words: int) -> tuple[str, ...]:
    spans = tuple(Span(s.word_start, s.word_end, s.label) for s in one.spans)
    return tuple(spans_to_bio(spans, words))


def test_all_answers_to_a_sentence_have_the_probabilities_of_its_words_and_spans(
    tagger: Tagger,
) -> None:
    """Summed over whole answers they give what forward-backward says of each word and span."""
    tagged = tagger.tag("play robin", "music", alternatives=5, sequences=100)
    assert tagged.sequences is not None
    assert tagged.alternatives is not None
    # (O, B, B) twice, and I after the B of its label.
    assert len(tagged.sequences) == 3 * 3 + 2
    assert sum(one.probability for one in tagged.sequences) == pytest.approx(1)
    assert places(tagged.sequences[0].spans) == places(tagged.spans)
    for word, choices in enumerate(tagged.alternatives):
        for tags, probability in choices:
            whole = sum(s.probability for s in tagged.sequences if tags_of(s, 2)[word] in tags)
            assert whole == pytest.approx(probability, abs=1e-9)
    for one in tagged.sequences:
        for span in one.spans:
            whole = sum(
                s.probability for s in tagged.sequences if places([span])[0] in places(s.spans)
            )
            assert whole == pytest.approx(span.score, abs=1e-9)


def test_answers_do_not_depend_on_company_and_change_nothing_else(tagger: Tagger) -> None:
    together = tagger.tag(TEXTS, TASKS, sequences=4)
    streamed = list(tagger.pipe(TEXTS, TASKS, sequences=4))
    for text, task, one, other in zip(TEXTS, TASKS, together, streamed, strict=True):
        alone = tagger.tag_words(text.split(), task, sequences=4)
        assert one.spans == tagger.tag(TEXTS, TASKS)[TEXTS.index(text)].spans
        for found in (alone, other):
            assert [places(s.spans) for s in found.sequences or ()] == [
                places(s.spans) for s in one.sequences or ()
            ]
            assert [s.probability for s in found.sequences or ()] == pytest.approx(
                [s.probability for s in one.sequences or ()], abs=1e-6
            )
        assert len(one.sequences or ()) == 4
        assert {s.label for o in one.sequences or () for s in o.spans} <= set(LABELS[task])
    assert tagger.tag("play", "music").sequences is None
    assert "sequences" not in tagger.tag("play", "music").to_dict()


def test_temperature_counts_and_the_smallest_score_does_not(tagger: Tagger) -> None:
    figures = {"spans": 1, "ece_before": 0.2, "ece_after": 0.1}
    task = {**figures, "temperature": 4.0, "shared": False, "sentences": 1, "decisions": 1}
    calibration = Calibration.model_validate(
        {"tasks": {"music": task}, "overall": figures, "fitted_on": "1 sentence"}
    )
    calibrated = Tagger(tagger.model, tagger.codec, calibration)
    text = TEXTS[0]
    sure, less = (t.tag(text, "music", sequences=3).sequences for t in (tagger, calibrated))
    assert sure is not None
    assert less is not None
    assert [places(s.spans) for s in sure] == [places(s.spans) for s in less]
    ratios = [a.probability / b.probability for a, b in itertools.pairwise(sure)]
    flat = [a.probability / b.probability for a, b in itertools.pairwise(less)]
    assert flat == pytest.approx([ratio**0.25 for ratio in ratios], rel=1e-6)
    strict = tagger.tag(text, "music", sequences=3, min_score=1.0)
    assert not strict.spans
    assert strict.sequences == sure


def test_a_text_without_words_has_one_answer(tagger: Tagger) -> None:
    assert tagger.tag("", "music", sequences=3).sequences == (TaggedSequence((), 1.0),)


@pytest.mark.parametrize(
    ("count", "message"),
    [(-1, "give 0 .none. to 1,000"), (1001, "1001 sequences per text")],
)
def test_numbers_out_of_range_are_refused(tagger: Tagger, count: int, message: str) -> None:
    with pytest.raises(HyperloaderError, match=message):
        tagger.tag("play", "music", sequences=count)


def test_what_has_no_sequences_says_so_before_it_reads_anything() -> None:
    codec = tiny_codec()
    text = Tagger(tiny_model(codec), codec)
    with pytest.raises(HyperloaderError, match=r"taggers on encoders alone.* ask for alternatives"):
        text.tag([], "music", sequences=1)
    single = Tagger(model_of("bert", "hyperloader", tags="single"), codec_of("bert"))
    with pytest.raises(HyperloaderError, match=r"by itself \(model.tags=single\)"):
        next(single.pipe(iter(()), "music", sequences=1), None)


def test_a_text_of_several_windows_is_refused_and_others_are_answered(
    tagger: Tagger, tmp_path: Path
) -> None:
    long = "robin " * 40
    with pytest.raises(HyperloaderError, match=r"longer than one window.* split it") as caught:
        tagger.tag(["play", long], "music", sequences=2)
    assert "\n" not in str(caught.value)
    assert tagger.tag(long, "music", alternatives=2).alternatives
    tagger.save_pretrained(tmp_path / "t")
    given = ("tag", tmp_path / "t", "--task", "music", "--sequences", 2)
    done = cli(*given, "--json", "play robin", long)
    assert done.code == 2
    assert "sentence:2: a text is longer than one window" in done.err
    (document,) = map(json.loads, done.out.splitlines())
    expected = tagger.tag("play robin", "music", sequences=2).to_dict()
    assert document == json.loads(json.dumps(expected))
    lines = cli(*given, "play robin").out.splitlines()
    assert len(lines) == 3
    for line, one in zip(lines[1:], document["sequences"], strict=True):
        assert line.startswith(f"  {one['probability']:.2f}  ")
        assert all(f"{span['label']} {span['score']:.2f}]" in line for span in one["spans"])
    assert "give 0 (none) to 1,000" in refused(*given[:-1], -1, "play robin")


def test_the_representation_stays_short(tagger: Tagger) -> None:
    tagged = tagger.tag("play robin", "music", sequences=9)
    assert isinstance(tagged, TaggedText)
    assert repr(tagged) == repr(tagger.tag("play robin", "music"))
