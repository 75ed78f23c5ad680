"""The published numbers: tables 3 and 4 of the paper, micro F1 on the test parts."""

from collections.abc import Sequence
from statistics import fmean

# Our name for each column; the paper's HyperFormer is what its code calls HyperFormer++.
COLUMNS = {
    "unipelt-bert": "UniPELT BERT",
    "unipelt-t5": "UniPELT T5",
    "hyperformer++": "HyperFormer",
    "hyperloader": "HyperLoader",
    "hyperdecoder": "Hyperdecoder",
}
# Trained and all parameters in millions, as the heads of both tables round them; UniPELT's are
# those of the model of one corpus.
_MILLIONS = {
    "unipelt-bert": (1.8, 110.0),
    "unipelt-t5": (4.5, 220.0),
    "hyperformer++": (5.0, 228.0),
    "hyperloader": (6.0, 229.0),
    "hyperdecoder": (16.0, 239.0),
}
_ROWS: dict[float, dict[str, tuple[float, ...]]] = {
    1.0: {
        "movie_trivia": (0.6873, 0.7210, 0.7295, 0.7140, 0.7072),
        "movie": (0.8500, 0.8839, 0.8788, 0.8745, 0.8700),
        "restaurant": (0.7689, 0.8039, 0.8136, 0.7965, 0.7891),
        "atis": (0.9446, 0.9611, 0.9595, 0.9599, 0.9519),
        "snips": (0.9238, 0.9478, 0.9462, 0.9592, 0.9377),
        "mtop": (0.8432, 0.8374, 0.8638, 0.8983, 0.8752),
        "mtod": (0.9580, 0.9627, 0.9648, 0.9652, 0.9649),
    },
    0.1: {
        "movie_trivia": (0.5152, 0.6717, 0.6589, 0.6695, 0.6597),
        "movie": (0.7809, 0.8244, 0.8311, 0.8368, 0.8202),
        "restaurant": (0.5907, 0.7049, 0.7389, 0.7499, 0.7216),
        "atis": (0.5901, 0.8919, 0.9162, 0.9172, 0.9193),
        "snips": (0.7398, 0.8991, 0.8943, 0.8970, 0.8727),
        "mtop": (0.6048, 0.7467, 0.7976, 0.8114, 0.7760),
        "mtod": (0.9351, 0.9436, 0.9467, 0.9500, 0.9436),
    },
    0.2: {
        "movie_trivia": (0.6105, 0.7036, 0.6729, 0.6863, 0.6767),
        "movie": (0.8047, 0.8444, 0.8407, 0.8546, 0.8377),
        "restaurant": (0.7114, 0.7562, 0.7517, 0.7601, 0.7401),
        "atis": (0.8048, 0.9281, 0.9382, 0.9401, 0.9311),
        "snips": (0.8474, 0.9235, 0.9252, 0.9238, 0.9044),
        "mtop": (0.7052, 0.7863, 0.8399, 0.8474, 0.8140),
        "mtod": (0.9433, 0.9522, 0.9543, 0.9541, 0.9529),
    },
}
CORPORA = tuple(_ROWS[1.0])
FRACTIONS = tuple(_ROWS)


def paper_f1(system: str, fraction: float, task: str) -> float:
    """The published F1 of one cell. Raises KeyError for what the paper does not report."""
    return _ROWS[fraction][task][list(COLUMNS).index(system)]


def paper_average(system: str, fraction: float, tasks: Sequence[str]) -> float:
    """The published F1 averaged over some of the paper's corpora."""
    return fmean(paper_f1(system, fraction, task) for task in tasks)


def paper_percent(system: str) -> float:
    """The trained share of a model's parameters in percent, from the paper's rounded counts."""
    trained, total = _MILLIONS[system]
    return 100 * trained / total
