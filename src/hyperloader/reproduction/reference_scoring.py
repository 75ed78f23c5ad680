"""F1 as the published HyperLoader code computes it, so that numbers can be compared.

Its scorer sees decoded text: one simplified-BIO string a sentence, sentinels dropped, tags
separated by whitespace. Tags are aligned by their order alone, so one that is left out shifts all
that follow. `hyperloader.evaluation.metrics` is the score to report; this one repeats the other's
conventions, and is checked against numbers from the published code.
"""

from collections.abc import Sequence

from seqeval.metrics import f1_score

from hyperloader.errors import DataError
from hyperloader.tags import INSIDE, OUTSIDE


def sbio_to_bio(text: str) -> list[str]:
    """BIO tags of whitespace-separated simplified-BIO tags; an ``I`` without a span is ``O``."""
    tags: list[str] = []
    inside = OUTSIDE
    for tag in text.split():
        if tag == INSIDE:
            tags.append(inside)
        else:
            tags.append(OUTSIDE if tag == OUTSIDE else f"B-{tag}")
            inside = OUTSIDE if tag == OUTSIDE else f"I-{tag}"
    return tags


def reference_f1(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """Micro F1 (seqeval, default mode) of simplified-BIO strings, one a sentence.

    Each prediction is cut, or padded with ``O``, to the number of its sentence's gold tags.
    The published code also cuts gold at 128 sub-tokens; a caller who wants that passes cut gold.
    Without any span on either side the result is 0.0.

    Raises DataError when the numbers of sentences differ or are zero.
    """
    if len(gold) != len(predicted) or not gold:
        raise DataError(
            f"{len(gold)} gold and {len(predicted)} predicted sentences; "
            "give one prediction for every gold sentence, and at least one"
        )
    truth = [sbio_to_bio(text) for text in gold]
    guess = [_fit(sbio_to_bio(text), len(t)) for text, t in zip(predicted, truth, strict=True)]
    return float(f1_score(truth, guess, zero_division=0))


def _fit(tags: list[str], length: int) -> list[str]:
    return tags[:length] + [OUTSIDE] * (length - len(tags))
