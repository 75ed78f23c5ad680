"""What a program may import from the package, and the shape of the calls it can rely on.

A change here is a change for users: it belongs into CHANGELOG.md.
"""

import inspect
from typing import Any

import pytest

import hyperloader

NAMES = {
    *("Tagger", "TaggedText", "TaggedSpan", "TaggedSequence", "Alternative"),
    *("train", "resume", "add_task", "suggest", "pipeline"),
    *("load_corpora", "Corpus", "Example", "Span"),
    *("ModelConfig", "TaggingModel", "trust_backbone"),
    *("HyperloaderError", "CheckpointError", "ConfigError", "DataError", "TrainingError"),
}
TAGGER = {
    "alternatives": 0,
    "batch_size": 64,
    "min_score": 0.0,
    "sequences": 0,
}


def test_all_names_are_there_and_no_others() -> None:
    assert set(hyperloader.__all__) == NAMES
    assert set(dir(hyperloader)) == NAMES | {"__version__"}
    for name in NAMES:
        value = getattr(hyperloader, name)
        assert value.__name__ == name
        assert value.__doc__
    with pytest.raises(AttributeError, match="no attribute 'Taggr'"):
        _ = hyperloader.Taggr


def parameters(call: Any) -> dict[str, Any]:
    """The names of a call's parameters with their defaults (``...``: none)."""
    return {
        name: ... if parameter.default is parameter.empty else parameter.default
        for name, parameter in inspect.signature(call).parameters.items()
        if name != "self"
    }


def test_calls_keep_their_parameters() -> None:
    tagger = hyperloader.Tagger
    assert parameters(tagger.tag) == {"texts": ..., "task": None, **TAGGER, "labels": None}
    assert parameters(tagger.for_labels) == {"labels": ..., "task": "zero-shot"}
    assert parameters(tagger.tag_words) == {"sentences": ..., "task": None, **TAGGER}
    assert parameters(tagger.pipe) == {"texts": ..., "task": None, "as_tuples": False, **TAGGER}
    assert list(parameters(tagger.evaluate))[:4] == ["data", "split", "tasks", "batch_size"]
    assert list(parameters(tagger.from_pretrained))[:2] == ["path", "device"]
    assert {"precision", "revision", "cache_dir", "local_files_only", "token"} < set(
        parameters(tagger.from_pretrained)
    )
    assert {"precision", "whole", "license", "metrics"} < set(parameters(tagger.save_pretrained))
    assert {"private", "token", "license", "metrics"} < set(parameters(tagger.push_to_hub))
    assert {"data", "out", "recipe", "tasks", "settings", "calibrate", "seed", "steps"} < set(
        parameters(hyperloader.train)
    )
    assert {"run", "data"} < set(parameters(hyperloader.resume))


def test_values_keep_their_fields() -> None:
    assert hyperloader.TaggedText.__match_args__ == (
        *("text", "words", "offsets", "spans", "task", "alternatives", "sequences", "zero_shot"),
    )
    assert hyperloader.TaggedSpan.__match_args__ == (
        *("start", "end", "text", "label", "score", "word_start", "word_end"),
    )
    assert hyperloader.Span.__match_args__ == ("word_start", "word_end", "label", "score")
