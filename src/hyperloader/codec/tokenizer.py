"""Training a small tokenizer of T5's kind on one's own sentences."""

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


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int, sentinels: int = 100, lowercase: bool = False
) -> PreTrainedTokenizerFast:
    """A unigram tokenizer with byte fallback (no character is lost) and T5's special tokens.

    Args:
        texts: the sentences to learn the pieces from; the order matters for ties only.
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
    learned = tokenizer.get_vocab()
    scores = _scores(tokenizer)
    floor = min(scores.values(), default=-10.0) - 10.0
    order = sorted(learned, key=learned.__getitem__)
    vocabulary = [(piece, scores.get(piece, 0.0)) for piece in order]
    vocabulary += [(piece, floor) for piece in byte_pieces if piece not in learned]
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


def _scores(tokenizer: Tokenizer) -> dict[str, float]:
    import json

    return {
        piece: score
        for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]
        if piece not in SPECIAL
    }
