"""What the pages on other tools show can be done as it stands there."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import hyperloader.integrations.spacy  # noqa: F401  # where it is installed, by entry point
from annotating_helpers import here
from bert_helpers import bert_tagger
from folders import ROOT
from training_helpers import cli

FOLDER = ROOT / "docs" / "integrations"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of every block of code."""
    return BLOCK.findall(page.read_text("utf-8"))


PAGES = [*sorted(FOLDER.glob("*.md")), ROOT / "docs" / "annotate.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_its_commands_and_examples_run_in_their_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bert_tagger(method="hyperlora").save_pretrained("runs/lora")
    Path("questions.txt").write_text("any good thai place near the harbour\nplay some jazz\n")
    Path("reviews.csv").write_text("id,review\n7,a cheap pizza place\n8,open after ten\n")
    monkeypatch.setattr("hyperloader.annotating.run.by_processes", here)
    namespace: dict[str, Any] = {"__name__": "example"}
    ran = 0
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, page.name, "exec"), namespace)
            ran += 1
        for line in text.splitlines() if not language else ():
            program, *arguments = shlex.split(line, comments=True)
            assert program == "hyperloader", line
            done = cli(*arguments)
            assert done.code == 0, (line, done)
            ran += 1
    assert ran
