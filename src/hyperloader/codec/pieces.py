"""From words to sub-token ids, one word at a time, so that user text is never a special token."""

from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerBase

from hyperloader.errors import ConfigError


class WordPieces:
    """Sub-token ids of words, and the sentinels, of one Hugging Face tokenizer.

    Sentinels are looked up by name (``<extra_id_0>``, …), never computed: their order is
    reversed in T5's vocabulary.

    Raises:
        ConfigError: the tokenizer has no padding, end or unknown token, or no sentinels.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab()
        self.sentinels = _sentinels(vocabulary)
        if len(self.sentinels) < 2:
            raise ConfigError(
                "the tokenizer has no sentinels (<extra_id_0>, <extra_id_1>, …); use a tokenizer "
                "of the T5 family"
            )
        ids = {n: getattr(tokenizer, f"{n}_token_id") for n in ("pad", "eos", "unk")}
        if missing := [name for name, i in ids.items() if i is None]:
            raise ConfigError(f"the tokenizer has no {', '.join(missing)} token")
        self.pad, self.eos, self.unk = ids["pad"], ids["eos"], ids["unk"]
        self._special = {*tokenizer.all_special_ids, *self.sentinels} - {self.unk}
        self._space = {vocabulary[s] for s in ("▁", "Ġ") if s in vocabulary}
        self._cache: dict[str, tuple[int, ...]] = {}

    def __call__(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """The ids of each word; never empty (a word that normalises to nothing is unknown)."""
        if len(self._cache) > 200_000:
            self._cache.clear()
        missing = list(dict.fromkeys(word for word in words if word not in self._cache))
        if missing:
            for word, ids in zip(missing, self._encode(missing), strict=True):
                if not self._special.isdisjoint(ids):
                    ids = self._by_character(word)
                self._cache[word] = tuple(ids) or (self.unk,)
        return [self._cache[word] for word in words]

    def _encode(self, words: list[str]) -> list[list[int]]:
        return self.tokenizer(
            words, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
        )["input_ids"]

    def _by_character(self, word: str) -> list[int]:
        # A word such as "</s>" is one entry of the vocabulary and would be read as the special
        # token. Spelt letter by letter it cannot be.
        ids: list[int] = []
        for position, letter in enumerate(self._encode(list(word))):
            ids += [i for i in letter if not (position and i in self._space)]
        return [self.unk if i in self._special else i for i in ids]


def _sentinels(vocabulary: dict[str, int]) -> list[int]:
    def numbered(prefix: str) -> Iterable[int]:
        number = 0
        while (found := vocabulary.get(f"{prefix}<extra_id_{number}>")) is not None:
            yield found
            number += 1

    # mT5's vocabulary writes them with the word mark in front.
    return list(numbered("")) or list(numbered("▁"))
