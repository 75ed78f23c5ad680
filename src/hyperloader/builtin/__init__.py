"""What is bundled: a small pre-trained T5 (``backbone``) and a tagger on it (``tagger``).

Both answer to the name ``builtin`` wherever a backbone or a run is asked for. How they were made:
MODEL_CARD.md in this folder.
"""

from pathlib import Path

from hyperloader.errors import ConfigError

BUILTIN = "builtin"
_FOLDER = Path(__file__).parent


def backbone_path(name: str) -> str:
    """Where the backbone ``name`` lies: the builtin one in the package, any other where it says."""
    return str(_part("backbone")) if name == BUILTIN else name


def run_path(name: str | Path) -> Path:
    """Where the run or checkpoint ``name`` lies; ``builtin`` is the tagger in the package."""
    return _part("tagger") if str(name) == BUILTIN else Path(name)


def examples() -> dict[str, str]:
    """A sentence for each task of the builtin tagger, written for this purpose."""
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
