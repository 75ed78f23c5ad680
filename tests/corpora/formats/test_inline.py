"""Labels in the text, as Rasa writes them: plain lines, Markdown and YAML."""

from pathlib import Path

import pytest

from corpus_files import read, surfaces, write
from hyperloader.errors import DataError

YAML = """version: "3.1"
nlu:
- intent: travel
  examples: |
    - to [Paris](city), please
    - from [Ely]{"entity": "city", "role": "from"} to [NYC](city:New York)
- lookup: city
  examples: |
    - Oslo
- intent: stop
  examples: |
    - enough
"""

MARKDOWN = """## intent:travel
- to [Paris](city), please
- from [Ely]{"entity": "city", "role": "from"} to [NYC](city:New York)

## synonym:Paris
- City of Light

## intent:stop
- enough
"""


@pytest.mark.parametrize(("name", "content"), [("nlu.yml", YAML), ("nlu.md", MARKDOWN)])
def test_rasa(tmp_path: Path, name: str, content: str) -> None:
    (first, second, third), reading = read(write(tmp_path, name, content))
    assert first.text == "to Paris, please"
    assert (surfaces(first), first.intent) == ([("Paris", "city")], "travel")
    assert second.text == "from Ely to NYC"
    assert surfaces(second) == [("Ely", "city"), ("NYC", "city")]
    assert (third.text, third.spans, third.intent) == ("enough", (), "stop")
    assert (reading.format, len(reading.notes)) == ("inline", 1)


def test_plain_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "x.txt", "to [New York](city)\nstop (now) [sic]\n\n")
    (first, second), reading = read(path)
    assert surfaces(first) == [("New York", "city")]
    assert (second.text, first.intent) == ("stop (now) [sic]", None)
    assert "labels in the text" in reading.reason


def test_links_are_no_labels(tmp_path: Path) -> None:
    text = "fly to [Ely](city), see [this](https://a.org/b) or [that](../c.md) or [it](#d)\n"
    (only,), _ = read(write(tmp_path, "x.md", text))
    assert surfaces(only) == [("Ely", "city")]
    assert only.text == "fly to Ely, see [this](https://a.org/b) or [that](../c.md) or [it](#d)"
    with pytest.raises(DataError, match="no known format"):
        read(write(tmp_path, "y.md", "see [this](https://a.org/b)\n"))


def test_bad_marks(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.txt:2: .* behind a span is not"):
        read(write(tmp_path, "x.txt", '[a](x)\n[b]{"role": "y"}\n'))
    with pytest.raises(DataError, match=r"x\.yml: not YAML"):
        read(write(tmp_path, "x.yml", "nlu: [a](x\n- [b](y)\n"))
