"""A backbone with modules attached whose weights come from a source: what all methods share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from hyperloader.backbones.family import Sizes
from hyperloader.backbones.places import ENCODER, Place, Site
from hyperloader.backbones.registry import family_of
from hyperloader.errors import ConfigError, HyperloaderError, unknown
from hyperloader.modeling import active, pretrained
from hyperloader.modeling.active import SiteWeights, of_rows
from hyperloader.modeling.attach import attach
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import HEADS, SHAPE_VECTORS, Method
from hyperloader.modeling.modules.registry import KINDS
from hyperloader.modeling.residual import residuals_of
from hyperloader.modeling.sources.build import build_source, served_sites

Tasks = str | Sequence[str] | Tensor
HEAD = Site(ENCODER, 0, Place.HEAD)
WORD_SHAPES = Site(ENCODER, 0, Place.WORD_SHAPES)
LAYER_MIX = "layer_mix."


class AttachedModel(nn.Module):
    """A backbone whose attached modules get their weights from a source.

    The backbone is changed in place: hooks are added and its parameters' ``requires_grad``
    follows ``config.train_backbone``. Its values are only ever changed by training. Subclasses say
    how a model answers (:mod:`hyperloader.outputs`).
    """

    output: ClassVar[str | None] = None  # the name of how it answers

    def __init__(
        self,
        backbone: Any,
        config: ModelConfig,
        backbone_name: str | None = None,
        *,
        tags: int = 0,
        method: Method | None = None,
    ) -> None:
        """
        Args:
            backbone: a model of transformers, or a stand-in for one (:meth:`Family.light`).
            backbone_name: what brings the same backbone back: a Hub name or a folder.
            tags: how many tags a tagging head has for each task; 0: there is no head.
            method: a row to use instead of the one that ``config`` names.

        Raises:
            ConfigError: the method cannot attach to this backbone, or something is attached.
        """
        super().__init__()
        self.config = config
        self.backbone_name = backbone_name
        self.family = family_of(backbone)
        self.method = (method or config.row).on(self.family)
        self.backbone = backbone
        found = self.family.find_sites(backbone, self.method.places)
        sites = served_sites(self.method.parts, found)
        parts, made_for = self.method.parts, self.family.sizes(sites)
        self._head_prefix = ""
        width = self.family.width(backbone)
        if tags and config.word_shapes:
            parts = (*parts, SHAPE_VECTORS)
            made_for[WORD_SHAPES] = Sizes(width, width)
        if tags:  # no module is hooked for a head
            # The last source, or the only one.
            self._head_prefix = f"source.sources.{len(parts)}." if parts else "source."
            parts = (*parts, HEADS[config.head])
            made_for[HEAD] = Sizes(width, tags)
        first_norm = self.family.first_norm
        self.source = build_source(config, parts, made_for, first_norm=first_norm)
        self.residuals = residuals_of(config, self.source)
        kinds = {place: KINDS.named(name) for place, name in self.method.kinds.items()}
        attach(backbone, self.family, sites, kinds, self.source, config)
        self._set_trainable()
        self._cached: dict[tuple[int, ...], SiteWeights] = {}
        self._cached_for: tuple[tuple[int, ...], ...] = ()

    def _set_trainable(self) -> None:
        trained = self.config.train_backbone
        for name, parameter in self.backbone.named_parameters():
            is_norm = self.family.is_norm(name)
            parameter.requires_grad_(trained == "all" or (trained == "layer_norms" and is_norm))

    @property
    def settings(self) -> dict[str, Any]:
        """What a subclass is built from besides backbone and configuration; stored with it."""
        return {}

    def settle(self, **settings: Any) -> None:
        """Take over :attr:`settings` for other tasks, after the configuration has changed."""

    def save_pretrained(
        self, folder: Path | str, whole: bool | None = None, *, overwrite: bool = False
    ) -> None:
        """Save the model as ``folder``: see :func:`hyperloader.modeling.pretrained.save_model`."""
        pretrained.save_model(self, Path(folder), whole, overwrite=overwrite)

    @classmethod
    def from_pretrained(cls, folder: Path | str, backbone: Any = None) -> Self:
        """Load a model: see :func:`hyperloader.modeling.pretrained.load_model`."""
        return pretrained.load_model(cls, Path(folder), backbone)

    @property
    def device(self) -> torch.device:
        return self.backbone.device

    @property
    def reads_input(self) -> bool:
        """Whether weights depend on the input: then those in force once the encoder has run
        (:func:`hyperloader.modeling.active.current`) have one set per row, whatever its task."""
        return self.source.reads_input

    @property
    def shares_modules(self) -> bool:
        """Whether what is attached is the same for all tasks, a tagging head apart."""
        apart = {"free_per_task"}
        if self.config.task_embeddings == "per_task":
            apart.add("task_hypernetwork")
        return apart.isdisjoint(part.source for part in self.method.parts)

    @property
    def by_token(self) -> bool:
        """Whether the attached modules treat every token by itself.

        Then several sentences may share a row of a batch. Weights that depend on the input and
        gates do not: they look at the mean over a row.
        """
        return not self.reads_input and not any(group.gated for group in self.method.groups)

    def task_ids(self, tasks: Tasks) -> Tensor:
        """Task ids as a tensor (1,) where all are one task, else (batch,) with one per row.

        Raises:
            HyperloaderError: an unknown task; the message lists the model's tasks.
        """
        if isinstance(tasks, Tensor):
            return tasks.to(self.device).reshape(-1)
        return task_numbers(tasks, self.config.tasks).to(self.device)

    def weights(self, task_ids: Tensor) -> SiteWeights:
        """The weights of every site for ``task_ids`` (G,), with leading dimension G.

        What all tasks share has leading dimension 1, what depends on the input is not among
        them (see :meth:`use`). Rows that share a task share the work: each is generated once.
        """
        if task_ids.numel() == 1:
            return self._made(task_ids)
        tasks, row = torch.unique(task_ids, return_inverse=True)
        return of_rows(self._made(tasks), row)

    def _made(self, tasks: Tensor, tags: int | None = None) -> SiteWeights:
        """The weights of ``tasks`` (G,), each with what it has of its own; a tagging head with so
        many ``tags``, by default as many as any task has."""
        weights = self.source(tasks, tags)
        own = [task for task, rank in self.config.grown.items() if rank]
        residuals: list[Any] = list(self.residuals)
        for task, residual in zip(own, residuals, strict=True):
            row = tasks == self.config.tasks.index(task)
            if row.any():
                weights = residual.added(weights, row)
        return weights

    def _tags(self, tasks: Sequence[int]) -> int | None:
        """How many tags of a tagging head the tasks with these numbers use."""
        return None

    def cached_weights(self, task_ids: Tensor) -> SiteWeights:
        """As :meth:`weights`, without gradients and kept until a parameter changes."""
        # In-place changes raise the version, moves to another device or dtype the address.
        own = (*self.source.parameters(), *self.residuals.parameters())
        state = tuple((id(p), p._version, p.data_ptr()) for p in own)
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
                generated = self._made(tasks, self._tags(key))
            if len(cached) >= 64:
                cached.clear()
            cached[key] = generated
        return generated if len(key) == 1 else of_rows(generated, row)

    def in_runs(self, task_ids: Tensor) -> active.activate:
        """What puts the :meth:`cached_weights` of ``task_ids`` in force for rows of that order.

        On a CPU consecutive rows of a task share one set: see
        :class:`hyperloader.modeling.active.activate`.
        """
        tasks, counts = torch.unique_consecutive(task_ids, return_counts=True)
        if self.device.type != "cpu" or self.reads_input or not 1 < len(tasks) < len(task_ids):
            return active.activate(self.cached_weights(task_ids))
        return active.activate(self.cached_weights(tasks), counts.tolist())

    @contextmanager
    def use(self, tasks: Tasks) -> Iterator[None]:
        """Put the weights of ``tasks`` in force for calls of the backbone inside the block.

        Weights that depend on the input join them when the encoder runs: run the encoder, then
        the decoder, inside one block.
        """
        task_ids = self.task_ids(tasks)
        make = self.weights if torch.is_grad_enabled() else self.cached_weights
        with active.activate(make(task_ids)):
            yield

    def gradient_checkpointing_enable(self, **kwargs: Any) -> None:
        """Trade time for memory; the recomputation sees the weights of its forward pass.

        Raises:
            ConfigError: transformers cannot do it for this kind of backbone.
        """
        if not getattr(self.backbone, "supports_gradient_checkpointing", True):
            raise ConfigError(
                f"the layers of {type(self.backbone).__name__} cannot be recomputed, which "
                "transformers does not do for it; set training.gradient_checkpointing to false"
            )
        self.backbone.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={
                **kwargs,
                "use_reentrant": False,
                "context_fn": active.checkpoint_contexts,
            }
        )

    def head_names(self) -> set[str]:
        """Names of the parameters that the weights of a tagging head come from."""
        if not (prefix := self._head_prefix):
            return set()
        return {n for n, _ in self.named_parameters() if n.startswith((prefix, LAYER_MIX))}

    def trainable_names(self) -> list[str]:
        """Names of the parameters that training changes (tied ones once)."""
        return [name for name, p in self.named_parameters() if p.requires_grad]

    def parameter_counts(self) -> dict[str, int]:
        """Trainable and total number of parameters, tied ones counted once."""
        return {
            "trainable": sum(p.numel() for p in self.parameters() if p.requires_grad),
            "total": sum(p.numel() for p in self.parameters()),
        }


def task_numbers(tasks: str | Sequence[str], known: Sequence[str]) -> Tensor:
    """The places of ``tasks`` among the ``known``: (1,) where all are one task, else one per row.

    Raises:
        HyperloaderError: an unknown task; the message lists the known ones.
    """
    names = [tasks] if isinstance(tasks, str) else list(tasks)
    for name in names:
        if name not in known:
            raise HyperloaderError(unknown("task", name, known))
    if len(set(names)) == 1:
        names = names[:1]
    return torch.tensor([known.index(name) for name in names])
