"""UniPELT as published: a BERT encoder with attached modules and a tagging head, for one task.

It reads a sentence once and gives every word a tag, from the state of its first sub-token. What
is attached and where is the row ``unipelt-bert`` of the table of methods.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hyperloader.backbones.packaged import encoder_path
from hyperloader.backbones.sites import BERT
from hyperloader.errors import ConfigError, unknown
from hyperloader.modeling import active
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.config import ModelConfig
from hyperloader.trust import refuse_code

if TYPE_CHECKING:
    from transformers import PreTrainedModel

IGNORED = -100

# Published sizes, so that parameters can be counted without any file or network.
SHAPES: dict[str, dict[str, int]] = {
    "bert-base": {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072},
    "bert-large": {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096},
}


class TokenOutput(NamedTuple):
    """``logits`` (batch, words, tags) and, where the tags were given, the ``loss``."""

    logits: Tensor
    loss: Tensor | None = None


class TokenTagger(AttachedModel):
    """A BERT-family encoder that chooses a tag for every word.

    Args:
        backbone: an encoder without a pooling layer (:func:`load_encoder`).
        tags: how many tags there are to choose from.
    """

    family = BERT

    def __init__(
        self,
        backbone: "PreTrainedModel",
        config: ModelConfig,
        tags: int,
        backbone_name: str | None = None,
    ) -> None:
        super().__init__(backbone, config, backbone_name)
        self.tags = tags
        self.dropout = nn.Dropout(backbone.config.hidden_dropout_prob)
        self.head = nn.Linear(backbone.config.hidden_size, tags)
        nn.init.normal_(self.head.weight, std=backbone.config.initializer_range)
        nn.init.zeros_(self.head.bias)

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The encoder's output with all modules in force: (batch, length, d)."""
        with active.use(self.weights(torch.zeros(1, dtype=torch.long, device=self.device))):
            return self.backbone(input_ids, attention_mask=attention_mask).last_hidden_state

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        first: Tensor,
        labels: Tensor | None = None,
    ) -> TokenOutput:
        """Logits (batch, words, tags), and with ``labels`` the mean cross-entropy of the words.

        Args:
            input_ids: (batch, length).
            attention_mask: (batch, length), 1 for tokens.
            first: (batch, words), the position of each word's first sub-token; anything at
                the padding of shorter sentences.
            labels: (batch, words), tag numbers; -100 at the padding.
        """
        states = self.encode(input_ids, attention_mask)
        rows = torch.arange(len(first), device=first.device)[:, None]
        logits = self.head(self.dropout(states[rows, first]))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(
                logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED
            )
        return TokenOutput(logits, loss)


def meta_encoder(name: str = "bert-base") -> "PreTrainedModel":
    """A BERT of a published shape without weights (on the meta device): for counting.

    Raises:
        ConfigError: ``name`` is none of :data:`SHAPES`.
    """
    from transformers import BertConfig, BertModel

    if name not in SHAPES:
        raise ConfigError(unknown("BERT shape", name, SHAPES))
    shape = SHAPES[name]
    with torch.device("meta"):
        return BertModel(
            BertConfig(num_attention_heads=shape["hidden_size"] // 64, **shape),
            add_pooling_layer=False,
        )


def load_encoder(name: str, dropout: float | None = None) -> "PreTrainedModel":
    """Load a pre-trained BERT-family encoder: ``minilm``, a folder or a Hub id.

    Only safetensors are read. Raises ConfigError when it cannot be had or is of another kind.
    """
    from transformers import AutoModel
    from transformers.utils import logging

    changes = {} if dropout is None else {"hidden_dropout_prob": dropout}
    path, verbosity = encoder_path(name), logging.get_verbosity()
    # What transformers would report is looked at here: a pooling layer that is left out is nothing.
    logging.set_verbosity_error()
    try:
        refuse_code(path)
        encoder, report = AutoModel.from_pretrained(
            path,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            add_pooling_layer=False,
            output_loading_info=True,
            **changes,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ConfigError(
            f"the encoder {name!r} cannot be loaded ({reason}); give a folder made by "
            "save_pretrained or a BERT-family name on the Hugging Face Hub"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    if missing := sorted(report["missing_keys"]):
        raise ConfigError(
            f"the encoder {name!r} lacks {missing[0]} ({len(missing)} such weights); give one "
            "that is whole"
        )
    return encoder.eval()


def positions(encoder: "PreTrainedModel") -> int:
    """How many sub-tokens ``encoder`` can read at once."""
    table = encoder.embeddings.position_embeddings
    # RoBERTa's positions begin after that of the padding.
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
