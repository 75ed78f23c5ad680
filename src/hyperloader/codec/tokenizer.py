"""Training a small tokenizer of T5's kind on one's own sentences."""

import json
from collections.abc import Iterable

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

SPECIAL = ("<pad>", "</s>", "<unk>")
DIGITS = 6
STEP = 1e-4


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int, sentinels: int = 100, lowercase: bool = False
) -> PreTrainedTokenizerFast:
    """A unigram tokenizer with byte fallback (no character is lost) and T5's special tokens.

    Args:
        texts: the sentences to learn the pieces from; the same ones give the same vocabulary.
        vocab_size: pieces at most, bytes and special tokens included, sentinels not.
        sentinels: how many ``<extra_id_i>`` there are; a window holds one word less.
        lowercase: read capital letters as small ones; nothing else of a text is lost then.
    """
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), *([normalizers.Lowercase()] if lowercase else [])]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    byte_pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.UnigramTrainer(
        vocab_size=max(vocab_size - len(byte_pieces), 64),
        special_tokens=list(SPECIAL),
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    learned = _learned(tokenizer)
    floor = min((score for _, score in learned), default=-10.0) - 10.0
    known = {piece for piece, _ in learned}
    vocabulary = [(piece, 0.0) for piece in SPECIAL] + learned
    vocabulary += [(piece, floor) for piece in byte_pieces if piece not in known]
    tokenizer.model = models.Unigram(vocabulary, unk_id=SPECIAL.index("<unk>"), byte_fallback=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", SPECIAL.index("</s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=[f"<extra_id_{i}>" for i in range(sentinels)],
    )


def _learned(tokenizer: Tokenizer) -> list[tuple[str, float]]:
    """The learned pieces and their scores, the likeliest first, the same in every process.

    The trainer goes through its tables in a random order. That changes the last digits of scores,
    the order of equals, and which of the letters too rare to be learned is scored how: they are
    put above the lowest score in steps of ``STEP`` as they come. Here they all have the lowest.
    """
    found = json.loads(tokenizer.to_str())["model"]["vocab"]
    scores = {piece: round(score, DIGITS) for piece, score in found if piece not in SPECIAL}
    lowest = min(scores.values(), default=0.0)
    rare = lowest + STEP * sum(len(piece) == 1 for piece in scores)
    for piece, score in scores.items():
        if len(piece) == 1 and score <= rare:
            scores[piece] = lowest
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
