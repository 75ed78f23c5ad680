"""Every method by the same commands, from files to tags: stopped, resumed, scored, asked.

Each has to beat the usual baseline of tagging: every word gets the tag that it has most often in
training, and an unknown word none.
"""

import json
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bert_helpers import bert_folder
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.sample import sample_corpora
from hyperloader.corpora.writing import write_corpus
from hyperloader.evaluation.metrics import ScoredExample, score_examples
from hyperloader.modeling.methods import METHODS
from hyperloader.tags import OUTSIDE, parse_tags, spans_to_bio
from hyperloader.training.run import RunFolder
from hyperloader.types import Span
from training_helpers import cli, log

TRAIN = 200
# Generated weights want small steps, weights that are trained as they are want large ones. There is
# no BERT in the box: a random one learns only where all of it is trained.
LEARNING: dict[str, dict[str, Any]] = {
    "hyperloader": {"training.learning_rate": 1e-3, "training.steps": 80},
    "lora": {"training.learning_rate": 8e-3, "training.steps": 80, "model.lora_alpha": 16},
    "unipelt-t5": {"training.learning_rate": 8e-3, "model.lora_alpha": 16},
    "unipelt-bert": {
        "training.learning_rate": 5e-3,
        "training.backbone_learning_rate": 2e-3,
        "training.steps": 800,
        "training.batch_size": 16,
        "dropout": 0.1,
        "model.train_backbone": "all",
    },
    "adapter": {"training.learning_rate": 3e-3, "training.steps": 80},
    "adapter-dagger": {"training.learning_rate": 5e-3, "training.batch_size": 16},
    "hyperdecoder": {"training.learning_rate": 3e-3, "training.steps": 60},
    "hyperformer": {"training.batch_size": 16},
    "hyperformer++": {"training.batch_size": 16},
    "hyperlora": {"training.batch_size": 16},
}

# The others are slow.
QUICK = ("hyperloader", "adapter")


@pytest.fixture(scope="module")
def sample() -> dict[str, Corpus]:
    made = sample_corpora(seed=1, train=TRAIN, validation=20, test=60)
    return {name: made[name] for name in ("dining", "home")}


@pytest.fixture(scope="module")
def data(sample: Mapping[str, Corpus], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, corpus in sample.items():
        write_corpus(corpus.splits, folder / name, "conll")
    return folder


def baseline(corpus: Corpus) -> float:
    """Micro F1 on the test part of every word's most frequent tag."""
    tags: dict[str, Counter[str]] = defaultdict(Counter)
    for example in corpus.splits["train"]:
        bio = spans_to_bio(example.spans, len(example.words))
        for word, tag in zip(example.words, bio, strict=True):
            tags[word][tag] += 1
    best = {word: counts.most_common(1)[0][0] for word, counts in tags.items()}
    answers = [
        ScoredExample(example, parse_tags([best.get(word, OUTSIDE) for word in example.words]))
        for example in corpus.splits["test"]
    ]
    return score_examples(corpus.name, answers).default.f1


@pytest.fixture
def stop_after() -> Iterator[list[int]]:
    """The step after which a run gets a signal; empty: none."""
    steps: list[int] = []
    logged = RunFolder.log

    def listen(run: RunFolder, **entry: Any) -> None:
        logged(run, **entry)
        if entry["kind"] == "train" and entry["step"] in steps:
            signal.raise_signal(signal.SIGTERM)

    with mock.patch.object(RunFolder, "log", listen):
        yield steps


@pytest.mark.parametrize(
    "method",
    [m if m in QUICK else pytest.param(m, marks=pytest.mark.slow) for m in METHODS],
)
def test_it_beats_the_most_frequent_tag(
    method: str, sample: Mapping[str, Corpus], data: Path, tmp_path: Path, stop_after: list[int]
) -> None:
    tasks = list(sample) if method == "hyperloader" else ["home"]
    run = tmp_path / "run"
    values: dict[str, Any] = {
        "training.learning_rate": 1.5e-3,
        "training.steps": 45,
        "training.batch_size": 8,
        "training.warmup_steps": 5,
        "training.precision": "float32",
        **LEARNING.get(method, {}),
    }
    steps = values["training.steps"]
    options = ["--recipe=builtin", *(f"--set={key}={value}" for key, value in values.items())]
    options += [f"--set=validation.every={steps}", f"--method={method}"]
    options += [f"--task={task}" for task in tasks]
    if method == "unipelt-bert":
        options.append(f"--backbone={bert_folder(tmp_path / 'bert', width=64, train=TRAIN)}")

    stop_after.append(10)
    stopped = cli("train", "--data", data, "--out", run, *options)
    assert stopped.code == 143, stopped.err
    stop_after.clear()
    done = cli("train", "--resume", run)
    assert done.code == 0, done.err
    assert [entry["step"] for entry in log(run)] == list(range(1, steps + 1))

    done = cli("evaluate", run, "--json")
    assert done.code == 0, done.err
    scores = json.loads(done.out)["tasks"]
    assert list(scores) == tasks
    for task in tasks:
        assert scores[task]["default"]["f1"] > baseline(sample[task]), (method, task)

    asked = sample["home"].splits["test"]
    text = "".join(" ".join(example.words) + "\n" for example in asked)
    done = cli("tag", run, "--task", "home", "--json", stdin=text.encode())
    assert done.code == 0, done.err
    answers = []
    for example, line in zip(asked, done.out.splitlines(), strict=True):
        spans = json.loads(line)["spans"]
        starts = [0]
        for word in example.words:
            starts.append(starts[-1] + len(word) + 1)
        found = [
            Span(starts.index(s["start"]), starts.index(s["end"] + 1), s["label"]) for s in spans
        ]
        answers.append(ScoredExample(example, tuple(found)))
    assert score_examples("home", answers).default.f1 == scores["home"]["default"]["f1"]
