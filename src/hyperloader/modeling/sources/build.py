"""From a method's parts to the source of its weights."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from hyperloader.backbones.family import Sizes
from hyperloader.backbones.places import Site
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import Part
from hyperloader.modeling.sources.free import FreeParameters
from hyperloader.modeling.sources.input_hypernetwork import InputHypernetwork
from hyperloader.modeling.sources.label_hypernetwork import LabelHypernetwork
from hyperloader.modeling.sources.label_texts import LabelTexts
from hyperloader.modeling.sources.prefix import PrefixNetwork
from hyperloader.modeling.sources.source import CombinedSource, SummedSource, WeightSource
from hyperloader.modeling.sources.task_hypernetwork import TaskHypernetwork

Sites = Mapping[Site, Sizes]
T = TypeVar("T")


def build_source(
    config: ModelConfig, parts: tuple[Part, ...], sites: Sites, *, first_norm: float = 1.0
) -> WeightSource:
    """The source of ``parts``: that of the one part, or of several together.

    ``first_norm`` is where the weights of free layer norms begin.
    """
    sources = [_of_part(config, part, _served(part, sites), first_norm) for part in parts]
    return sources[0] if len(sources) == 1 else CombinedSource(sources)


def served_sites(parts: tuple[Part, ...], sites: Mapping[Site, T]) -> dict[Site, T]:
    """Those of ``sites`` that some part makes weights for."""
    served = {site for part in parts for site in _served(part, sites)}
    return {site: what for site, what in sites.items() if site in served}


def _served(part: Part, sites: Mapping[Site, T]) -> dict[Site, T]:
    return {
        site: what
        for site, what in sites.items()
        if site.stack in part.stacks and site.place in part.places
    }


def _of_part(config: ModelConfig, part: Part, sites: Sites, first_norm: float) -> WeightSource:
    if part.plus is not None:
        alone, more = replace(part, plus=None), part.plus
        return SummedSource(
            _of_part(config, alone, sites, first_norm), _of_part(config, more, sites, first_norm)
        )
    match part.source:
        case "task_hypernetwork":
            return TaskHypernetwork(config, part, sites)
        case "input_hypernetwork":
            return InputHypernetwork(config, part, sites)
        case "label_hypernetwork":
            return LabelHypernetwork(config, part, sites)
        case "label_texts":
            return LabelTexts(config, part, sites)
        case "free":
            return FreeParameters(config, part, sites, first_norm=first_norm)
        case "free_per_task":
            sets = len(config.tasks)
            return FreeParameters(config, part, sites, sets=sets, first_norm=first_norm)
        case "prefix":
            return PrefixNetwork(config, part, sites)
