"""The loss of a tagging head: of whole sequences of tags, or of every word by itself."""

from collections.abc import Sequence

from torch import Tensor

from hyperloader.codec.batch import IGNORED
from hyperloader.codec.windows import EncodedWindow
from hyperloader.errors import ConfigError
from hyperloader.outputs.loss import WindowLoss, choice_loss
from hyperloader.outputs.token_tags.chain import gold_score, log_partition
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.outputs.token_tags.rows import TagRows, pack


class TagLoss(WindowLoss):
    """By ``model.config.tags`` the negative log-likelihood of the right sequence among all valid
    ones, of which each word takes an equal share; or the cross-entropy of every word's tag.

    Raises:
        ConfigError: label smoothing for sequences, which have none.
    """

    def __init__(self, model: TokenTagger, codec: TokenCodec, smoothing: float = 0.0) -> None:
        super().__init__()
        self.model, self.codec = model, codec
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
        rows = pack(windows, pad=pad, together=together).to(self.model.device)
        logits = self.model.read(rows)
        if self.model.config.tags == "sequence":
            return _of_sequences(rows, logits)
        kept = rows.labels != IGNORED
        scores = logits[kept].float().log_softmax(-1)
        terms = choice_loss(scores, scores.isfinite(), rows.labels[kept], smoothing)
        return terms, rows.window[kept].cpu()

    def count(self, windows: Sequence[EncodedWindow]) -> int:
        """Words."""
        return sum(window.words for window in windows)


def _of_sequences(rows: TagRows, logits: Tensor) -> tuple[Tensor, Tensor]:
    sentences, tags, lengths = rows.sentences(logits)
    whole = log_partition(sentences, lengths) - gold_score(sentences, tags)
    window = rows.window[rows.window >= 0]
    return (whole / lengths)[window], window.cpu()
