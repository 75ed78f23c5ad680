"""YAML that somebody else may have written: whatever is wrong with it is a ``yaml.YAMLError``."""

from typing import Any

import yaml

_LARGEST = 1_000_000  # values, each counted as often as aliases repeat it


def load_yaml(text: str | bytes, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """The value of the one document in ``text``.

    Raises:
        yaml.YAMLError: it is no YAML, nested too deep, or large by aliases of aliases.
    """
    try:
        reader = loader(text)
        node = reader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > _LARGEST:
            raise yaml.YAMLError("its aliases make it too large")
        return reader.construct_document(node)
    except RecursionError as error:
        raise yaml.YAMLError("nested too deep") from error
    except (ValueError, LookupError, AttributeError) as error:  # of tags such as !!bool
        raise yaml.YAMLError(str(error)) from error


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values ``node`` stands for; those of a node that holds itself have no end."""
    if id(node) not in known:
        known[id(node)] = _LARGEST + 1
        parts = [] if isinstance(node, yaml.ScalarNode) else node.value
        inner = (part if isinstance(part, tuple) else (part,) for part in parts)
        known[id(node)] = 1 + sum(_size(each, known) for pair in inner for each in pair)
    return known[id(node)]
