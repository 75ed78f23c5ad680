"""A tagger that is loaded in a blink, and files to tag."""

from pathlib import Path

import pytest

from helpers import tiny_codec, tiny_model
from hyperloader.tagger import Tagger


@pytest.fixture(scope="session")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    codec = tiny_codec({"one": ("thing", "other")})
    folder = tmp_path_factory.mktemp("annotating") / "tagger"
    Tagger(tiny_model(codec, random=True, seed=8), codec).save_pretrained(folder)
    return folder
