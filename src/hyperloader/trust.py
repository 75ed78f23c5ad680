"""What is read from folders that somebody else may have made: data, never code.

transformers can run code that lies in a model's folder, and fetches what a file names elsewhere.
Everything here that hands a folder to it first looks at that folder's JSON files, refuses what
asks for more than data, and then says ``trust_remote_code=False``. A checkpoint's word for its
backbone is followed where it is a name (``builtin``, ``minilm``, one on the Hub); a path only where
the user has said it.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hyperloader.builtin import BUILTIN, MINILM
from hyperloader.errors import CheckpointError, ConfigError, HyperloaderError, first_line
from hyperloader.store import read_bytes, read_json
from hyperloader.yamls import load_yaml

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

VARIABLE = "HYPERLOADER_TRUST_BACKBONE"
# The classes of tokenizers that backbones come with; their own kinds are those of the families.
TOKENIZER_CLASSES = (
    *("TokenizersBackend", "PreTrainedTokenizer", "PreTrainedTokenizerFast"),
    *(
        f"{name}Tokenizer{fast}"
        for name in (
            *("T5", "MT5", "Bert", "Roberta", "XLMRoberta", "Electra", "DistilBert"),
            *("MPNet", "DebertaV2"),
        )
        for fast in ("", "Fast")
    ),
)
# What transformers notes of where a tokenizer came from, and would write with it when it is saved.
ORIGIN = ("is_local", "local_files_only")
_LARGEST_TOKENIZER = 256 << 20  # bytes; those of the largest multilingual models have 20 MB
_JSON = (
    *("config.json", "tokenizer_config.json", "generation_config.json", "processor_config.json"),
    *("preprocessor_config.json", "special_tokens_map.json", "added_tokens.json"),
)
# Keys with which a file has code run, or another library loaded, or another file read.
_CODE = ("auto_map", "custom_pipelines", "quantization_config", "quantization")
_ATTENTION = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")
# Larger than any published model of these families; a lie beyond it would fill the memory.
_SIZES = ("d_", "num_", "n_", "dim", "max_position", "relative_attention_", "max_relative_")
_SIZE_ENDS = ("_size", "_dim", "_buckets")
_NO_SUCH = ("max_relative_positions", "position_buckets")  # which may be -1
_LARGEST_SIZE, _MOST_LAYERS = 1 << 20, 256
# What comes with a package is looked up before any folder of that name is.
_INSTALLED = (BUILTIN, MINILM)
_told: set[Path] = set()


def trust_backbone(folder: Path | str) -> None:
    """Let checkpoints name the backbone in ``folder``, in this process.

    Say it of a folder that you know. The command line has ``--trust-backbone`` for it, and the
    environment variable ``HYPERLOADER_TRUST_BACKBONE`` does the same.
    """
    _told.add(Path(folder).resolve())


def trusted() -> tuple[str, ...]:
    """The folders that :func:`trust_backbone` was told, for processes that are started here."""
    return tuple(sorted(map(str, _told)))


def followed(name: str | None, checkpoint: Path) -> str:
    """``name``, the backbone that the folder ``checkpoint`` names, if it may be followed.

    A name that is not a path always may. A path (absolute, with ``..``, or of a folder that is
    there) may where the user has said it: by :func:`trust_backbone`, or when he started the run
    that the checkpoint is part of, whose ``run.yaml`` has kept it.

    Raises:
        CheckpointError: it is a path that nobody has spoken for, or no name at all.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise CheckpointError(f"{checkpoint} does not say which backbone it needs; it is damaged")
    if not is_path(name):
        return name
    if name.startswith(("\\\\", "//")):
        raise CheckpointError(
            f"{checkpoint} names a backbone on another machine, {name!r}; copy that here "
            "and give it as the backbone"
        )
    place = Path(name).resolve()
    told = {
        *_told,
        *(Path(p).resolve() for p in os.environ.get(VARIABLE, "").split(os.pathsep) if p),
    }
    if place in told or _backbone_of_run(checkpoint) == name:
        return name
    raise CheckpointError(
        f"{checkpoint} names a backbone outside of itself, {name!r}; if you know that folder, say "
        f"so: hyperloader --trust-backbone {name!r} … (in Python hyperloader.trust_backbone)"
    )


def is_path(name: str) -> bool:
    """Whether transformers would look for ``name`` among the folders of this machine."""
    if name in _INSTALLED:
        return False
    return not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name) or Path(name).exists()


def _backbone_of_run(checkpoint: Path) -> str | None:
    """The backbone in the ``run.yaml`` of the run that ``checkpoint`` is part of."""
    run = checkpoint.resolve().parent.parent / "run.yaml"
    try:
        about = load_yaml(read_bytes(run).decode("utf-8"))
        return about["recipe"]["backbone"] if checkpoint.parent.name == "checkpoints" else None
    except (HyperloaderError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return None


def refuse_code(folder: Path | str) -> None:
    """Refuse a model's folder that asks for code of its own, or of another library, to be run.

    A name that is no folder here (one on the Hub) passes: transformers itself refuses code there
    when it is told ``trust_remote_code=False``.

    Raises:
        ConfigError: it asks for code, or has a tokenizer of an unknown kind.
        CheckpointError: a JSON file in it is damaged, too large or no regular file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return
    if (folder / "adapter_config.json").exists():
        raise ConfigError(
            f"{folder} holds an adapter (adapter_config.json), which names a model elsewhere; give "
            "the whole model as one folder"
        )
    for name in _JSON:
        if (folder / name).exists():
            check_settings(read_json(folder / name), str(folder / name))
    if (folder / "tokenizer.json").exists():
        read_bytes(folder / "tokenizer.json", _LARGEST_TOKENIZER)


def check_settings(settings: Mapping[str, Any], where: str) -> None:
    """Refuse a model's or a tokenizer's configuration that asks for more than data.

    Raises:
        ConfigError: it names code, an unknown kind of tokenizer, or an absurd size.
    """
    for key, value in _items(settings):
        if key in _CODE and value:
            raise ConfigError(
                f"{where} asks for code or a library of its own ({key}), which is never run; give "
                "a model that transformers knows by itself"
            )
        if key in _ATTENTION and value not in (None, "eager", "sdpa"):
            raise ConfigError(f"{where} asks for attention by {value!r}; remove {key}")
    kind = settings.get("tokenizer_class")
    if kind is not None and kind not in TOKENIZER_CLASSES:
        raise ConfigError(
            f"{where}: unknown tokenizer {str(kind)[:80]!r} (known: "
            f"{', '.join(TOKENIZER_CLASSES)}); nothing else is loaded"
        )
    for key, value in settings.items():
        counts_layers = key.startswith(("num_", "n_")) and key.endswith("layers")
        least, most = -(key in _NO_SUCH), _MOST_LAYERS if counts_layers else _LARGEST_SIZE
        of_size = counts_layers or key.startswith(_SIZES) or key.endswith(_SIZE_ENDS)
        within = isinstance(value, int) and least <= value <= most
        if of_size and value is not None and not within:
            raise ConfigError(f"{where}: {key} cannot be {str(value)[:40]}; it is damaged")


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of a JSON value with what stands there, at any depth."""
    rest = [value]
    while rest:
        found = rest.pop()
        if isinstance(found, Mapping):
            yield from found.items()
            rest += found.values()
        elif isinstance(found, list):
            rest += found


def load_config(name: str) -> "PretrainedConfig":
    """The configuration of a model in a folder or on the Hub.

    Raises:
        HyperloaderError: see :func:`refuse_code`.
        ValueError: transformers cannot read it; the message is one line.
    """
    from transformers import AutoConfig

    refuse_code(name)
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # a damaged file can make a library raise anything
        raise ValueError(first_line(error)) from error
    check_settings(config.to_dict(), name)
    return config


def load_tokenizer(name: Path | str) -> "PreTrainedTokenizerBase":
    """The tokenizer in a folder or on the Hub, of an allowed class.

    Raises:
        HyperloaderError: see :func:`refuse_code`.
        ValueError: transformers cannot read it; the message is one line.
    """
    from transformers import AutoTokenizer

    refuse_code(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # a damaged file can make a library raise anything
        raise ValueError(first_line(error)) from error
    for note in ORIGIN:
        tokenizer.init_kwargs.pop(note, None)
    return tokenizer
