"""Tagging the sentences of corpora and scoring what was found."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperloader.codec.batch import encode_words
from hyperloader.codec.codec import Codec
from hyperloader.corpora.corpus import SPLITS, Corpus, Reading
from hyperloader.corpora.parts import read_part
from hyperloader.corpora.reading.place import open_place
from hyperloader.corpora.registry import corpus_name, load_corpora
from hyperloader.corpora.stats import LEAKY, corpus_stats
from hyperloader.errors import ConfigError, DataError, unknown
from hyperloader.evaluation.metrics import ScoredExample, TaskScores, average, score_examples
from hyperloader.evaluation.reliability import Reliability, reliability
from hyperloader.modeling.attached import AttachedModel
from hyperloader.outputs.decoded import tag_words
from hyperloader.outputs.registry import Answering, output_of
from hyperloader.types import Example

if TYPE_CHECKING:
    from hyperloader.tagger import Tagger

CHUNK = 256


@dataclass(frozen=True, slots=True)
class TaskEvaluation:
    """How a tagger did on the sentences of one task.

    Attributes:
        examples: the sentences with what was predicted for them.
        reliability: whether scores of predicted spans mean what they say.
        temperature: what the task's logits were divided by.
        unknown_labels: gold labels that the model does not have, with their number of spans.
        model_labels: the labels that it has.
        test_in_train: the share of test sentences that are training sentences too; None for
            another split, and where there are no training sentences to compare with.
    """

    scores: TaskScores
    examples: tuple[ScoredExample, ...] = field(repr=False)
    reliability: Reliability = field(repr=False)
    temperature: float
    unknown_labels: dict[str, int]
    model_labels: tuple[str, ...] = field(repr=False)
    test_in_train: float | None

    @property
    def notes(self) -> list[str]:
        """What one should know before one believes the scores, a line for each; usually none."""
        lines = []
        if self.unknown_labels:
            labels = ", ".join(
                f"{label!r} ({count:,}{_alike(label, self.model_labels)})"
                for label, count in self.unknown_labels.items()
            )
            lines.append(f"gold labels that the model does not have, with their spans: {labels}")
        lines += self.scores.undefined
        if (seen := self.test_in_train or 0.0) >= LEAKY:
            lines.append(f"{seen:.2%} of its test sentences are training sentences too")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the sentences."""
        return {
            **self.scores.to_json(),
            "calibration": {"temperature": self.temperature, **self.reliability.to_json()},
            "unknown_labels": dict(self.unknown_labels),
            "test_in_train": self.test_in_train,
            "notes": self.notes,
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a tagger did on one split of some corpora."""

    split: str
    tasks: dict[str, TaskEvaluation]

    @property
    def scores(self) -> dict[str, TaskScores]:
        """The scores of each task."""
        return {name: task.scores for name, task in self.tasks.items()}

    @property
    def average(self) -> dict[str, Any]:
        """The unweighted mean over tasks, as `metrics.average` gives it."""
        return average(self.scores)

    @property
    def reliability(self) -> Reliability:
        """That of the predicted spans of all tasks together."""
        return reliability(e for task in self.tasks.values() for e in task.examples)

    def to_dict(self) -> dict[str, Any]:
        """What ``hyperloader evaluate --json`` prints: plain values, without the sentences."""
        return {
            "split": self.split,
            "scoring": "seqeval",
            "tasks": {name: task.to_dict() for name, task in self.tasks.items()},
            "average": self.average,
            "calibration": self.reliability.to_json(),
        }


def evaluate_tagger(
    tagger: "Tagger",
    data: str | Path | Mapping[str, Corpus],
    split: str = "test",
    *,
    tasks: Sequence[str] | None = None,
    batch_size: int = 64,
    advance: Callable[[str, int], None] = lambda task, sentences: None,
) -> Evaluation:
    """Tag one split of labelled data and score it.

    Args:
        data: a folder or a file (see `load_for`), or corpora by task.
        split: train, validation or test.
        tasks: only these; default: all of the tagger's that ``data`` has.
        batch_size: windows of text that are decoded at once.
        advance: told of every chunk that is done: the task, and how many sentences it had.

    Raises:
        DataError: the data cannot be read, or a task has no sentence in the split.
        HyperloaderError: a task that the tagger does not have.
    """
    if isinstance(data, Mapping):
        if absent := [name for name in tasks or () if name not in data]:
            raise ConfigError(unknown("task", absent[0], data))
        corpora = {name: data[name] for name in tasks or data}
    else:
        corpora = load_for(data, tagger.tasks, tasks, split)
    chosen = select_examples(corpora, split)
    known = {name: tagger.labels(name) for name in chosen}  # before any sentence is tagged
    found = {}
    for name, examples in chosen.items():
        labels = known[name]
        scored = predict(
            tagger.model,
            tagger.codec,
            examples,
            batch_size=batch_size,
            temperatures=tagger.temperatures,
            advance=lambda n, name=name: advance(name, n),  # type: ignore[misc]
        )
        strange = Counter(s.label for e in examples for s in e.spans if s.label not in labels)
        found[name] = TaskEvaluation(
            scores=score_examples(name, scored),
            examples=tuple(scored),
            reliability=reliability(scored),
            temperature=tagger.temperatures.get(name, 1.0),
            unknown_labels=dict(sorted(strange.items())),
            model_labels=labels,
            test_in_train=seen_in_training(corpora[name], split),
        )
    return Evaluation(split, found)


def load_for(
    data: str | Path,
    known: Sequence[str],
    tasks: Sequence[str] | None,
    split: str,
    *,
    whole: bool = True,
) -> dict[str, Corpus]:
    """The corpora at ``data`` that a model with the tasks ``known`` is to be scored on.

    A folder with one folder per task gives those that the model has, or those that ``tasks``
    names. A single corpus is scored as the one task that ``tasks`` names, else as the task that it
    is named after, else as the model's only task. A single file is ``split``, with all of its
    sentences; unless ``whole`` it has parts as in training: what its name says, and validation
    sentences held out from training ones.

    Raises:
        DataError: nothing there, or not readable.
        ConfigError: a task is unknown, or it cannot be told which task a single corpus is for.
    """
    path = Path(data)
    for name in tasks or ():
        if name not in known:
            raise ConfigError(unknown("task", name, known))
    place = open_place(path)
    if present := [name for name in known if place.is_dir() and (place / name).is_dir()]:
        return load_corpora(path, tasks or present, require=())
    if whole and place.is_file():
        examples, reading = read_sentences(path)
        task = examples[0].task
        corpora = {task: Corpus(task, {split: examples}, (replace(reading, part=split),))}
    else:
        corpora = load_corpora(path, require=())
    (found, *others) = corpora
    if others or (tasks and len(set(tasks)) > 1):
        raise ConfigError(
            f"none of the corpora in {path} has the name of a task of the model "
            f"(corpora: {', '.join(corpora)}; tasks: {', '.join(known)}); name the folders after "
            "tasks, or give one corpus and --task"
        )
    if not tasks and found not in known and len(known) > 1:
        raise ConfigError(
            f"{path} is a single corpus named {found!r}, and the model has no such task; say with "
            f"--task which one it is for (known: {', '.join(known)})"
        )
    name = tasks[0] if tasks else found if found in known else known[0]
    splits = {
        part: tuple(replace(example, task=name) for example in corpora[found].splits.get(part, ()))
        for part in SPLITS
    }
    return {name: replace(corpora[found], name=name, splits=splits)}


def read_sentences(path: Path) -> tuple[tuple[Example, ...], Reading]:
    """The sentences of one file, or of one folder with ``seq.in``, in their order, and how they
    were read.

    Raises DataError for what cannot be read.
    """
    return read_part(open_place(path), corpus_name(path))


def run_data(run: str | Path) -> Path:
    """The data that a run was trained on. Raises ConfigError where ``run`` does not say."""
    from hyperloader.training.run import RUN, RunFolder

    folder = Path(run)
    if not (folder / RUN).is_file():
        raise ConfigError(f"{run} does not say what data it was trained on; give --data DIR")
    return Path(RunFolder(folder).about()["data"])


def trained_on(run: str | Path, data: Path | None) -> bool:
    """Whether ``data`` (None: what ``run`` says) are what ``run`` was trained on."""
    from hyperloader.training.run import RUN

    if not (Path(run) / RUN).is_file():
        return False
    return data is None or data.resolve() == run_data(run).resolve()


def run_loss(run: str | Path) -> str | None:
    """The loss that a run was trained with; None for a checkpoint that does not say."""
    from hyperloader.training.run import RUN, RunFolder

    folder = Path(run)
    return RunFolder(folder).recipe().training.loss if (folder / RUN).is_file() else None


def select_examples(corpora: Mapping[str, Corpus], split: str) -> dict[str, tuple[Example, ...]]:
    """The sentences of one split of every corpus. Raises DataError where there are none."""
    if split not in SPLITS:
        raise ConfigError(unknown("split", split, SPLITS))
    chosen = {name: corpus.splits.get(split, ()) for name, corpus in corpora.items()}
    if empty := [name for name, examples in chosen.items() if not examples]:
        there = [part for part in SPLITS if all(c.splits.get(part) for c in corpora.values())]
        advice = f"; take another part ({', '.join(there)})" if there else ""
        raise DataError(
            f"there are no {split} sentences for {', '.join(empty)} in the data{advice}"
        )
    return chosen


def seen_in_training(corpus: Corpus, split: str) -> float | None:
    """The share of test sentences that are training sentences too, as `TaskEvaluation` has it."""
    if split != "test" or not corpus.splits.get("train"):
        return None
    return corpus_stats(corpus).test_in_train


def predict(
    model: Answering,
    codec: Codec,
    examples: Sequence[Example],
    *,
    batch_size: int = 64,
    temperatures: Mapping[str, float] | None = None,
    advance: Callable[[int], None] = lambda sentences: None,
) -> list[ScoredExample]:
    """Tag ``examples``; ``advance`` is told how many sentences are done after every chunk.

    ``temperatures`` of the tasks change spans' scores and nothing else.
    """
    decoder = output_of(model).decoder(model, codec, temperatures)
    # Longest first, so that the sentences of a chunk are alike and padding is small.
    order = sorted(range(len(examples)), key=lambda i: -len(examples[i].words))
    scored: dict[int, ScoredExample] = {}
    for start in range(0, len(order), CHUNK):
        chunk = order[start : start + CHUNK]
        encoded = [encode_words(codec, examples[i].words, examples[i].task) for i in chunk]
        for i, spans in zip(chunk, tag_words(decoder, encoded, batch_size), strict=True):
            scored[i] = ScoredExample(examples[i], tuple(spans))
        advance(len(chunk))
    return [scored[i] for i in range(len(examples))]


def evenly(examples: Sequence[Example], count: int) -> tuple[Example, ...]:
    """At most ``count`` of ``examples``, taken evenly over all of them."""
    if count >= len(examples):
        return tuple(examples)
    return tuple(examples[i * len(examples) // count] for i in range(count))


def some_of(corpus: Corpus, split: str, count: int) -> Corpus:
    """``corpus`` with at most ``count`` sentences in one split, taken evenly over it."""
    return replace(
        corpus, splits={**corpus.splits, split: evenly(corpus.splits.get(split, ()), count)}
    )


def without_seen(corpora: Mapping[str, Corpus], split: str) -> dict[str, Corpus]:
    """``corpora`` without the sentences of ``split`` that are training sentences of any of them,
    capitals or not.

    Raises:
        DataError: one of them has no others.
    """

    def words(example: Example) -> tuple[str, ...]:
        return tuple(word.lower() for word in example.words)

    seen = {words(e) for corpus in corpora.values() for e in corpus.splits.get("train", ())}

    def unseen(corpus: Corpus) -> Corpus:
        there = corpus.splits.get(split, ())
        kept = tuple(e for e in there if words(e) not in seen)
        if there and not kept:
            raise DataError(
                f"all {split} sentences of {corpus.name} are training sentences too, so none is "
                "left to score; leave out this task, or score the seen ones"
            )
        return replace(corpus, splits={**corpus.splits, split: kept})

    return {name: unseen(corpus) for name, corpus in corpora.items()}


def f1_evaluator(
    codec: Codec, corpora: Mapping[str, Corpus], *, sentences: int | None = None
) -> Callable[[AttachedModel], dict[str, float]]:
    """A function from a model to its micro F1 (seqeval, default mode) on validation sentences.

    Args:
        sentences: per task at most; they are taken evenly over the part.
    """
    chosen: dict[str, Sequence[Example]] = {}
    for name, corpus in corpora.items():
        examples = corpus.splits["validation"]
        if sentences is not None:
            examples = evenly(examples, sentences)
        if examples:
            chosen[name] = examples

    def evaluate(model: AttachedModel) -> dict[str, float]:
        return {
            name: score_examples(name, predict(model, codec, examples)).default.f1
            for name, examples in chosen.items()
        }

    return evaluate


def _alike(label: str, labels: Sequence[str]) -> str:
    """What a user may have meant by an unknown label: one that looks or reads the same."""

    def plain(text: str) -> str:
        return unicodedata.normalize("NFKC", text).casefold()

    same = [known for known in labels if plain(known) == plain(label)]
    return f"; the model has {same[0]!r}" if same else ""
