"""The tokenizers that this package trains, and BERT's, without transformers: what codecs ask of
one.

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
NAMED = tuple(f"{name}_token" for name in ("pad", "eos", "unk", "cls", "sep", "mask"))
# Settings that are written beside the file; none of them changes how a text is cut. With another
# class or another setting, transformers may build a tokenizer that differs from the file.
_SETTINGS = {
    *("tokenizer_class", "backend", "extra_special_tokens", "model_max_length"),
    *(*NAMED, *ORIGIN),
}
# Those of BERT: how texts are cut, which the file must say too, and what cutting words alone and
# batching them here does not use.
_BERT_SETTINGS = {
    *("do_lower_case", "strip_accents", "tokenize_chinese_chars", "do_basic_tokenize"),
    *("never_split", "name_or_path", "max_length", "pad_to_multiple_of", "pad_token_type_id"),
    *("padding_side", "stride", "truncation_side", "truncation_strategy"),
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
        special = [config[name] for name in NAMED if config.get(name)]
        special += config.get("extra_special_tokens", [])
        self.all_special_ids = [self._vocabulary[token] for token in special]

        def named(name: str) -> Any:
            """The id of a special token; None where the tokenizer has none of that kind."""
            return self._vocabulary[config[name]] if config.get(name) else None

        self.pad_token_id, self.unk_token_id = named("pad_token"), named("unk_token")
        self.eos_token_id = named("eos_token")
        self.cls_token_id, self.sep_token_id = named("cls_token"), named("sep_token")

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
    """The tokenizer in ``folder``; None where it is not one of the kinds that are known here.

    Others are left to transformers, and so is a damaged one: it says what is wrong.
    """
    try:
        files = {name: read_bytes(folder / name, LARGEST) for name in (FILE, CONFIG)}
        content, config = json.loads(files[FILE]), json.loads(files[CONFIG])
        alone = {path.name for path in folder.iterdir()} == {FILE, CONFIG}
        known = (alone and _is_plain(content, config)) or _is_bert(content, config)
        return LightTokenizer(files) if known else None
    except Exception:  # tokenizers has no narrower one; transformers meets it again and says so
        return None


def _is_plain(content: dict[str, Any], config: dict[str, Any]) -> bool:
    """Whether ``config`` is of the class that takes the file as it is, and adds nothing to it."""
    return (
        config["tokenizer_class"] == "TokenizersBackend"
        and config.keys() <= _SETTINGS
        and _knows(content, config, ("pad_token", "eos_token", "unk_token"))
    )


def _is_bert(content: dict[str, Any], config: dict[str, Any]) -> bool:
    """Whether ``config`` is of BERT's class, which builds a tokenizer by its own settings, and the
    file holds that same tokenizer."""
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return (
        config["tokenizer_class"] in ("BertTokenizer", "BertTokenizerFast")
        and config.keys() <= _SETTINGS | _BERT_SETTINGS
        and not config.get("never_split")
        and config.get("do_basic_tokenize", True)
        and content["normalizer"]
        == {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": config.get("tokenize_chinese_chars", True),
            "strip_accents": config.get("strip_accents"),
            "lowercase": config.get("do_lower_case", True),
        }
        and content["pre_tokenizer"] == {"type": "BertPreTokenizer"}
        and content["model"]["type"] == "WordPiece"
        and content["model"]["unk_token"] == config["unk_token"]
        and content["model"]["continuing_subword_prefix"] == "##"
        and len(content["added_tokens"]) == len(names)
        and _knows(content, config, names)
    )


def _knows(content: dict[str, Any], config: dict[str, Any], names: Sequence[str]) -> bool:
    """Whether the file knows the special tokens that the configuration names."""
    special = {token["content"] for token in content["added_tokens"] if token["special"]}
    return {config[n] for n in names} | set(config.get("extra_special_tokens", [])) <= special
