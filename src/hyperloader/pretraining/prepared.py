"""Text as token ids on the disk: made once, read by as many runs as share a tokenizer.

A file of ids for each source, without gaps, and one for the held-out lines of all sources. They
are mapped, not loaded, so that any place of any text can be read at once and memory stays flat.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from transformers import PreTrainedTokenizerBase

from hyperloader.codec.pieces import WordPieces
from hyperloader.errors import ConfigError, DataError
from hyperloader.pretraining.recipe import PretrainRecipe
from hyperloader.pretraining.text import (
    TextFile,
    factors,
    find_files,
    is_held_out,
    read_lines,
    scan,
)
from hyperloader.pretraining.tokenizer import load_tokenizer, make_tokenizer
from hyperloader.store import MANIFEST, Kind, atomic_folder, check_folder, claim_target, read_json

ABOUT = "prepared.json"
TOKENIZER = "tokenizer"
HELD_OUT = "held-out"
_FORMAT = 1
_CHUNK = 1 << 20  # ids kept in memory before they are written


@dataclass(frozen=True)
class Prepared:
    """A prepared text. ``counts`` are the sub-tokens of each source, and of the held-out lines."""

    folder: Path
    counts: dict[str, int]
    dtype: str
    files: dict[str, int]
    settings: dict

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer that the ids belong to."""
        return load_tokenizer(str(self.folder / TOKENIZER))

    def tokens(self, name: str) -> NDArray[np.unsignedinteger]:
        """The ids of one source (or of ``HELD_OUT``), mapped read-only."""
        path = self.folder / f"{name}.ids"
        return np.memmap(path, dtype=self.dtype, mode="r", shape=(self.counts[name],))


def prepare(
    text: Path | None, folder: Path, recipe: PretrainRecipe, console: Console | None = None
) -> Prepared:
    """Open the prepared text in ``folder``, or make it there from the files in ``text``.

    Raises:
        DataError: the text cannot be read, or has changed since, or there is none to read.
        ConfigError: ``folder`` was made with other settings of the tokenizer or ``held_out``.
    """
    console = console or Console(quiet=True)
    if (folder / MANIFEST).exists():
        prepared = open_prepared(folder)
        _check_settings(prepared, recipe)
        if text is not None:
            _check_files(prepared, text)
        return prepared
    if text is None:
        raise DataError("holds no prepared text; give --text DIR", folder)
    claim_target(folder, Kind.PREPARED, sources=[text])
    sources = scan(text)
    if any(source.name.casefold() == HELD_OUT for source in sources):
        raise DataError(f"a file may not be named {HELD_OUT}.txt; rename it", text)
    weights = factors([source.name for source in sources], recipe.text.weights)
    lines, characters = (sum(getattr(s, n) for s in sources) for n in ("lines", "characters"))
    console.print(f"text: {len(sources)} files, {lines:,} lines, {characters:,} characters")
    tokenizer = make_tokenizer(sources, weights, recipe.tokenizer, recipe.text.held_out)
    console.print(f"tokenizer: {len(tokenizer):,} pieces, sentinels included; encoding …")
    with atomic_folder(folder, Kind.PREPARED, sources=[text]) as temporary:
        tokenizer.save_pretrained(temporary / TOKENIZER)
        _encode(sources, tokenizer, recipe, temporary)
    return open_prepared(folder)


def open_prepared(folder: Path) -> Prepared:
    """A prepared text. Raises CheckpointError when it is missing, incomplete or damaged."""
    check_folder(folder)
    about = read_json(folder / ABOUT)
    if about.pop("format", None) != _FORMAT:
        raise ConfigError(f"{folder} is not a prepared text of this version; prepare it again")
    return Prepared(folder, **about)


def _encode(
    sources: Sequence[TextFile],
    tokenizer: PreTrainedTokenizerBase,
    recipe: PretrainRecipe,
    folder: Path,
) -> None:
    pieces = WordPieces(tokenizer)
    dtype = "uint16" if len(tokenizer) <= 1 << 16 else "uint32"
    counts, files = {HELD_OUT: 0}, {}
    with (folder / f"{HELD_OUT}.ids").open("wb") as aside:
        for source in sources:
            files[source.path.name], counts[source.name] = source.size, 0
            kept: list[int] = []
            with (folder / f"{source.name}.ids").open("wb") as file:
                for _, line in read_lines(source.path):
                    ids = [i for word in pieces(line.split()) for i in word]
                    if is_held_out(line, recipe.text.held_out):
                        counts[HELD_OUT] += len(ids)
                        aside.write(np.array(ids, dtype=dtype).tobytes())
                        continue
                    counts[source.name] += len(ids)
                    kept += ids
                    if len(kept) >= _CHUNK:
                        file.write(np.array(kept, dtype=dtype).tobytes())
                        kept.clear()
                file.write(np.array(kept, dtype=dtype).tobytes())
    if not counts[HELD_OUT]:
        raise DataError(
            f"none of its lines is held out (1 in {recipe.text.held_out}), so nothing could be "
            "measured; give more text or lower text.held_out",
            sources[0].path.parent,
        )
    about = {"format": _FORMAT, "counts": counts, "dtype": dtype, "files": files}
    (folder / ABOUT).write_text(json.dumps({**about, "settings": _settings(recipe)}, indent=1))


def _settings(recipe: PretrainRecipe) -> dict:
    return {"held_out": recipe.text.held_out, **recipe.tokenizer.model_dump(mode="json")}


def _check_settings(prepared: Prepared, recipe: PretrainRecipe) -> None:
    for key, value in _settings(recipe).items():
        if (before := prepared.settings.get(key)) != value:
            raise ConfigError(
                f"{prepared.folder} was prepared with {key} {_short(before)}, the recipe says "
                f"{_short(value)}; change one of them or prepare another folder"
            )


def _check_files(prepared: Prepared, text: Path) -> None:
    now: Mapping[str, int] = {p.name: p.stat().st_size for p in find_files(text).values()}
    changed = sorted(dict(now.items() ^ prepared.files.items()))
    if changed:
        raise DataError(
            f"{changed[0]} is not what {prepared.folder} was made from ({len(changed)} files "
            "differ); prepare another folder",
            text,
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
