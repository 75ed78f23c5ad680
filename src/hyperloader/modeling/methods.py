"""The table of methods: what is attached where, and where its weights come from.

A new method is a new row; docs/extending.md adds one. A row names places, never a kind of backbone:
on a backbone that lacks a place the method is refused by name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from torch import Tensor, nn

from hyperloader.backbones.family import Family
from hyperloader.backbones.places import DECODER, ENCODER, STACKS, Place
from hyperloader.errors import ConfigError
from hyperloader.registry import Registry

ADAPTER_PLACES = (Place.FEED_FORWARD, Place.SELF_ATTENTION)
LORA_PLACES = (Place.SELF_QUERY, Place.SELF_VALUE, Place.CROSS_QUERY, Place.CROSS_VALUE)

_NORMAL = partial(nn.init.normal_, std=0.01)


@dataclass(frozen=True, slots=True)
class Group:
    """One kind of module (a name of :data:`~hyperloader.modeling.modules.registry.KINDS`) at some
    places; where weights are generated, one generator serves all.

    ``gated`` modules are scaled by a learned number for each row (UniPELT).
    """

    module: str
    places: tuple[Place, ...]
    gated: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A source of weights and the groups that it serves in ``stacks``.

    Sources: ``task_hypernetwork`` of (task, layer, position); ``input_hypernetwork`` of the
    encoder's output and the layer; ``free`` parameters, one set; ``free_per_task``, one set per
    task (layer norms shared); ``prefix``, keys and values of one small network; for heads
    ``label_hypernetwork`` of (task, label), and ``label_texts``, of what labels are called.

    ``initial`` fills a free (out, in) weight, such as an adapter's; biases start at zero. ``plus``
    is a part whose weights are added to those of this one.
    """

    source: Literal[
        "task_hypernetwork",
        "input_hypernetwork",
        "label_hypernetwork",
        "label_texts",
        "free",
        "free_per_task",
        "prefix",
    ]
    groups: tuple[Group, ...]
    stacks: tuple[str, ...] = STACKS
    position_embedding: bool = False
    initial: Callable[[Tensor], object] = _NORMAL
    plus: "Part | None" = None

    @property
    def places(self) -> tuple[Place, ...]:
        return tuple(place for group in self.groups for place in group.places)


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the table.

    Attributes:
        settings: defaults of ModelConfig that differ for this method.
        single_task: its modules know no task, so it is trained on one task at a time.
        task_prefix: when the source text has to name the task: ``always``, with ``several``
            tasks, or ``never``.
    """

    name: str
    summary: str
    parts: tuple[Part, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    single_task: bool = False
    task_prefix: Literal["never", "several", "always"] = "never"

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of all parts; one that stands in several parts is listed once."""
        return tuple(dict.fromkeys(group for part in self.parts for group in part.groups))

    @property
    def places(self) -> tuple[Place, ...]:
        return tuple(place for group in self.groups for place in group.places)

    @property
    def kinds(self) -> dict[Place, str]:
        """The kind of module at each place."""
        return {place: group.module for group in self.groups for place in group.places}

    def with_lora_at(self, places: tuple[Place, ...]) -> "Method":
        """The same method with LoRA at ``places`` only. Raises ConfigError if it has none there."""
        known = [p for group in self.groups if group.module == "lora" for p in group.places]
        if wrong := [place.value for place in places if place not in known]:
            raise ConfigError(
                f"method {self.name!r} has no LoRA at {wrong[0]!r} "
                f"(it has: {', '.join(known) or 'none'})"
            )
        if not places:
            raise ConfigError("lora_places is empty: name places, or choose a method without LoRA")
        return self._keeping(lambda group, place: group.module != "lora" or place in places)

    def on(self, family: Family) -> "Method":
        """The method as it attaches to a backbone of ``family``.

        What stands in a stack that the family has not (cross-attention, without a decoder) is left
        out.

        Raises:
            ConfigError: the family lacks a place that the method attaches to, or a whole stack.
        """
        for part in self.parts:
            for place in part.places:
                if reason := family.lacks(place, part.stacks):
                    raise ConfigError(
                        f"method {self.name!r} cannot be used here: {reason}; choose another "
                        "method or another backbone"
                    )
        return self._keeping(lambda group, place: bool(set(place.stacks) & set(family.stacks)))

    def attaches_to(self, family: Family) -> bool:
        """Whether :meth:`on` raises nothing."""
        return not any(family.lacks(p, part.stacks) for part in self.parts for p in part.places)

    def _keeping(self, wanted: Callable[[Group, Place], bool]) -> "Method":
        """With the wanted places alone, in the order of the table, which is that of the position
        embedding."""

        def fewer(part: Part) -> Part:
            groups = (
                replace(group, places=tuple(p for p in group.places if wanted(group, p)))
                for group in part.groups
            )
            return replace(part, groups=tuple(group for group in groups if group.places))

        return replace(self, parts=tuple(map(fewer, self.parts)))


_ADAPTERS, _LORA = Group("adapter", ADAPTER_PLACES), Group("lora", LORA_PLACES)
_PARALLEL = Group("adapter", (Place.PARALLEL_FEED_FORWARD,))
_BERT_NORMAL = partial(nn.init.normal_, std=0.02)
_NO_NORMS = {"conditional_norm": False, "train_backbone": "none", "activation": "relu"}

# What a tagging head may be told of each word besides its state.
SHAPE_VECTORS = Part("free_per_task", (Group("word_shapes", (Place.WORD_SHAPES,)),))
# The tagging heads that a configuration can choose, whatever the method.
_HEAD = (Group("head", (Place.HEAD,)),)
_TEXT = Part("label_texts", _HEAD)
HEADS = {
    "free": Part("free_per_task", _HEAD, initial=_BERT_NORMAL),
    "generated": Part("label_hypernetwork", _HEAD),
    "text": _TEXT,
    "text+free": replace(_TEXT, plus=Part("free_per_task", _HEAD, initial=nn.init.zeros_)),
    "generated+text": Part("label_hypernetwork", _HEAD, plus=_TEXT),
}

METHODS = Registry(
    "method",
    (
        Method(
            "hyperloader",
            "adapters, conditional layer norms and LoRA generated from (task, layer, position)",
            (Part("task_hypernetwork", (_ADAPTERS, _LORA), position_embedding=True),),
        ),
        Method(
            "hyperformer++",
            "adapters and conditional layer norms generated from (task, layer, position)",
            (Part("task_hypernetwork", (_ADAPTERS,), position_embedding=True),),
        ),
        Method(
            "hyperformer",
            "adapters and conditional layer norms, one generator per place, from (task, layer)",
            (
                Part(
                    "task_hypernetwork",
                    tuple(Group("adapter", (place,)) for place in ADAPTER_PLACES),
                ),
            ),
        ),
        Method(
            "hyperlora",
            "only the LoRA of hyperloader, generated from (task, layer, position)",
            (Part("task_hypernetwork", (_LORA,), position_embedding=True),),
        ),
        Method(
            "hyperdecoder",
            "parallel adapters: the encoder's learned, the decoder's generated from the input",
            (
                Part(
                    "free",
                    (_PARALLEL,),
                    stacks=(ENCODER,),
                    initial=partial(nn.init.xavier_uniform_, gain=1e-4),
                ),
                Part("input_hypernetwork", (_PARALLEL,), stacks=(DECODER,)),
            ),
            settings={**_NO_NORMS, "adapter_dim": 64, "layer_embedding_dim": 10},
            task_prefix="always",
        ),
        Method(
            "unipelt-t5",
            "adapters and LoRA of one task (no prefix and no gates, as the paper chose)",
            (Part("free", (_ADAPTERS, _LORA), initial=_BERT_NORMAL),),
            settings={**_NO_NORMS, "reduction_factor": 16},
            single_task=True,
        ),
        Method(
            "unipelt-bert",
            "gated prefixes, adapters and LoRA of one task on an encoder with a tagging head",
            (
                Part("prefix", (Group("prefix", (Place.SELF_PREFIX,), gated=True),), (ENCODER,)),
                Part(
                    "free",
                    (
                        Group("adapter", (Place.FEED_FORWARD_NORM,), gated=True),
                        Group("lora", (Place.SELF_QUERY, Place.SELF_VALUE), gated=True),
                    ),
                    (ENCODER,),
                    initial=_BERT_NORMAL,
                ),
            ),
            settings={**_NO_NORMS, "reduction_factor": 16, "tags": "single"},
            single_task=True,
        ),
        Method(
            "adapter",
            "adapters and layer norms of one task",
            (Part("free", (_ADAPTERS,)),),
            single_task=True,
        ),
        Method(
            "adapter-dagger",
            "adapters for each task, with layer norms that all tasks share",
            (Part("free_per_task", (_ADAPTERS,)),),
        ),
        Method(
            "lora",
            "LoRA of one task",
            (Part("free", (_LORA,)),),
            settings={"train_backbone": "none"},
            single_task=True,
        ),
        Method(
            "full",
            "nothing attached: the whole backbone is trained",
            (),
            settings={"train_backbone": "all"},
            task_prefix="several",
        ),
    ),
)
