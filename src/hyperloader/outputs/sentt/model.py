"""A T5-family backbone with modules attached: the one model class of the text-to-text methods."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hyperloader.backbones.sites import T5
from hyperloader.backbones.t5.light_model import LightT5
from hyperloader.modeling import active
from hyperloader.modeling.attached import AttachedModel, Tasks

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.modeling_outputs import Seq2SeqLMOutput


class TaggingModel(AttachedModel):
    """Writes the tags of a text, for every method of the T5 family.

    On a :class:`~hyperloader.backbones.t5.light_model.LightT5` it can be decoded with and saved, no
    more.
    """

    family = T5

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
        with active.use(self.weights(task_ids)):
            return self.backbone(input_ids=input_ids, attention_mask=attention_mask, **kwargs)

    @cached_property
    def output_scale(self) -> float:
        """The factor between the decoder's output and what the output embedding multiplies.

        It is 1 or d_model^-0.5, depending on the family and on the version of transformers, so
        it is measured once instead of guessed.
        """
        if isinstance(self.backbone, LightT5):
            return self.backbone.output_scale
        seen: dict[str, Tensor] = {}
        hooks = [
            self.backbone.decoder.register_forward_hook(
                lambda _, __, out: seen.__setitem__("decoder", out.last_hidden_state)
            ),
            self.backbone.lm_head.register_forward_pre_hook(
                lambda _, args: seen.__setitem__("head", args[0])
            ),
        ]
        try:
            one = torch.zeros((1, 1), dtype=torch.long, device=self.device)
            with torch.no_grad():
                self(one, decoder_input_ids=one, task_ids=one[0])
        finally:
            for hook in hooks:
                hook.remove()
        ratio = float(seen["head"].norm() / seen["decoder"].norm())
        small = self.backbone.config.d_model**-0.5
        return small if abs(ratio - small) < abs(ratio - 1.0) else 1.0

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
        with active.use(self.weights(task_ids)):
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
        """Hugging Face ``generate`` of the backbone for ``task`` (a name, one a row, or ids)."""
        with self.use(task):
            return self.backbone.generate(input_ids=input_ids, **kwargs)

    def save_pretrained(
        self, folder: Path | str, whole: bool | None = None, *, overwrite: bool = False
    ) -> None:
        """See :func:`hyperloader.modeling.pretrained.save_pretrained`."""
        from hyperloader.modeling.pretrained import save_pretrained

        save_pretrained(self, folder, whole, overwrite=overwrite)

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, backbone: "PreTrainedModel | None" = None
    ) -> "TaggingModel":
        """See :func:`hyperloader.modeling.pretrained.from_pretrained`."""
        from hyperloader.modeling.pretrained import from_pretrained

        return from_pretrained(folder, backbone)
