"""From words to sub-token ids, one word at a time, so that user text is never a special token."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hyperloader.backbones.t5.sentinels import sentinel_ids
from hyperloader.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hyperloader.codec.light_tokenizer import LightTokenizer


class Pieces:
    """Sub-token ids of words by one tokenizer.

    Args:
        special: kinds of special tokens that the tokenizer must have (``pad``, ``unk``, …).

    Raises:
        ConfigError: it lacks one of them.
    """

    # What is put before a word, so that it is encoded as inside of a sentence.
    before = ""

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase | LightTokenizer", special: Sequence[str]
    ) -> None:
        self.tokenizer: Any = tokenizer  # of either kind; each has what is used here
        ids = {name: getattr(tokenizer, f"{name}_token_id") for name in special}
        if missing := [name for name, i in ids.items() if i is None]:
            raise ConfigError(f"the tokenizer has no {', '.join(missing)} token")
        self.pad, self.unk = ids["pad"], ids["unk"]
        # What stands for a sub-token that is hidden: the mask, where the tokenizer has one.
        mask = getattr(tokenizer, "mask_token_id", None)
        self.hidden = self.unk if mask is None else mask
        self._special = set(tokenizer.all_special_ids) - {self.unk}
        vocabulary = tokenizer.get_vocab()
        self._space = {vocabulary[s] for s in ("▁", "Ġ") if s in vocabulary}
        self._cache: dict[str, tuple[int, ...]] = {}

    def __call__(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """The ids of each word; never empty (a word that normalises to nothing is unknown)."""
        if len(self._cache) > 200_000:
            self._cache = {}
        cache = self._cache  # another thread may put a new one in its place meanwhile
        missing = list(dict.fromkeys(word for word in words if word not in cache))
        if missing:
            for word, ids in zip(missing, self._encode(missing), strict=True):
                if not self._special.isdisjoint(ids):
                    ids = self._by_character(word)
                cache[word] = tuple(ids) or (self.unk,)
        return [cache[word] for word in words]

    def _encode(self, words: list[str]) -> list[list[int]]:
        return self.tokenizer(
            [self.before + word for word in words],
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
        )["input_ids"]

    def _by_character(self, word: str) -> list[int]:
        # A word such as "</s>" is one entry of the vocabulary and would be read as the special
        # token. Spelt letter by letter it cannot be.
        ids: list[int] = []
        for position, letter in enumerate(self._encode(list(word))):
            ids += [i for i in letter if not (position and i in self._space)]
        return [self.unk if i in self._special else i for i in ids]


class WordPieces(Pieces):
    """Sub-token ids of words, and the sentinels, of a tokenizer of the T5 family.

    Sentinels are looked up by name (``<extra_id_0>``, …), never computed: their order is
    reversed in T5's vocabulary.

    Raises:
        ConfigError: the tokenizer has no padding, end or unknown token, or no sentinels.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase | LightTokenizer") -> None:
        self.sentinels = sentinel_ids(tokenizer.get_vocab())
        if len(self.sentinels) < 2:
            raise ConfigError(
                "the tokenizer has no sentinels (<extra_id_0>, <extra_id_1>, …); use a tokenizer "
                "of the T5 family"
            )
        super().__init__(tokenizer, ("pad", "eos", "unk"))
        self.eos = tokenizer.eos_token_id
        self._special |= set(self.sentinels)


class SubTokens(Pieces):
    """Sub-token ids of words by a tokenizer of the BERT family, and what frames a sentence."""

    # Byte-level tokenizers write the first letters of a word by whether a space is before it.
    before = " "

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        super().__init__(tokenizer, ("pad", "cls", "sep", "unk"))
        self.first, self.last = tokenizer.cls_token_id, tokenizer.sep_token_id
