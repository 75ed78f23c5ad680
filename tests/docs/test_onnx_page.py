"""What docs/onnx.md shows can be done as it stands there."""

import re
import shlex
from pathlib import Path

import pytest

from bert_helpers import bert_tagger
from folders import ROOT
from training_helpers import cli, write_data


@pytest.mark.slow
def test_its_commands_and_its_example_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "onnx.md").read_text("utf-8")
    (commands,) = re.findall(r"```\n(.*?)```", page, re.DOTALL)[:1]
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    write_data(Path("my_corpora"))
    bert_tagger(layers=1).save_pretrained("runs/mine")
    for command in commands.splitlines():
        program, *arguments = shlex.split(command)
        assert program == "hyperloader"
        done = cli(*arguments)
        assert done.code == 0, done
    exec(compile(example, "onnx.md", "exec"), {"__name__": "example"})
    assert capsys.readouterr().out.startswith("(")
