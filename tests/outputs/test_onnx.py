"""Taggers in ONNX answer as the model does, stand on their own, and say what they cannot do."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from bert_helpers import bert_tagger
from encoders import KINDS, LABELS, SENTENCES, load_again, model_of, tokenizer_of
from helpers import tiny_codec, tiny_model
from hyperloader import errors
from hyperloader.calibration import Calibration
from hyperloader.checkpoint import load_checkpoint
from hyperloader.codec.codec import CodecConfig
from hyperloader.errors import CheckpointError, HyperloaderError, NotInstalledError, TargetError
from hyperloader.modeling.modules.lora import Lora
from hyperloader.modeling.quantised import quantise
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.store import file_hash
from hyperloader.tagger import Tagger
from hyperloader.types import TaggedText
from training_helpers import cli, refused, write_data

# A text without words and one of several windows are among them.
TEXTS = [text for text, _, _ in SENTENCES] * 2 + ["", "one " * 60]
TASKS = [task for _, task, _ in SENTENCES] * 2 + ["music", "travel"]
CALIBRATION = {
    "tasks": {
        "music": {
            **{"spans": 3, "ece_before": 0.3, "ece_after": 0.1, "temperature": 2.5},
            **{"shared": False, "sentences": 4, "decisions": 9},
        }
    },
    "overall": {"spans": 3, "ece_before": 0.3, "ece_after": 0.1},
    "fitted_on": "4 sentences",
}


def tagger_of(
    kind: str = "bert", method: str = "hyperloader", *, layers: int = 1, **settings: Any
) -> Tagger:
    """On few layers: a graph takes seconds for each of them."""
    backbone = load_again(kind, num_hidden_layers=layers)
    model = model_of(kind, method, backbone=backbone, **settings)
    labels = {task: LABELS[task] for task in model.config.tasks}
    config = CodecConfig(max_source_tokens=KINDS[kind].most, overlap=3)
    return Tagger(model, TokenCodec(tokenizer_of(kind), labels, config))


def in_onnx(tagger: Tagger, folder: Path, task: Any = None, **options: Any) -> Tagger:
    tagger.save_onnx(folder, task, **options)
    return Tagger.from_pretrained(folder)


def assert_same(found: list[TaggedText], expected: list[TaggedText]) -> None:
    assert len(found) == len(expected)
    assert any(tagged.spans or tagged.alternatives for tagged in expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.text, one.words, one.task) == (other.text, other.words, other.task)
        places = [[(s.start, s.end, s.label) for s in tagged.spans] for tagged in (one, other)]
        assert places[0] == places[1]
        scores = [span.score for span in other.spans]
        assert [span.score for span in one.spans] == pytest.approx(scores, abs=1e-4)
        for choices, others in zip(one.alternatives or (), other.alternatives or (), strict=True):
            assert [c.probability for c in choices] == pytest.approx(
                [c.probability for c in others], abs=1e-4
            )


def assert_same_logits(tagger: Tagger, graph: Tagger) -> None:
    """For batches, lengths and numbers of words that the graph was not traced with."""
    generator = torch.Generator().manual_seed(0)
    for batch, length, words in ((1, 3, 1), (2, 7, 3), (5, 20, 9), (3, 40, 1)):
        ids = torch.randint(5, 60, (batch, length), generator=generator)
        mask = torch.ones_like(ids)
        mask[-1, 2:] = 0  # the last sentence has no more than its frame
        first = torch.randint(0, length, (batch, words), generator=generator)
        for task in graph.tasks:
            with torch.no_grad():
                expected = tagger.model(
                    ids, mask, task_ids=tagger.model.task_ids(task), first=first
                ).logits
            found = graph.model.score(ids, mask, task_ids=graph.model.task_ids(task), first=first)
            used = tagger.model.tags[task]
            torch.testing.assert_close(
                found[..., :used], expected[..., :used], atol=1e-4, rtol=1e-4
            )
            assert not found[..., used:].isfinite().any()


def copy_of(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def flip(file: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def forge(folder: Path, **values: Any) -> None:
    """Change what the folder says of its graph, with a manifest that fits."""
    file = folder / "onnx.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    reseal(folder, file.name)


def reseal(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    size = (folder / name).stat().st_size
    manifest["files"][name] = {"bytes": size, "sha256": file_hash(folder / name)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def products(folder: Path) -> Counter[str]:
    graph = onnx.load(folder / "model.onnx").graph
    return Counter(node.op_type for node in graph.node)


@pytest.fixture(scope="module")
def hyperloader() -> Tagger:
    return tagger_of(layers=2)


@pytest.fixture(scope="module")
def all_tasks(hyperloader: Tagger, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx") / "all"
    calibration = Calibration.model_validate(CALIBRATION)
    Tagger(hyperloader.model, hyperloader.codec, calibration).save_onnx(folder)
    return folder


def assert_same_tags(tagger: Tagger, graph: Tagger) -> None:
    """Alone and in batches."""
    some = [(text, t) for text, t in zip(TEXTS, TASKS, strict=True) if t in graph.tasks]
    texts, tasks = [text for text, _ in some], [t for _, t in some]
    expected = tagger.tag(texts, tasks, alternatives=3)
    assert_same(graph.tag(texts, tasks, alternatives=3), expected)
    assert_same(graph.tag(texts, tasks, alternatives=3, batch_size=1), expected)


def test_logits_and_spans_are_those_of_the_model(hyperloader: Tagger, all_tasks: Path) -> None:
    graph = Tagger.from_pretrained(all_tasks)
    assert graph.tasks == hyperloader.tasks
    assert_same_logits(hyperloader, graph)
    assert_same_tags(Tagger(hyperloader.model, hyperloader.codec, graph.calibration), graph)


@pytest.mark.parametrize(
    ("method", "task"),
    [
        *(("hyperloader", "travel"), ("full", None)),
        pytest.param("adapter-dagger", None, marks=pytest.mark.slow),
        pytest.param("unipelt-bert", "music", marks=pytest.mark.slow),
    ],
)
def test_so_they_are_of_one_task_and_by_other_methods(
    method: str, task: str | None, tmp_path: Path
) -> None:
    tagger = tagger_of(method=method)
    graph = in_onnx(tagger, tmp_path / "onnx", task)
    assert graph.tasks == (tagger.tasks if task is None else (task,))
    if method != "unipelt-bert":  # its gates look at padding, which a row of its frame is full of
        assert_same_logits(tagger, graph)
    assert_same_tags(tagger, graph)


# Of ModernBERT the first layer sees everything, and the second only what is near.
@pytest.mark.parametrize(
    ("kind", "layers"),
    [pytest.param("roberta", 1, marks=pytest.mark.slow), ("modernbert", 2)],
)
def test_other_encoders_can_be_exported(kind: str, layers: int, tmp_path: Path) -> None:
    tagger = tagger_of(kind, layers=layers)
    graph = in_onnx(tagger, tmp_path / "onnx", "travel")
    texts = [text for text, task, _ in SENTENCES if task == "travel"]
    expected = tagger.tag(texts, "travel", alternatives=3)
    assert_same(graph.tag(texts, alternatives=3), expected)


def test_lora_is_part_of_the_projections_of_one_task(tmp_path: Path) -> None:
    tagger = tagger_of(method="hyperlora", lora_alpha=3.0)
    tagger.save_onnx(tmp_path / "one", "music")
    # Of a layer: queries, keys, values, their result, and the two halves of the feed-forward;
    # attention itself twice; and the head.
    assert products(tmp_path / "one")["MatMul"] == (4 + 2 + 2) + 1
    graph = Tagger.from_pretrained(tmp_path / "one")
    assert_same_logits(tagger, graph)


def test_int8_multiplies_in_the_backbone_alone(tmp_path: Path) -> None:
    tagger = tagger_of()
    graph = in_onnx(tagger, tmp_path / "onnx", "music", precision="int8")
    assert products(tmp_path / "onnx")["MatMulInteger"] == 4 + 2
    ids, first = torch.arange(5, 17).reshape(2, 6), torch.tensor([[1, 2], [3, 4]])
    about = {"task_ids": torch.tensor([0]), "first": first}
    with torch.no_grad():
        exact = tagger.model(ids, torch.ones_like(ids), **about).logits
    rounded = graph.model.score(ids, torch.ones_like(ids), **about)
    used = exact.isfinite()
    assert 0 < (rounded[used] - exact[used]).norm() < 0.1 * exact[used].norm()
    assert repr(graph).startswith("<Tagger: hyperloader on a backbone of its own in ONNX (int8)")


def test_streams_words_and_scores_work(
    hyperloader: Tagger, all_tasks: Path, tmp_path: Path
) -> None:
    graph = Tagger.from_pretrained(all_tasks)
    assert graph.calibration == Calibration.model_validate(CALIBRATION)
    same = Tagger(hyperloader.model, hyperloader.codec, graph.calibration)
    assert_same(list(graph.pipe(TEXTS, TASKS)), list(same.pipe(TEXTS, TASKS)))
    words = [text.split() for text in TEXTS if text]
    tasks = [task for text, task in zip(TEXTS, TASKS, strict=True) if text]
    assert_same(graph.tag_words(words, tasks), same.tag_words(words, tasks))
    data = {
        "music": {
            "test": [{"words": text.split(), "spans": []} for text, task, _ in SENTENCES if text]
        }
    }
    scores = [t.evaluate(data).to_dict()["tasks"]["music"]["default"] for t in (graph, same)]
    assert scores[0] == scores[1]


def test_a_run_becomes_a_folder_that_tags_and_is_scored(tmp_path: Path) -> None:
    write_data(tmp_path / "data")
    bert_tagger(layers=1).save_pretrained(tmp_path / "checkpoint")
    done = cli("export", tmp_path / "checkpoint", tmp_path / "onnx", "--onnx")
    assert done.code == 0, done
    assert "tasks dining, home" in done.out
    names = {p.relative_to(tmp_path / "onnx").as_posix() for p in (tmp_path / "onnx").rglob("*.*")}
    assert names == {
        *("README.md", "codec.json", "manifest.json", "model.onnx", "onnx.json"),
        *("tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"),
    }
    assert "hyperloader[onnx]" in (tmp_path / "onnx" / "README.md").read_text("utf-8")
    documents = []
    for folder in ("checkpoint", "onnx"):
        data = ("--data", tmp_path / "data", "--json")
        scored = cli("evaluate", tmp_path / folder, *data)
        assert scored.code == 0, scored
        documents.append(json.loads(scored.out)["tasks"])
        text = ("--task", "dining", "--json", "a table for two at noon")
        documents.append(json.loads(cli("tag", tmp_path / folder, *text).out)["words"])
    assert {t: s["default"] for t, s in documents[0].items()} == {
        t: s["default"] for t, s in documents[2].items()
    }
    assert documents[1] == documents[3] == ["a", "table", "for", "two", "at", "noon"]
    one = ("--task", "home", "--precision", "int8")
    done = cli("export", tmp_path / "checkpoint", tmp_path / "onnx", "--onnx", "--overwrite", *one)
    assert done.code == 0, done
    assert Tagger.from_pretrained(tmp_path / "onnx").tasks == ("home",)
    # In a process that knows nothing of how it was made.
    code = (
        "import sys; from hyperloader.tagger import Tagger; "
        f"tagger = Tagger.from_pretrained({str(tmp_path / 'onnx')!r}); "
        "print(tagger.tag('turn on the light').words); "
        "print({'onnx', 'onnxscript', 'torch._dynamo'} & set(sys.modules))"
    )
    done_alone = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done_alone.stdout.splitlines() == ["('turn', 'on', 'the', 'light')", "set()"]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: flip(f / "model.onnx"), "not what was written"),
        (lambda f: flip(f / "onnx.json"), "not what was written"),
        (lambda f: (f / "model.onnx").unlink(), "is missing"),
        (lambda f: (f / "other.onnx").write_bytes(b""), r"does not list other\.onnx"),
        (lambda f: forge(f, format=2), "has format 2 of taggers in ONNX, this version reads 1"),
        (lambda f: forge(f, tags={"music": 1}), "is not usable: the graph is not one of 2 tasks"),
        (lambda f: forge(f, config={"tasks": ["music"]}), "is not usable: the graph is not one of"),
        (lambda f: forge(f, config={"tasks": []}), "is not usable"),
    ],
)
def test_damage_is_found(all_tasks: Path, tmp_path: Path, harm: Any, message: str) -> None:
    folder = copy_of(all_tasks, tmp_path / "copy")
    harm(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        Tagger.from_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_a_graph_that_is_none_is_refused(all_tasks: Path, tmp_path: Path) -> None:
    folder = copy_of(all_tasks, tmp_path / "copy")
    (folder / "model.onnx").write_bytes(b"no graph")
    reseal(folder, "model.onnx")
    with pytest.raises(CheckpointError, match=r"onnxruntime cannot run .* again") as error:
        Tagger.from_pretrained(folder)
    assert "\n" not in str(error.value)


def test_what_is_there_stays(hyperloader: Tagger, all_tasks: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for folder, overwrite in ((tmp_path / "mine", True), (all_tasks, False)):
        before = sorted(folder.rglob("*"))
        with pytest.raises(TargetError):
            hyperloader.save_onnx(folder, overwrite=overwrite)
        assert sorted(folder.rglob("*")) == before
    hyperloader.save_pretrained(tmp_path / "checkpoint", whole=True)
    with pytest.raises(TargetError, match="holds a checkpoint, which is not replaced by a tagger"):
        hyperloader.save_onnx(tmp_path / "checkpoint", overwrite=True)


def test_what_it_cannot_do_is_said_in_one_line(all_tasks: Path, tmp_path: Path) -> None:
    graph = Tagger.from_pretrained(all_tasks)
    for attempt, message in (
        (lambda: graph.save_pretrained(tmp_path / "c"), "tags and does nothing else"),
        (lambda: graph.save_onnx(tmp_path / "c"), "tags and does nothing else"),
        (lambda: Tagger.from_pretrained(all_tasks, "cuda"), "runs on the CPU, not on 'cuda'"),
        (lambda: Tagger.from_pretrained(all_tasks, precision="int8"), "chosen when it is exported"),
        (lambda: Tagger.from_pretrained(all_tasks, tagging_only=False), "tags and does nothing"),
        (lambda: load_checkpoint(all_tasks), "tags and does nothing else"),
        (lambda: graph.tag("play", "flights"), "unknown task 'flights'"),
    ):
        with pytest.raises(HyperloaderError, match=message) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert Tagger.from_pretrained(all_tasks, "cpu").device == torch.device("cpu")
    assert "tags and does nothing else" in refused("calibrate", all_tasks, "--data", tmp_path)
    assert "tags and does nothing else" in refused("similarity", all_tasks)
    assert "tags and does nothing else" in refused("export", all_tasks, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_what_cannot_be_exported_is_said_in_one_line(hyperloader: Tagger, tmp_path: Path) -> None:
    to = tmp_path / "onnx"
    codec = tiny_codec()
    text = Tagger(tiny_model(codec), codec)
    quick = tagger_of()
    quantise(quick.model)
    for attempt, message in (
        (lambda: text.save_onnx(to), "only taggers on encoders .* on T5, writes its tags"),
        (lambda: quick.save_onnx(to), "computes in int8 already; load it in float32"),
        (lambda: hyperloader.save_onnx(to, "flights"), "unknown task 'flights'"),
        (lambda: hyperloader.save_onnx(to, ()), "no task is no tagger"),
        (lambda: hyperloader.save_onnx(to, precision="bfloat16"), "known: float32, int8"),
    ):
        with pytest.raises(HyperloaderError, match=message) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    text.save_pretrained(tmp_path / "t5", whole=True)
    assert "only taggers on encoders" in refused("export", tmp_path / "t5", to, "--onnx")
    assert "leave --whole out" in refused("export", tmp_path / "t5", to, "--onnx", "--whole")
    assert "goes with --onnx" in refused("export", tmp_path / "t5", to, "--task", "music")
    assert not to.exists()


def test_a_graph_that_answers_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an exporter mistakes a mask, or a kind of module what it adds."""
    merged = Lora.merged
    monkeypatch.setattr(Lora, "merged", lambda *given: 2 * merged(*given))
    tagger = tagger_of(method="hyperlora")
    with pytest.raises(HyperloaderError, match=r"answers otherwise \(logits differ by \d"):
        tagger.save_onnx(tmp_path / "onnx", "music")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnxruntime", "onnx", "onnxscript"])
def test_a_package_that_is_not_there_is_named(
    package: str,
    hyperloader: Tagger,
    all_tasks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == package else name)
    message = rf"the package {package}, .*; pip install 'hyperloader\[onnx\]'"
    with pytest.raises(NotInstalledError, match=message):
        hyperloader.save_onnx(tmp_path / "onnx")
    if package == "onnxruntime":
        with pytest.raises(NotInstalledError, match=message):
            Tagger.from_pretrained(all_tasks)
    else:
        assert Tagger.from_pretrained(all_tasks).tag("play robin", "music").words
