"""The loss of a tagging head: of whole sequences of tags, or of every word by itself."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from hyperloader.codec.batch import IGNORED
from hyperloader.codec.windows import EncodedWindow
from hyperloader.errors import ConfigError
from hyperloader.outputs.loss import WindowLoss, choice_loss
from hyperloader.outputs.output import NEVER
from hyperloader.outputs.token_tags.chain import gold_score, log_partition
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.label_sets import asked, labels_in, random_set
from hyperloader.outputs.token_tags.label_vectors import label_vectors
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.outputs.token_tags.rows import TagRows, pack
from hyperloader.outputs.token_tags.zero_shot import check_zero_shot

Read: TypeAlias = Callable[[TagRows], Tensor]


class TagLoss(WindowLoss):
    """By ``model.config.tags`` the negative log-likelihood of the right sequence among all valid
    ones, of which each word takes an equal share; or the cross-entropy of every word's tag.

    In training, with ``consistency``, every batch is read twice, with dropout of its own each time:
    the loss is then the mean of both, and so many times how far apart the tags' probabilities of
    every word are (R-drop, Liang et al., 2021).

    Raises:
        ConfigError: label smoothing for sequences, which have none; consistency without dropout.
    """

    def __init__(
        self,
        model: TokenTagger,
        codec: TokenCodec,
        smoothing: float = 0.0,
        consistency: float = 0.0,
    ) -> None:
        super().__init__()
        self.model, self.codec, self.consistency = model, codec, consistency
        if consistency and not model.has_dropout:
            raise ConfigError(
                "training.consistency compares two passes with dropout, and there is none; set "
                "dropout, or model.head_dropout"
            )
        if smoothing and model.config.tags == "sequence":
            raise ConfigError(
                "label smoothing is for tags that are chosen one by one; set "
                "training.label_smoothing=0, or model.tags=single"
            )

    def terms(
        self, windows: Sequence[EncodedWindow], smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """See :class:`WindowLoss`."""
        pad, together = self.codec.pieces.pad, self.model.packs
        windows, read = self._asked(windows)
        rows = pack(windows, pad=pad, together=together).to(self.model.device)
        logits = read(rows)
        terms, window = self._terms(rows, logits, smoothing)
        if self.training and self.consistency:
            again = read(rows)
            others, _ = self._terms(rows, again, smoothing)
            words = rows.window >= 0
            apart = divergence(logits[words], again[words])
            terms = (terms + others) / 2 + self.consistency * apart
        return terms, window

    def _asked(self, windows: Sequence[EncodedWindow]) -> tuple[Sequence[EncodedWindow], Read]:
        """The windows, with answers that are right for what is asked, and what reads them."""
        return windows, self.model.read

    def _terms(self, rows: TagRows, logits: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        """The loss of every word of ``rows``, in their order, and the index of its window."""
        if self.model.config.tags == "sequence":
            return _of_sequences(rows, logits)
        kept = rows.labels != IGNORED
        scores = logits[kept].float().log_softmax(-1)
        terms = choice_loss(scores, scores.isfinite(), rows.labels[kept], smoothing)
        return terms, rows.window[kept].cpu()

    def count(self, windows: Sequence[EncodedWindow]) -> int:
        """Words."""
        return sum(window.words for window in windows)


class RandomSetsLoss(TagLoss):
    """The same, where in training every task is asked for a label set that is drawn anew for every
    batch (:mod:`~hyperloader.outputs.token_tags.label_sets`), by torch's random numbers.

    Raises:
        ConfigError: as :class:`TagLoss`, or a model that cannot be asked for other labels.
    """

    def __init__(self, model: TokenTagger, *given: Any) -> None:
        super().__init__(model, *given)
        check_zero_shot(model)
        self._vectors: dict[str, Tensor] = {}  # of texts that were asked for before

    def _asked(self, windows: Sequence[EncodedWindow]) -> tuple[Sequence[EncodedWindow], Read]:
        if not self.training:
            return super()._asked(windows)
        random = np.random.default_rng(torch.randint(2**62, (1,)).tolist())
        sets = {
            task: random_set(self.codec.labels[task], random, labels_in(windows, task))
            for task in sorted({window.task for window in windows})
        }
        vectors = {task: self._read_texts(chosen.texts) for task, chosen in sets.items()}
        return [asked(window, sets[window.task]) for window in windows], partial(
            self.model.read_for, sets=vectors
        )

    def _read_texts(self, texts: Sequence[str]) -> Tensor:
        unknown = [text for text in texts if text not in self._vectors]
        found = label_vectors(self.model.backbone, self.codec.pieces, unknown)
        self._vectors.update(zip(unknown, found, strict=True))
        return torch.stack([self._vectors[text] for text in texts])


def divergence(one: Tensor, other: Tensor) -> Tensor:
    """The symmetric Kullback-Leibler divergence (N,) of N words' probabilities, given as logits
    (N, T): half of the sum of both directions."""
    logs = [logits.float().log_softmax(-1) for logits in (one, other)]
    # Tags that a task has not are minus infinity in both.
    logs = [log.masked_fill(~logs[0].isfinite(), NEVER) for log in logs]
    return ((logs[0].exp() - logs[1].exp()) * (logs[0] - logs[1])).sum(-1) / 2


def _of_sequences(rows: TagRows, logits: Tensor) -> tuple[Tensor, Tensor]:
    sentences, tags, lengths = rows.sentences(logits)
    whole = log_partition(sentences, lengths) - gold_score(sentences, tags)
    window = rows.window[rows.window >= 0]
    return (whole / lengths)[window], window.cpu()
