"""A T5-family backbone with modules attached: the one model class of the text-to-text methods."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hyperloader.backbones.places import DECODER
from hyperloader.backbones.registry import family_of
from hyperloader.errors import ConfigError
from hyperloader.modeling import active
from hyperloader.modeling.attached import AttachedModel, Tasks
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import Method

if TYPE_CHECKING:
    from transformers.modeling_outputs import Seq2SeqLMOutput


class TaggingModel(AttachedModel):
    """Writes the tags of a text, for every method of the T5 family.

    On a :class:`~hyperloader.backbones.t5.light_model.LightT5` it can be decoded with and saved, no
    more.
    """

    output = "sentt"

    def __init__(
        self,
        backbone: Any,
        config: ModelConfig,
        backbone_name: str | None = None,
        *,
        method: Method | None = None,
    ) -> None:
        """See :class:`AttachedModel`. Raises ConfigError also for a backbone without a decoder."""
        if DECODER not in (family := family_of(backbone)).stacks:
            raise ConfigError(
                f"tags are written by a decoder, which a {family.name} backbone lacks; use the "
                "output token_tags, or a backbone of the T5 family"
            )
        super().__init__(backbone, config, backbone_name, method=method)

    @property
    def generation_config(self):  # type: ignore[no-untyped-def]
        """The backbone's generation settings."""
        return self.backbone.generation_config

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        task_ids: Tensor,
        **kwargs: Any,
    ) -> "Seq2SeqLMOutput":
        """The backbone's forward pass with the weights of ``task_ids``.

        Args:
            input_ids: (batch, source length).
            attention_mask: (batch, source length), 1 for tokens.
            task_ids: (1,) when the batch shares a task, else (batch,).
            kwargs: anything the backbone's forward takes (``labels``, ``decoder_input_ids``, …).
        """
        with active.activate(self.weights(task_ids)):
            return self.backbone(input_ids=input_ids, attention_mask=attention_mask, **kwargs)

    def decoder_states(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor | None = None,
        *,
        task_ids: Tensor,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        cross_attention_mask: Tensor | None = None,
    ) -> Tensor:
        """The decoder's output before the vocabulary product, (batch, target length, d).

        Arguments as for :meth:`forward`; the decoder is fed ``decoder_input_ids``, or the shifted
        ``labels``. Masks may be (batch, 1, queries, keys), added to attention; the
        ``cross_attention_mask`` is the ``attention_mask`` by default.
        """
        if decoder_input_ids is None:
            decoder_input_ids = self.backbone.prepare_decoder_input_ids_from_labels(labels)
        if cross_attention_mask is None:
            cross_attention_mask = attention_mask
        with active.activate(self.weights(task_ids)):
            encoded = self.backbone.encoder(input_ids=input_ids, attention_mask=attention_mask)
            return self.backbone.decoder(
                input_ids=decoder_input_ids,
                attention_mask=decoder_attention_mask,
                encoder_hidden_states=encoded.last_hidden_state,
                encoder_attention_mask=cross_attention_mask,
                use_cache=False,
            ).last_hidden_state

    @torch.no_grad()
    def generate(self, input_ids: Tensor, *, task: Tasks, **kwargs: Any) -> Any:
        """Hugging Face ``generate`` of the backbone for ``task`` (a name, one per row, or ids)."""
        with self.use(task):
            return self.backbone.generate(input_ids=input_ids, **kwargs)
