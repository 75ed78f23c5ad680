"""How words are written, which a lower-casing tokenizer does not see: where their capitals are."""

from collections.abc import Sequence

# No capital letter (or none that says anything); the first word of a sentence, capitalised; another
# capitalised word; a single capital letter; capitals alone; any other mixture.
LOWER, FIRST, CAPITALISED, LETTER, CAPITALS, MIXED = SHAPES = range(6)


def word_shapes(words: Sequence[str], *, begins: bool = True) -> tuple[int, ...]:
    """The shape of each of ``words``.

    In a text of capitals alone they say nothing, so that its words count as lower-case.

    Args:
        begins: whether the first of ``words`` begins a sentence.

    Examples:
        >>> word_shapes(["Is", "NASA", "in", "Houston"])
        (1, 4, 0, 2)
        >>> word_shapes(["IS", "NASA", "IN", "HOUSTON"])
        (0, 0, 0, 0)
    """
    text = "".join(words)
    if text == text.lower() or text == text.upper():
        return (LOWER,) * len(words)
    shapes = [_shape(word) for word in words]
    if begins and shapes[0] == CAPITALISED:
        shapes[0] = FIRST
    return tuple(shapes)


def _shape(word: str) -> int:
    if word == word.lower():
        return LOWER
    if word == word.upper():
        return LETTER if sum(map(str.isalpha, word)) == 1 else CAPITALS
    return CAPITALISED if word == word.capitalize() else MIXED
