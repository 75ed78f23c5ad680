"""The loss of a tagging head: every word is a decision, and there is nothing else."""

from collections.abc import Sequence

from torch import Tensor

from hyperloader.codec.batch import IGNORED, collate
from hyperloader.codec.windows import EncodedWindow
from hyperloader.outputs.loss import WindowLoss, choice_loss
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger


class TagLoss(WindowLoss):
    """Cross-entropy of the words' tags, among the tags of each word's task."""

    def __init__(self, model: TokenTagger, codec: TokenCodec) -> None:
        super().__init__()
        self.model, self.codec = model, codec

    def terms(
        self, windows: Sequence[EncodedWindow], smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """See :class:`WindowLoss`."""
        # Gates see the padding, so rows are no longer than they must be.
        batch = collate(windows, self.codec.pieces.pad, multiple=1).to(self.model.device)
        assert batch.labels is not None
        assert batch.first is not None
        logits = self.model(
            batch.input_ids,
            batch.attention_mask,
            task_ids=self.model.task_ids(batch.tasks),
            first=batch.first,
        ).logits
        kept = batch.labels != IGNORED
        scores = logits[kept].float().log_softmax(-1)
        terms = choice_loss(scores, scores.isfinite(), batch.labels[kept], smoothing)
        return terms, kept.nonzero()[:, 0].cpu()

    def count(self, windows: Sequence[EncodedWindow]) -> int:
        """Words."""
        return sum(window.words for window in windows)
