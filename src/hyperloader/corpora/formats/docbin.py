"""spaCy's binary ``.spacy`` files (DocBin): tokens with entities, or with spans under a key.

Needs spaCy. Where no document has an entity and all spans lie under one key, that key is read;
the reading option ``spans_key`` names another. White-space tokens are no words.
"""

from collections.abc import Sequence
from typing import Any

from hyperloader.corpora.formats.format import Files, Format, Guess, surface
from hyperloader.corpora.reading.sentences import Mark, marked_sentence, token_places
from hyperloader.corpora.reading.source import Source
from hyperloader.errors import DataError
from hyperloader.types import Example


def _sniff(source: Source) -> Guess | None:
    return Guess(1.0, "the extension .spacy says so") if source.suffix == ".spacy" else None


def _spacy() -> Any:
    try:
        import spacy
        import spacy.tokens
        import spacy.vocab
    except ImportError as error:
        raise DataError("spaCy's files need spaCy: pip install 'hyperloader[spacy]'") from error
    return spacy


def _read(source: Source) -> Sequence[Example]:
    spacy = _spacy()
    try:
        docs = [*spacy.tokens.DocBin().from_bytes(source.data).get_docs(spacy.vocab.Vocab())]
    except Exception as error:  # zlib, msgpack or numpy, depending on what is broken
        raise source.error(
            "not a DocBin that spaCy can read; save it again with DocBin.to_disk"
        ) from error
    key = source.options.spans_key
    if key is None and not any(doc.ents for doc in docs):
        keys = {name for doc in docs for name, group in doc.spans.items() if len(group)}
        if len(keys) > 1:
            known = ", ".join(sorted(keys))
            raise source.error(f"spans under several keys; choose with spans_key (keys: {known})")
        key = next(iter(keys), None)
    if key is not None:
        source.notes.say(f"the spans under the key {key!r} are read, not the entities")
    examples = []
    for number, doc in enumerate(docs, start=1):
        spans = doc.ents if key is None else doc.spans.get(key, ())
        marks = [Mark(span.start_char, span.end_char, span.label_) for span in spans]
        tokens = [(token.idx, token.idx + len(token)) for token in doc]
        try:
            places = token_places(doc.text, tokens)
            found = marked_sentence(source, number, doc.text, marks, offsets=places)
        except ValueError as error:
            raise source.error(error, number) from error
        if found is not None:
            examples.append(found)
    return examples


def _write(examples: Sequence[Example]) -> Files:
    spacy = _spacy()
    vocab = spacy.vocab.Vocab()
    stored = spacy.tokens.DocBin(attrs=["ORTH", "SPACY", "ENT_IOB", "ENT_TYPE"])
    for example in examples:
        words, spaces, places = _tokens(example)
        doc = spacy.tokens.Doc(vocab, words=words, spaces=spaces)
        doc.set_ents(
            [
                spacy.tokens.Span(doc, places[s.word_start], places[s.word_end - 1] + 1, s.label)
                for s in example.spans
            ]
        )
        stored.add(doc)
    return {".spacy": stored.to_bytes()}


def _tokens(example: Example) -> tuple[list[str], list[bool], list[int]]:
    """Tokens that give the text again, whether a space follows each, and the tokens of the words.

    One space belongs to the token before it; other white space is a token of its own.
    """
    text, offsets = surface(example)
    words: list[str] = []
    spaces: list[bool] = []
    places: list[int] = []

    def fill(gap: str) -> None:
        if gap.startswith(" ") and words:
            spaces[-1] = True
            gap = gap[1:]
        if gap:
            words.append(gap)
            spaces.append(False)

    end = 0
    for word, (start, after) in zip(example.words, offsets, strict=True):
        fill(text[end:start])
        places.append(len(words))
        words.append(word)
        spaces.append(False)
        end = after
    fill(text[end:])
    return words, spaces, places


FORMAT = Format(
    name="docbin",
    description="spaCy's .spacy files (needs spaCy): entities, or spans under a key",
    extensions=(".spacy",),
    example="(binary: documents with doc.ents or doc.spans)",
    sniff=_sniff,
    read=_read,
    write=_write,
    holds=frozenset({"words", "text"}),
)
