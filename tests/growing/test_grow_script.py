"""The benchmark of growing, with the smallest budget there is."""

import json
import runpy
from pathlib import Path

import pytest

from bert_helpers import bert_folder
from folders import ROOT
from training_helpers import recipe, write_data


def test_it_runs_and_old_tasks_have_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = recipe(
        backbone=str(bert_folder(tmp_path / "bert")), training={"steps": 2}, validation={"every": 2}
    )
    (tmp_path / "small.yaml").write_text(small.model_dump_json())  # which is YAML, too
    work, out = tmp_path / "work", tmp_path / "found.json"
    arguments = [
        *("grow.py", "--data", write_data(tmp_path / "data"), "--out", out, "--work", work),
        *("--recipe", tmp_path / "small.yaml", "--held-out", "dining", "--counts", 6),
        *("--base-steps", 2, "--steps", 2, "--scored", 4),
    ]
    monkeypatch.setattr("sys.argv", [str(argument) for argument in arguments])
    runpy.run_path(str(ROOT / "benchmarks" / "grow.py"), run_name="__main__")
    rows = {row["way"]: row for row in json.loads(out.read_text())["rows"]}
    ways = {f"add-task {level}" for level in ("embedding", "residual", "all")}
    assert set(rows) == {*ways, "train --from", "train"}
    for way, row in rows.items():
        assert row["sentences"] == 6
        assert 0 <= row["f1"] <= 1
        assert (row["bytes"] is not None) == (way in ways)
    for level in ("embedding", "residual"):
        assert rows[f"add-task {level}"]["old tasks changed"] == 0
    assert 0 < rows["add-task embedding"]["bytes"] < rows["add-task residual"]["bytes"] < 2 << 20
