"""Tagging with labels that a model was never trained on, by their texts alone."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from hyperloader.errors import ConfigError
from hyperloader.modeling import active
from hyperloader.modeling.attached import HEAD, Tasks
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.label_vectors import label_vectors
from hyperloader.outputs.token_tags.model import TokenTagger


def check_zero_shot(model: TokenTagger) -> None:
    """Raise ConfigError unless ``model`` can be asked for any labels."""
    config = model.config
    reason = None
    if config.head not in ("text", "text+free"):
        reason = f"its head is {config.head!r}, which knows its own labels alone (model.head=text)"
    elif config.train_backbone != "none":
        reason = (
            "its backbone was trained too, so that other texts are not read as the texts of its "
            "labels were (model.train_backbone=none)"
        )
    elif len(config.tasks) > 1 and not model.shares_modules:
        reason = "each of its tasks has modules of its own (model.task_embeddings=shared)"
    if reason is not None:
        raise ConfigError(
            f"this model cannot be asked for other labels: {reason}; train one by the recipe "
            "zero-shot"
        )


class ZeroShotTagger(nn.Module):
    """``model`` for one task of other labels than it was trained on: what the decoder asks of a
    model, no more.

    Args:
        texts: what each label of ``codec`` is read by.

    Raises:
        ConfigError: see :func:`check_zero_shot`.
    """

    output = "token_tags"

    def __init__(self, model: TokenTagger, codec: TokenCodec, texts: Sequence[str]) -> None:
        super().__init__()
        check_zero_shot(model)
        (task,) = codec.labels
        self.model = model
        self.config = model.config.model_copy(update={"tasks": (task,)})
        self.tags = {task: 1 + 2 * len(texts)}
        self.by_token, self.backbone_name = model.by_token, model.backbone_name
        (source,) = model.label_texts
        vectors = label_vectors(model.backbone, codec.pieces, texts).to(source.vectors)
        with torch.no_grad():
            self._head = source.rows(vectors[None])

    @property
    def device(self) -> torch.device:
        return self.model.device

    def task_ids(self, tasks: Tasks) -> Tensor:
        """Always of the one task, which has the place of the model's first one."""
        return torch.zeros(1, dtype=torch.long, device=self.device)

    def in_runs(self, task_ids: Tensor) -> AbstractContextManager[None]:
        """See :meth:`AttachedModel.in_runs`."""
        return active.activate({**self.model.cached_weights(task_ids), HEAD: self._head})

    def score(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        task_ids: Tensor,
        first: Tensor,
        last: Tensor | None = None,
        shapes: Tensor | None = None,
    ) -> Tensor:
        """Logits (batch, words, T): see :meth:`TokenTagger.score_tags`."""
        (tags,) = self.tags.values()
        return self.model.score_tags(
            input_ids,
            attention_mask,
            counts=torch.tensor([tags], device=self.device),
            first=first,
            last=last,
            shapes=shapes,
        )
