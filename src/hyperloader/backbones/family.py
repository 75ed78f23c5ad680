"""What the rest of the package knows of a kind of backbone, and nothing else knows.

A family is a group of backbones whose modules share names. To add one, subclass :class:`Family` in
a folder of its own and name it in :mod:`hyperloader.backbones.registry`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from hyperloader.backbones.joins import Change, Join, added
from hyperloader.backbones.places import STACKS, Place, Site
from hyperloader.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Published = Mapping[str, Mapping[str, Any]]


class Sizes(NamedTuple):
    """How many numbers go into what a place is, and how many leave it."""

    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a place is in the layers of a family: how the name of the module goes on after that of
    its layer (a lookahead is not part of it), of what kind the module is, and how a result joins
    the stream there.

    Places may share a module that makes several results at once, all as wide, side by side: the
    place is then result number ``part``, counted from zero, of ``parts``.
    """

    name: str
    kind: type[nn.Module] = nn.Linear
    join: Join = added
    part: int = 0
    parts: int = 1

    def joined(self, module: Any, x: Tensor, y: Tensor, change: Change) -> Tensor:
        """What leaves ``module`` once ``change`` has joined it here; see :data:`Join`."""
        if self.parts == 1:
            return self.join(module, x, y, change)
        results = list(y.chunk(self.parts, dim=-1))
        results[self.part] = self.join(module, x, results[self.part], change)
        return torch.cat(results, dim=-1)

    def sizes(self, module: nn.Module) -> Sizes:
        """Of the place in ``module``."""
        if isinstance(module, nn.Linear):
            return Sizes(module.in_features, module.out_features // self.parts)
        # A sublayer or a layer norm keeps the width, which its first weight takes in.
        width = next(module.parameters()).shape[-1]
        return Sizes(width, width)


class Family(ABC):
    """A kind of backbone.

    Attributes:
        name: what the family is called.
        model_types: transformers' ``model_type`` of its members.
        stacks: which of encoder and decoder it has.
        layer: a pattern for the start of the name of every module inside a layer, with groups for
            the stack (where there are two) and the number.
        spots: the places that it has.
        output: how a model on it answers unless its configuration says otherwise.
        dropouts: the names of the dropout rates in its configuration; the first is that of what
            leaves a sublayer, and of a tagging head.
        shapes: published sizes, by name, so that parameters can be counted without any file.
        first_norm: where the weights of learned layer norms in adapters begin. A post-norm stream
            has entries of about 1, which a norm of weight 1 at the end of an adapter would drown.
        example: a backbone of the family, for messages.
    """

    name: ClassVar[str]
    model_types: ClassVar[tuple[str, ...]]
    stacks: ClassVar[tuple[str, ...]]
    layer: ClassVar[str]
    spots: ClassVar[Mapping[Place, Spot]]
    output: ClassVar[str]
    dropouts: ClassVar[tuple[str, ...]]
    shapes: ClassVar[Published] = {}
    first_norm: ClassVar[float] = 1.0
    example: ClassVar[str]

    # Loading

    @abstractmethod
    def load(self, path: str, rates: Mapping[str, float]) -> "PreTrainedModel":
        """The backbone in the folder or on the Hub at ``path``, in float32 and evaluation mode.

        ``rates`` are put in place of dropout rates of its configuration. Only safetensors are read.

        Raises OSError, ValueError or KeyError as transformers does.
        """

    @abstractmethod
    def build(self, config: Any) -> "PreTrainedModel":
        """A backbone with random weights for one of transformers' configurations."""

    @abstractmethod
    def shape(self, sizes: Mapping[str, Any]) -> Any:
        """transformers' configuration for published ``sizes``."""

    def light(self, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any | None:
        """A stand-in made of ``tensors`` that computes the same without transformers, for tagging.

        None (the default): there is none, or it is not sure to compute the same.
        """
        return None

    # Facts

    def width(self, backbone: Any) -> int:
        """Of the states that the encoder gives."""
        return int(backbone.config.hidden_size)

    def max_tokens(self, backbone: Any) -> int | None:
        """How many sub-tokens the backbone can read at once; None: any number."""
        return None

    def told_places(self, backbone: Any, places: Tensor) -> dict[str, Tensor] | None:
        """What tells the forward pass the place of every token in its own sentence.

        Several sentences can then share a row, (R, S) tokens, whose attention is masked so that
        none sees another. None (the default): they cannot.
        """
        return None

    @abstractmethod
    def is_norm(self, parameter: str) -> bool:
        """Whether the parameter of that name belongs to a layer norm of the backbone."""

    def reader(self, backbone: Any) -> nn.Module:
        """The module whose output is what the backbone has read (its encoder)."""
        return backbone.get_submodule("encoder")

    def heads(self, attention: Any) -> int:
        """How many heads the self-attention module ``attention`` has."""
        return int(attention.num_attention_heads)

    def check_tokenizer(
        self, name: str, backbone: Any, tokenizer: "PreTrainedTokenizerBase"
    ) -> None:
        """Raise ConfigError unless every id of ``tokenizer`` has an embedding in ``backbone``."""
        largest, rows = max(tokenizer.get_vocab().values()), backbone.config.vocab_size
        if largest >= rows:
            raise ConfigError(
                f"the tokenizer of {name!r} does not fit the backbone: it has the id {largest}, "
                f"the backbone a vocabulary of {rows}; use the one that came with it"
            )

    def apart(self, backbone: nn.Module) -> Iterable[tuple[nn.Module, str]]:
        """Modules and the names of methods of theirs in which nothing that is attached acts.

        They are those that give hooked modules something else than the rows of the batch. Default:
        there are none.
        """
        return ()

    # Sites

    def lacks(self, place: Place, stacks: Iterable[str] = STACKS) -> str | None:
        """Why nothing can be attached at ``place`` in ``stacks``, in words; None: it can.

        Cross-attention is not missed in a family without a decoder: a method that attaches to both
        kinds of attention attaches to what is there.
        """
        if not set(stacks) & set(self.stacks):
            return f"a {self.name} backbone has no {' or '.join(stacks)}"
        if set(place.stacks) & set(self.stacks) and place not in self.spots:
            known = ", ".join(self.spots)
            return f"a {self.name} backbone has no place {place.value!r} (it has: {known})"
        return None

    def find_sites(self, backbone: nn.Module, places: Iterable[Place]) -> dict[Site, nn.Module]:
        """Map every site of ``places`` to the module that is hooked there.

        Raises:
            ConfigError: a place that the family lacks, that has no match in a stack where it
                belongs, or whose module is of another kind (a quantised projection, say).
        """
        named = dict(backbone.named_modules())
        sites: dict[Site, nn.Module] = {}
        for place in places:
            if reason := self.lacks(place):
                raise ConfigError(reason)
            if place not in self.spots:
                continue
            spot = self.spots[place]
            pattern = re.compile(self.layer + spot.name)
            found = {
                Site(self._stack_of(match), int(match["layer"]), place): named[match[0]]
                for name in named
                if (match := pattern.match(name))
            }
            for stack in self.stacks:
                if stack in place.stacks and not any(site.stack == stack for site in found):
                    raise ConfigError(
                        f"{type(backbone).__name__} has no {place.value} in its {stack}; load a "
                        f"whole backbone of the {self.name} family ({', '.join(self.model_types)})"
                    )
            for site, module in found.items():
                if not isinstance(module, spot.kind):
                    raise ConfigError(
                        f"{place.value} in layer {site.layer} of the {site.stack} is a "
                        f"{type(module).__name__}, not a plain {spot.kind.__name__}: load the "
                        "backbone unchanged (not quantised, no other adapters)"
                    )
                sites[site] = module
        return sites

    def sizes(self, sites: Mapping[Site, nn.Module]) -> dict[Site, Sizes]:
        """The sizes at ``sites``, which :meth:`find_sites` has found."""
        return {site: self.spots[site.place].sizes(module) for site, module in sites.items()}

    def _stack_of(self, match: re.Match[str]) -> str:
        return match["stack"] if "stack" in match.re.groupindex else self.stacks[0]
