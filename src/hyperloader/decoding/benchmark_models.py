"""What the decoding benchmark measures: a run, or a shape with random weights and planted answers.

A model with random weights tags at random, which no draft foresees. For a shape the scores are
therefore replaced, once they have been computed, by ones that lead to the gold tags of the sample
sentences: every product has its full size, and how often drafts fail is near what trained models
show. A run needs none of this and is the better witness.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.checkpoint import load_checkpoint
from hyperloader.codec.collate import EncodedWindow
from hyperloader.codec.labels import verbalise
from hyperloader.codec.sentt import CodecConfig, SentTCodec
from hyperloader.codec.tokenizer import train_tokenizer
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.registry import load_corpora
from hyperloader.corpora.sample import sample_corpora
from hyperloader.decoding.draft import Layout
from hyperloader.decoding.paths import TagPaths
from hyperloader.errors import ConfigError, DataError, unknown
from hyperloader.modeling.backbone import SCRATCH, SHAPES
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.model import TaggingModel
from hyperloader.types import Example

SAMPLE_TASK, COPIES = "travel", 7
EARLIER_SENTENCES = 64
# Of eight decisions after a word that was drafted wrong, so many come out as O whatever is right.
MISLED = 3


@dataclass(frozen=True, slots=True)
class Subject:
    """A model with ``sentences`` to measure and ``earlier`` ones of the same kind.

    The first of ``tasks`` is measured; all of them where tasks are mixed. ``planted``: the gold
    tags are the answers, whatever the model says.
    """

    name: str
    model: TaggingModel
    codec: SentTCodec
    tasks: tuple[str, ...]
    sentences: tuple[Example, ...]
    earlier: tuple[Example, ...]
    planted: bool = False


class Planted:
    """Scores that lead to the tags of the ``windows`` of one batch, which have targets."""

    def __init__(
        self, paths: TagPaths, codec: SentTCodec, windows: Sequence[EncodedWindow]
    ) -> None:
        self._paths = paths
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

    def __call__(self, layout: Layout, live: Tensor, tags: Tensor, logits: Tensor) -> Tensor:
        """``logits`` (M, K + 1) replaced; ``tags`` (batch, W) is the draft of the rows ``live``."""
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


def run_subject(run: Path, data: Path | None = None, task: str | None = None) -> Subject:
    """A training run or a checkpoint, on labelled ``data`` or the sample sentences.

    Raises:
        ConfigError: the model has no such task, or no decoder.
        DataError: the data lack the task's sentences.
    """
    checkpoint = load_checkpoint(run)
    model, codec = checkpoint.model, checkpoint.codec
    if not isinstance(model, TaggingModel) or not isinstance(codec, SentTCodec):
        raise ConfigError(f"{run} has a tagging head and no decoder; give a text-to-text run")
    tasks = model.config.tasks
    if task is not None and task not in tasks:
        raise ConfigError(unknown("task", task, tasks))
    first = task or tasks[0]
    corpora = sample_corpora() if data is None else load_corpora(data, [first], require=())
    # Any sentence will do to measure speed; those that the model was made for are a better test.
    corpus = corpora[first] if first in corpora else corpora[SAMPLE_TASK]
    order = (first, *(name for name in tasks if name != first))
    return Subject(run.name, model, codec, order, *_sentences(corpus))


def shape_subject(name: str) -> Subject:
    """A shape (mini, t5-small, …) with random weights and planted answers.

    Its task is there seven times under different names, to measure batches of mixed tasks.
    """
    if name not in SHAPES and name not in SCRATCH:
        raise ConfigError(unknown("shape", name, [*SCRATCH, *SHAPES]))
    corpus = sample_corpora()[SAMPLE_TASK]
    labels = corpus.labels("train")
    texts = list(verbalise(labels, "readable").values())
    words = [" ".join(example.words) for example in corpus.splits["train"]]
    tokenizer = train_tokenizer([*words, *(["O", "I", *texts] * 100)], vocab_size=2000)
    tasks = tuple(f"{SAMPLE_TASK} {i}" for i in range(1, COPIES + 1))
    codec = SentTCodec(tokenizer, dict.fromkeys(tasks, labels), CodecConfig(label_text="readable"))
    torch.manual_seed(0)
    published = name in SHAPES
    config = T5Config(
        vocab_size=32128 if published else len(tokenizer),
        pad_token_id=codec.pieces.pad,
        eos_token_id=codec.pieces.eos,
        decoder_start_token_id=codec.pieces.pad,
        **({"d_kv": 64, **SHAPES[name]} if published else SCRATCH[name]),
    )
    model = TaggingModel(T5ForConditionalGeneration(config), ModelConfig(tasks=tasks))
    return Subject(name, model.eval(), codec, tasks, *_sentences(corpus), planted=True)


def _sentences(corpus: Corpus) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    sentences = corpus.splits.get("test") or corpus.splits.get("validation") or ()
    if not sentences:
        raise DataError(f"corpus {corpus.name!r} has no test sentences to measure with")
    return sentences[:256], corpus.splits.get("train", ())[:EARLIER_SENTENCES]
