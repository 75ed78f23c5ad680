"""A tagger that is loaded and tags in a blink."""

from pathlib import Path

import pytest

from bert_helpers import bert_tagger


@pytest.fixture(scope="session")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotating") / "tagger"
    bert_tagger(1).save_pretrained(folder)
    return folder
