"""The tokenizer of a pre-training run: learnt from a sample of the weighted text, or given."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from transformers import PreTrainedTokenizerBase

from hyperloader import trust
from hyperloader.codec.pieces import WordPieces
from hyperloader.codec.tokenizer import train_tokenizer
from hyperloader.errors import ConfigError, first_line
from hyperloader.pretraining.recipe import TokenizerSection
from hyperloader.pretraining.text import TextFile, is_held_out, read_lines
from hyperloader.tags import INSIDE, OUTSIDE


def make_tokenizer(
    sources: Sequence[TextFile],
    weights: Mapping[str, float],
    section: TokenizerSection,
    held_out: int,
) -> PreTrainedTokenizerBase:
    """The tokenizer that ``section`` asks for.

    A learnt one is a unigram model with byte fallback. Label texts make up ``label_share`` of
    what it is learnt from, so that their words become single pieces.
    """
    if section.folder is not None:
        return load_tokenizer(section.folder)

    def texts() -> Iterator[str]:
        characters = 0
        for line in sample(sources, weights, section.sample_characters, held_out):
            characters += len(line)
            yield line
        labels = [OUTSIDE, INSIDE, *section.labels]
        wanted = characters * section.label_share / (1 - section.label_share)
        for _ in range(max(1, round(wanted / sum(len(label) for label in labels)))):
            yield from labels
        # The trainer considers only pieces that are part of two different words, however often
        # one of them occurs.
        yield from (f"{word}{mark}" for label in labels for word in label.split() for mark in ".,")

    return train_tokenizer(
        texts(),
        vocab_size=section.vocab_size,
        sentinels=section.sentinels,
        lowercase=section.lowercase,
    )


def sample(
    sources: Sequence[TextFile], weights: Mapping[str, float], characters: int, held_out: int
) -> Iterator[str]:
    """About ``characters`` of the weighted text, spread over each file; no held-out line.

    Which lines they are is a property of the lines. A file whose share is larger than itself
    comes several times. A text smaller than ``characters`` is not made larger than its weights.
    """
    total = sum(source.characters * weights[source.name] for source in sources)
    share = min(1.0, characters / total)
    for source in sources:
        whole, part = divmod(share * weights[source.name], 1)
        if not whole and not part:
            continue
        for _, line in read_lines(source.path):
            if is_held_out(line, held_out):
                continue
            digest = hashlib.blake2b(line.encode(), digest_size=4).digest()
            drawn = int.from_bytes(digest) / 2**32
            for _ in range(int(whole) + (drawn < part)):
                yield line


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder. Raises ConfigError when it is none of T5's kind."""
    try:
        tokenizer = trust.load_tokenizer(name)
    except (OSError, ValueError, KeyError) as error:
        reason = first_line(error)
        raise ConfigError(
            f"the tokenizer {name!r} cannot be loaded ({reason}); give a folder made by "
            "save_pretrained"
        ) from error
    WordPieces(tokenizer)
    return tokenizer
