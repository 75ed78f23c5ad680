"""The tokenizers that this package trains, without transformers: the little a codec asks of one.

Importing transformers takes longer than tagging a few sentences does.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from hyperloader.store import read_bytes
from hyperloader.trust import ORIGIN

FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"
LARGEST = 256 << 20  # bytes; the vocabularies of large multilingual models have 20 MB
NAMED = ("pad_token", "eos_token", "unk_token")
# Settings that are written beside the file; none of them changes how a text is cut. With another
# class or another setting, transformers may build a tokenizer that differs from the file.
_CLASS = "TokenizersBackend"
_SETTINGS = {
    *("tokenizer_class", "backend", "extra_special_tokens", "model_max_length"),
    *(*NAMED, *ORIGIN),
}


class LightTokenizer:
    """A tokenizer with what codecs use of transformers' ones, by the same names.

    Args:
        files: the bytes of :data:`FILE` and :data:`CONFIG`; see :func:`light_tokenizer`.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = dict(files)
        self._backend = Tokenizer.from_str(files[FILE].decode())
        self._backend.no_padding()
        self._backend.no_truncation()
        self._vocabulary: dict[str, int] = self._backend.get_vocab()
        config = json.loads(files[CONFIG])
        named = [self._vocabulary[config[name]] for name in NAMED]
        self.pad_token_id, self.eos_token_id, self.unk_token_id = named
        self.all_special_ids = named + [self._vocabulary[t] for t in config["extra_special_tokens"]]

    def __call__(
        self,
        texts: Sequence[str],
        *,
        add_special_tokens: bool = True,
        split_special_tokens: bool = False,
        return_attention_mask: bool = False,
    ) -> dict[str, list[list[int]]]:
        """The ``input_ids`` of every text, and the ``attention_mask`` where it is asked for."""
        if self._backend.encode_special_tokens != split_special_tokens:
            self._backend.encode_special_tokens = split_special_tokens
        found = self._backend.encode_batch(list(texts), add_special_tokens=add_special_tokens)
        made = {"input_ids": [text.ids for text in found]}
        if return_attention_mask:
            made["attention_mask"] = [text.attention_mask for text in found]
        return made

    def get_vocab(self) -> dict[str, int]:
        """All pieces and added tokens with their ids."""
        return self._vocabulary

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the bytes that transformers would write."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / FILE).write_bytes(self._files[FILE])
        config = json.loads(self._files[CONFIG])
        kept = {name: value for name, value in config.items() if name not in ORIGIN}
        text = json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (Path(folder) / CONFIG).write_bytes(text.encode())


def light_tokenizer(folder: Path) -> LightTokenizer | None:
    """The tokenizer in ``folder``; None where it is not one of the kind that is trained here.

    Others are left to transformers, and so is a damaged one: it says what is wrong.
    """
    try:
        if {path.name for path in folder.iterdir()} != {FILE, CONFIG}:
            return None
        files = {name: read_bytes(folder / name, LARGEST) for name in (FILE, CONFIG)}
        content, config = json.loads(files[FILE]), json.loads(files[CONFIG])
        return LightTokenizer(files) if _is_plain(content, config) else None
    except Exception:  # tokenizers has no narrower one; transformers meets it again and says so
        return None


def _is_plain(content: dict[str, Any], config: dict[str, Any]) -> bool:
    """Whether ``config`` is of the class that takes the file as it is, and adds nothing to it."""
    special = {token["content"] for token in content["added_tokens"] if token["special"]}
    named = {config[name] for name in NAMED}
    return (
        config["tokenizer_class"] == _CLASS
        and config.keys() <= _SETTINGS
        and named | set(config["extra_special_tokens"]) <= special
    )
