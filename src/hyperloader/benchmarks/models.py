"""What the decoding benchmark measures: a run, or a shape with random weights and planted answers.

A model with random weights tags at random, which no draft foresees. For a shape the scores are
therefore replaced, once they have been computed, by ones that lead to the gold tags of the sample
sentences: every product has its full size, and how often drafts fail is near what trained models
show. A run needs none of this and is the better witness.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

from hyperloader.backbones.loading import load_backbone, load_tokenizer
from hyperloader.backbones.t5.family import T5, attention
from hyperloader.backbones.t5.scratch import SCRATCH
from hyperloader.builtin import BUILTIN
from hyperloader.checkpoint import load_checkpoint
from hyperloader.codec.windows import EncodedWindow
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.registry import load_corpora
from hyperloader.corpora.sample import sample_corpora
from hyperloader.errors import ConfigError, DataError, unknown
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import METHODS, Method
from hyperloader.outputs.sentt.codec import CodecConfig, SentTCodec
from hyperloader.outputs.sentt.decoding.draft import Layout
from hyperloader.outputs.sentt.decoding.paths import TagPaths
from hyperloader.outputs.sentt.decoding.search import Scorer
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.tagging import place
from hyperloader.types import Example

SAMPLE_TASK, COPIES, SEED = "travel", 7, 0
# The builtin recipes' sizes; published shapes have the defaults, which are the published ones.
SETTINGS: dict[str, dict[str, int]] = {BUILTIN: {"reduction_factor": 8, "lora_rank": 16}}
DROPOUT = 0.1
EARLIER_SENTENCES = 64
# Of eight decisions after a word that was drafted wrong, so many come out as O whatever is right.
MISLED = 3


@dataclass(frozen=True, slots=True)
class MeasuredModel:
    """A model with ``sentences`` to measure and ``earlier`` ones of the same kind.

    The first of ``tasks`` is measured; all of them where tasks are mixed. ``planted``: the gold
    tags are the answers, whatever the model says. ``spec`` makes the subject again, where needed.
    """

    name: str
    model: TaggingModel
    codec: SentTCodec
    tasks: tuple[str, ...]
    sentences: tuple[Example, ...]
    earlier: tuple[Example, ...]
    planted: bool = False
    spec: "ModelSpec | None" = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A subject in words, so that another process can make it too.

    ``name`` is a shape, or with ``is_run`` a run, a checkpoint or ``builtin``. ``precision`` is one
    of ``tagging.PRECISIONS``.
    """

    name: str
    is_run: bool = False
    data: Path | None = None
    task: str | None = None
    device: str = "cpu"
    precision: str = "float32"

    def make(self) -> MeasuredModel:
        """The subject, on its device and in its precision; errors as of the makers below."""
        if self.is_run:
            subject = run_subject(Path(self.name), self.data, self.task)
        else:
            subject = shape_subject(self.name, self.data, self.task)
        place(subject.model, self.device, self.precision)
        return replace(subject, spec=self)


class PlantedScorer:
    """Scores that lead to the tags of the ``windows`` of one batch, which have targets.

    ``scorer`` is asked too, so that every product has its full size.
    """

    def __init__(
        self, scorer: Scorer, paths: TagPaths, codec: SentTCodec, windows: Sequence[EncodedWindow]
    ) -> None:
        self._scorer, self._paths = scorer, paths
        width = max(1, *(window.words for window in windows))
        rows = [
            [
                paths.first[window.task] + list(codec.tag_ids[window.task]).index(tag)
                for tag in codec.decode_target(window.target, window.words, window.task)
            ]
            for window in windows
        ]
        outside = [paths.outside[window.task] for window in windows]
        padded = [[*row, *[o] * (width - len(row))] for row, o in zip(rows, outside, strict=True)]
        self._tags, self._outside = torch.tensor(padded), torch.tensor(outside)
        at = torch.where(paths.is_inside.cpu()[self._tags], 0, torch.arange(width))
        self._starts = self._tags.gather(1, at.cummax(dim=1).values)

    def __call__(self, hidden: Tensor, layout: Layout, live: Tensor, tags: Tensor) -> Tensor:
        """See :class:`~hyperloader.outputs.sentt.decoding.search.Scorer`."""
        logits = self._scorer(hidden, layout, live, tags)
        paths, device = self._paths, logits.device
        gold = self._tags.to(device)[live]
        here = (layout.row, layout.word)
        before = (layout.row, (layout.word - 1).clamp(min=0))
        misled = (tags[before] != gold[before]) & (layout.word > 0)
        misled &= (5 * layout.word + 3 * live[layout.row]) % 8 < MISLED
        # Where no span is open to go on with, a word inside of one looks like its first.
        headless = paths.is_inside[gold[here]] & (layout.opened == 0)
        wish = torch.where(headless, self._starts.to(device)[live][here], gold[here])
        wish = torch.where(misled, self._outside.to(device)[live[layout.row]], wish)
        on_path = paths.nodes[wish] == layout.node[:, None]
        piece = on_path.int().argmax(dim=1)
        column = piece.clamp(max=paths.choices.shape[1] - 1)
        choice = torch.where(
            piece < paths.length[wish], paths.choices[wish, column], len(paths.tokens)
        )
        scores = torch.zeros_like(logits)
        return scores.scatter_(1, choice[:, None], on_path.any(dim=1)[:, None] * 10.0)


def run_subject(run: Path, data: Path | None = None, task: str | None = None) -> MeasuredModel:
    """A training run or a checkpoint, on labelled ``data`` or the sample sentences.

    Raises:
        ConfigError: the model has no such task, or no decoder.
        DataError: the data lack the task's sentences.
    """
    checkpoint = load_checkpoint(run)
    model: Any = checkpoint.model
    codec: Any = checkpoint.codec
    if model.output != TaggingModel.output:
        raise ConfigError(f"{run} has a tagging head and no decoder; give a text-to-text run")
    tasks = model.config.tasks
    if task is not None and task not in tasks:
        raise ConfigError(unknown("task", task, tasks))
    first = task or tasks[0]
    corpora = sample_corpora() if data is None else load_corpora(data, [first], require=())
    # Any sentence will do to measure speed; those that the model was made for are a better test.
    corpus = corpora[first] if first in corpora else corpora[SAMPLE_TASK]
    order = (first, *(name for name in tasks if name != first))
    return MeasuredModel(run.name, model, codec, order, *_sentences(corpus))


def shape_subject(name: str, data: Path | None = None, task: str | None = None) -> MeasuredModel:
    """A shape (mini, t5-small, …) with random weights and planted answers.

    Its one task, of labelled ``data`` or a sample, is there seven times under different names, to
    measure batches of mixed tasks.

    Raises:
        ConfigError: no such shape, or no such task among the samples.
        DataError: the data lack the task's sentences.
    """
    if data is None:
        corpora, first = sample_corpora(), task or SAMPLE_TASK
        if first not in corpora:
            raise ConfigError(unknown("sample task", first, corpora))
    else:
        corpora = load_corpora(data, None if task is None else [task], require=())
        first = task or next(iter(corpora))
    corpus = corpora[first]
    tasks = tuple(f"{first} {i}" for i in range(1, COPIES + 1))
    model, codec = planted_model(name, dict.fromkeys(tasks, corpus.labels()))
    return MeasuredModel(name, model, codec, tasks, *_sentences(corpus), planted=True)


def planted_model(
    shape: str, labels: Mapping[str, Sequence[str]], *, method: str | Method = "hyperloader"
) -> tuple[TaggingModel, SentTCodec]:
    """A model that has learnt no task, for the ``labels`` of its tasks, in evaluation mode.

    Its tokenizer is the builtin one whatever its ``shape``, so that sentences and labels are as
    long for all of them. Raises ConfigError for a shape that is not known.
    """
    tokenizer = load_tokenizer(BUILTIN)
    row = METHODS.named(method) if isinstance(method, str) else method
    # A row that is in no table has the settings of hyperloader.
    name = row.name if row.name in METHODS else "hyperloader"
    settings = ModelConfig(tasks=tuple(labels), method=name, **SETTINGS.get(shape, {}))
    wants_prefix = {"never": False, "several": len(labels) > 1, "always": True}
    config = CodecConfig(label_text="readable", task_prefix=wants_prefix[row.task_prefix])
    codec = SentTCodec(tokenizer, labels, config)
    torch.manual_seed(SEED)
    return TaggingModel(_backbone(shape, codec), settings, method=row).eval(), codec


def check_shape(name: str) -> None:
    """Raise ConfigError unless ``name`` is ``builtin`` or a shape."""
    if name not in (known := (BUILTIN, *SCRATCH, *T5.shapes)):
        raise ConfigError(unknown("shape", name, known))


def _backbone(shape: str, codec: SentTCodec) -> PreTrainedModel:
    check_shape(shape)
    if shape == BUILTIN:
        return load_backbone(BUILTIN, dropout=DROPOUT)
    published = shape in T5.shapes
    sizes = {"d_kv": 64, **T5.shapes[shape]} if published else SCRATCH[shape]
    config = T5Config(
        pad_token_id=codec.pieces.pad,
        eos_token_id=codec.pieces.eos,
        decoder_start_token_id=codec.pieces.pad,
        dropout_rate=DROPOUT,
        vocab_size=32128 if published else len(codec.tokenizer),
        **sizes,
    )
    backbone = T5ForConditionalGeneration(config)
    backbone.set_attn_implementation(attention())
    return backbone


def _sentences(corpus: Corpus) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    sentences = corpus.splits.get("test") or corpus.splits.get("validation") or ()
    if not sentences:
        raise DataError(
            f"corpus {corpus.name!r} has no test sentences to measure with; leave it out"
        )
    return sentences[:256], corpus.splits.get("train", ())[:EARLIER_SENTENCES]
