"""Fuzzing with a fixed budget and the same cases each time: what is read is right or refused."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hyperloader.config import Recipe, load_recipe
from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import CheckpointError, ConfigError, DataError
from hyperloader.store import check_folder, read_manifest

FUZZ = settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
NAMES = st.sampled_from(["a", "../a", "/a", "", ".", "a/..", "b/c", "a\0", "C:\\a", "//a"])
ENTRIES = st.fixed_dictionaries({"bytes": SCALARS, "sha256": SCALARS}) | VALUES
MANIFESTS = st.fixed_dictionaries(
    {"kind": st.sampled_from(["checkpoint", "house"]) | VALUES},
    optional={"files": st.dictionaries(NAMES | st.text(max_size=8), ENTRIES, max_size=3) | VALUES},
)
KEYS = st.sampled_from(["seed", "training", "model", "data", "dropout", "backbone", "steps"])
MARKUP = st.text("abc:-[]{}&*!|>'\"#%@`, \n\t?<=~0.1eé\ud800\x00", max_size=60)
LINES = st.text("aB-IO: \t\n\r{}[]\",'\\_<>()|#é💥0", max_size=120)
SUFFIXES = ("conll", "tsv", "txt", "jsonl", "json", "csv", "md", "yml", "conllu", "parquet", "bio")


@FUZZ
@given(manifest=MANIFESTS | VALUES)
def test_a_manifest_lists_files_inside_or_is_refused(tmp_path: Path, manifest: Any) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    try:
        found = read_manifest(tmp_path)
    except CheckpointError:
        pass
    else:
        for name in found.files:
            assert (tmp_path / name).resolve().is_relative_to(tmp_path.resolve())
    with pytest.raises(CheckpointError):  # no such file is there
        check_folder(tmp_path)


@FUZZ
@given(text=MARKUP | st.dictionaries(KEYS, VALUES, max_size=4).map(json.dumps))
def test_a_recipe_is_right_or_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with contextlib.suppress(ConfigError):
        assert isinstance(load_recipe(str(path)), Recipe)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(FUZZ, max_examples=60)
@given(content=LINES.map(str.encode) | VALUES.map(lambda v: json.dumps(v).encode()) | st.binary())
@example(content=b"[" * 100_000)
def test_a_corpus_is_read_or_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / "task").mkdir(exist_ok=True)
    (tmp_path / "task" / f"train.{suffix}").write_bytes(content)
    try:
        corpora = load_corpora(tmp_path)
    except DataError:
        return
    for sentence in corpora["task"].splits["train"]:
        for span in sentence.spans:
            assert 0 <= span.word_start < span.word_end <= len(sentence.words)
