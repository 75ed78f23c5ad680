"""Tagging the sentences of corpora and scoring them."""

from collections.abc import Callable, Mapping, Sequence

from hyperloader.codec.batch import encode_words
from hyperloader.codec.codec import Codec
from hyperloader.corpora.corpus import Corpus
from hyperloader.evaluation.metrics import ScoredExample, score_examples
from hyperloader.modeling.attached import AttachedModel
from hyperloader.outputs.decoded import tag_words
from hyperloader.outputs.registry import output_of
from hyperloader.types import Example

CHUNK = 256


def predict(
    model: AttachedModel,
    codec: Codec,
    examples: Sequence[Example],
    *,
    batch_size: int = 64,
    temperatures: Mapping[str, float] | None = None,
    advance: Callable[[int], None] = lambda sentences: None,
) -> list[ScoredExample]:
    """Tag ``examples``; ``advance`` is told how many sentences are done after every chunk.

    ``temperatures`` of the tasks change spans' scores and nothing else.
    """
    decoder = output_of(model).decoder(model, codec, temperatures)
    # Longest first, so that the sentences of a chunk are alike and padding is small.
    order = sorted(range(len(examples)), key=lambda i: -len(examples[i].words))
    scored: dict[int, ScoredExample] = {}
    for start in range(0, len(order), CHUNK):
        chunk = order[start : start + CHUNK]
        encoded = [encode_words(codec, examples[i].words, examples[i].task) for i in chunk]
        for i, spans in zip(chunk, tag_words(decoder, encoded, batch_size), strict=True):
            scored[i] = ScoredExample(examples[i], tuple(spans))
        advance(len(chunk))
    return [scored[i] for i in range(len(examples))]


def evenly(examples: Sequence[Example], count: int) -> tuple[Example, ...]:
    """At most ``count`` of ``examples``, taken evenly over all of them."""
    if count >= len(examples):
        return tuple(examples)
    return tuple(examples[i * len(examples) // count] for i in range(count))


def f1_evaluator(
    codec: Codec, corpora: Mapping[str, Corpus], *, sentences: int | None = None
) -> Callable[[AttachedModel], dict[str, float]]:
    """A function from a model to its micro F1 (seqeval, default mode) on validation sentences.

    Args:
        sentences: of each task at most; they are taken evenly over the part.
    """
    chosen: dict[str, Sequence[Example]] = {}
    for name, corpus in corpora.items():
        examples = corpus.splits["validation"]
        if sentences is not None:
            examples = evenly(examples, sentences)
        if examples:
            chosen[name] = examples

    def evaluate(model: AttachedModel) -> dict[str, float]:
        return {
            name: score_examples(name, predict(model, codec, examples)).default.f1
            for name, examples in chosen.items()
        }

    return evaluate
