"""A backbone with generated modules attached: the one model class of every method."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import Seq2SeqLMOutput

from hyperloader.errors import HyperloaderError, unknown
from hyperloader.modeling import active
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.inject import attach
from hyperloader.modeling.methods import get_method
from hyperloader.modeling.sites import find_sites
from hyperloader.modeling.sources.task_hypernetwork import TaskHypernetwork

Tasks = str | Sequence[str] | Tensor


class TaggingModel(nn.Module):
    """A T5-family backbone whose attached modules get their weights from a source.

    The backbone is changed in place: hooks are added and its parameters' ``requires_grad``
    follows ``config.train_backbone``. Its values are only ever changed by training.
    """

    def __init__(
        self, backbone: PreTrainedModel, config: ModelConfig, backbone_name: str | None = None
    ) -> None:
        """``backbone_name`` is what brings the same backbone back: a Hub name or a folder."""
        super().__init__()
        self.config = config
        self.backbone_name = backbone_name
        self.method = get_method(config.method)
        self.backbone = backbone
        sites = find_sites(backbone, self.method.places)
        self.source = TaskHypernetwork(config, self.method, sites)
        attach(sites, config.activation, config.lora_scale)
        self._set_trainable()
        self._cached: dict[tuple[int, ...], SiteWeights] = {}
        self._cached_for: tuple[tuple[int, ...], ...] = ()

    def _set_trainable(self) -> None:
        for parameter in self.backbone.parameters():
            parameter.requires_grad_(self.config.train_backbone == "all")
        if self.config.train_backbone == "layer_norms":
            for name, parameter in self.backbone.named_parameters():
                if "layer_norm" in name:
                    parameter.requires_grad_(True)

    @property
    def device(self) -> torch.device:
        return self.backbone.device

    @property
    def generation_config(self):  # type: ignore[no-untyped-def]
        """The backbone's generation settings."""
        return self.backbone.generation_config

    def task_ids(self, tasks: Tasks) -> Tensor:
        """Task ids as a tensor (1,) for one task, (batch,) for one a row.

        Raises:
            HyperloaderError: an unknown task; the message lists the model's tasks.
        """
        if isinstance(tasks, Tensor):
            return tasks.to(self.device).reshape(-1)
        names = [tasks] if isinstance(tasks, str) else list(tasks)
        for name in names:
            if name not in self.config.tasks:
                raise HyperloaderError(unknown("task", name, self.config.tasks))
        if len(set(names)) == 1:
            names = names[:1]
        return torch.tensor([self.config.tasks.index(n) for n in names], device=self.device)

    def weights(self, task_ids: Tensor) -> SiteWeights:
        """Generate the weights of every site for ``task_ids`` (G,), with leading dimension G.

        Rows that share a task share the work: each task is generated once.
        """
        if task_ids.numel() == 1:
            return self.source(task_ids)
        tasks, row = torch.unique(task_ids, return_inverse=True)
        return _of_rows(self.source(tasks), row)

    def cached_weights(self, task_ids: Tensor) -> SiteWeights:
        """As :meth:`weights`, without gradients and kept until a parameter changes."""
        # In-place changes raise the version, moves to another device or dtype the address.
        state = tuple((id(p), p._version, p.data_ptr()) for p in self.source.parameters())
        if state != self._cached_for:
            self._cached, self._cached_for = {}, state
        # Other threads may replace or clear the cache meanwhile: look at it through one name.
        cached = self._cached
        tasks, row = torch.unique(task_ids, return_inverse=True)
        key = tuple(tasks.tolist())
        generated = cached.get(key)
        if generated is None:
            # Without autocast, so that what is kept does not depend on who asked first.
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                generated = self.source(tasks)
            if len(cached) >= 64:
                cached.clear()
            cached[key] = generated
        return generated if len(key) == 1 else _of_rows(generated, row)

    @contextmanager
    def use(self, tasks: Tasks) -> Iterator[None]:
        """Put the weights of ``tasks`` in force for calls of the backbone inside the block."""
        task_ids = self.task_ids(tasks)
        make = self.weights if torch.is_grad_enabled() else self.cached_weights
        with active.use(make(task_ids)):
            yield

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        task_ids: Tensor,
        **kwargs: Any,
    ) -> Seq2SeqLMOutput:
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
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor, *, task_ids: Tensor
    ) -> Tensor:
        """The decoder's output before the vocabulary product, (batch, target length, d).

        Arguments as for :meth:`forward`; the decoder is fed the shifted ``labels``.
        """
        with active.use(self.weights(task_ids)):
            encoded = self.backbone.encoder(input_ids=input_ids, attention_mask=attention_mask)
            return self.backbone.decoder(
                input_ids=self.backbone.prepare_decoder_input_ids_from_labels(labels),
                encoder_hidden_states=encoded.last_hidden_state,
                encoder_attention_mask=attention_mask,
                use_cache=False,
            ).last_hidden_state

    @torch.no_grad()
    def generate(self, input_ids: Tensor, *, task: Tasks, **kwargs: Any) -> Any:
        """Hugging Face ``generate`` of the backbone for ``task`` (a name, one a row, or ids)."""
        with self.use(task):
            return self.backbone.generate(input_ids=input_ids, **kwargs)

    def save_pretrained(self, folder: Path | str, whole: bool | None = None) -> None:
        """See :func:`hyperloader.modeling.pretrained.save_pretrained`."""
        from hyperloader.modeling.pretrained import save_pretrained

        save_pretrained(self, folder, whole)

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, backbone: PreTrainedModel | None = None
    ) -> "TaggingModel":
        """See :func:`hyperloader.modeling.pretrained.from_pretrained`."""
        from hyperloader.modeling.pretrained import from_pretrained

        return from_pretrained(folder, backbone)

    def gradient_checkpointing_enable(self, **kwargs: Any) -> None:
        """Trade time for memory; the recomputation sees the weights of its forward pass."""
        self.backbone.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={
                **kwargs,
                "use_reentrant": False,
                "context_fn": active.checkpoint_contexts,
            }
        )

    def trainable_names(self) -> list[str]:
        """Names of the parameters that training changes (tied ones once)."""
        return [name for name, p in self.named_parameters() if p.requires_grad]

    def parameter_counts(self) -> dict[str, int]:
        """Trainable and total number of parameters, tied ones counted once."""
        return {
            "trainable": sum(p.numel() for p in self.parameters() if p.requires_grad),
            "total": sum(p.numel() for p in self.parameters()),
        }


def _of_rows(weights: SiteWeights, row: Tensor) -> SiteWeights:
    """Weights with leading dimension len(row): those of entry ``row[i]`` for batch row i."""

    def pick(part: Tensor | None) -> Any:
        return None if part is None else part[row]

    return {site: type(w)(*map(pick, w)) for site, w in weights.items()}
