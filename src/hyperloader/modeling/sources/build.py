"""From a method's parts to the source of its weights."""

from torch import nn

from hyperloader.backbones.sites import Site
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import Method, Part
from hyperloader.modeling.sources.free import FreeParameters
from hyperloader.modeling.sources.input_hypernetwork import InputHypernetwork
from hyperloader.modeling.sources.prefix import PrefixNetwork
from hyperloader.modeling.sources.source import Source, Together
from hyperloader.modeling.sources.task_hypernetwork import TaskHypernetwork


def build_source(config: ModelConfig, method: Method, sites: dict[Site, nn.Module]) -> Source:
    """The source of ``method``: that of its one part, or of several together."""
    sources = [
        _of_part(config, part, {s: m for s, m in sites.items() if s in _served(part, sites)})
        for part in method.parts
    ]
    return sources[0] if len(sources) == 1 else Together(sources)


def served_sites(method: Method, sites: dict[Site, nn.Module]) -> dict[Site, nn.Module]:
    """Those of ``sites`` that some part of ``method`` makes weights for."""
    served = {site for part in method.parts for site in _served(part, sites)}
    return {site: module for site, module in sites.items() if site in served}


def _served(part: Part, sites: dict[Site, nn.Module]) -> set[Site]:
    return {site for site in sites if site.stack in part.stacks and site.place in part.places}


def _of_part(config: ModelConfig, part: Part, sites: dict[Site, nn.Module]) -> Source:
    match part.source:
        case "task_hypernetwork":
            return TaskHypernetwork(config, part, sites)
        case "input_hypernetwork":
            return InputHypernetwork(config, part, sites)
        case "free":
            return FreeParameters(config, part, sites)
        case "free_per_task":
            return FreeParameters(config, part, sites, sets=len(config.tasks))
        case "prefix":
            return PrefixNetwork(config, part, sites)
