"""The sentinels of T5's vocabularies."""

from collections.abc import Iterable


def sentinel_ids(vocabulary: dict[str, int]) -> list[int]:
    """The ids of <extra_id_0>, <extra_id_1>, … in a vocabulary of the T5 family."""

    def numbered(prefix: str) -> Iterable[int]:
        number = 0
        while (found := vocabulary.get(f"{prefix}<extra_id_{number}>")) is not None:
            yield found
            number += 1

    # mT5's vocabulary writes them with the word mark in front.
    return list(numbered("")) or list(numbered("▁"))
