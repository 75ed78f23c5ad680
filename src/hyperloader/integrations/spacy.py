"""A spaCy component: ``nlp.add_pipe("hyperloader", config={"task": "snips"})``.

It tags spaCy's own tokens (white-space tokens are no words), and cuts sentence marks off the ends
of spans as :meth:`~hyperloader.tagger.Tagger.tag` does. docs/integrations/spacy.md.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import srsly
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc, Span, Token
from spacy.util import minibatch

from hyperloader.builtin import BUILTIN, TAGGERS, is_bundled, run_path
from hyperloader.checkpoint import CODEC, checkpoint_folder
from hyperloader.colours import colour_of
from hyperloader.errors import CheckpointError, ConfigError
from hyperloader.hub import is_repository
from hyperloader.onnx_checkpoint import is_onnx
from hyperloader.store import read_json
from hyperloader.tagger import Tagger
from hyperloader.tagging import trimmed
from hyperloader.types import TaggedText

SPANS = "hyperloader"
# What a span's score is called: ``span._.hyperloader_score``.
SCORE = "hyperloader_score"
_SETTINGS, _TAGGER = "settings.json", "tagger"
_KEPT = ("task", "ents", "overwrite_ents", "spans_key", "min_score")
_DEFAULTS: dict[str, Any] = {
    "tagger": BUILTIN,
    "task": None,
    "ents": True,
    "overwrite_ents": False,
    "spans_key": SPANS,
    "min_score": 0.0,
    "device": None,
    "precision": "float32",
}

Span.set_extension(SCORE, default=None, force=True)


@Language.factory(
    "hyperloader",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config=_DEFAULTS,
    default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0, "ents_per_type": None},
)
class TaggingPipe(Pipe):
    """Tags documents for one task. The tagger is loaded when it is first needed.

    Args:
        tagger: as of :meth:`Tagger.from_pretrained`: a run, a folder, a name.
        task: may be omitted if the tagger has exactly one.
        ents: whether to write ``doc.ents``.
        overwrite_ents: whether entities that are there give way to spans that overlap them; else
            those spans are left out of ``doc.ents``.
        spans_key: where in ``doc.spans`` all spans go, with ``attrs["scores"]``; None: nowhere.
        min_score: spans with a lower score are left out.
        device, precision: as of :meth:`Tagger.from_pretrained`.
    """

    def __init__(
        self,
        nlp: Language,
        name: str,
        *,
        tagger: str,
        task: str | None,
        ents: bool,
        overwrite_ents: bool,
        spans_key: str | None,
        min_score: float,
        device: str | None,
        precision: str,
    ) -> None:
        if not ents and spans_key is None:
            raise ConfigError(
                "ents is false and there is no spans_key: nothing is written; set one"
            )
        self.name = name
        self.task, self.ents, self.overwrite_ents = task, ents, overwrite_ents
        self.spans_key, self.min_score = spans_key, min_score
        self._source, self._device, self._precision = tagger, device, precision
        self._tagger: Tagger | None = None
        self._kept: TemporaryDirectory[str] | None = None  # where bytes were unpacked

    @property
    def tagger(self) -> Tagger:
        """What tags. Raises HyperloaderError where it cannot be loaded or lacks the task."""
        if self._tagger is None:
            found = Tagger.from_pretrained(self._source, self._device, precision=self._precision)
            found.labels(self.task)
            self._tagger = found
        return self._tagger

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the task; none where the tagger is not to be had, since spaCy asks for them
        before it reads what a pipeline was saved with."""
        try:
            return self.tagger.labels(self.task)
        except CheckpointError:
            return ()

    @property
    def label_data(self) -> list[str]:
        """The same, as spaCy keeps them."""
        return list(self.labels)

    def __call__(self, doc: Doc) -> Doc:
        """Tag one document in place."""
        return next(iter(self.pipe((doc,), batch_size=1)), doc)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Tag documents in place, ``batch_size`` at a time, and give them in their order."""
        refuse: Callable[..., None] = self.get_error_handler()
        for docs in minibatch(stream, size=batch_size):
            try:
                self._annotate(docs)
            except Exception as error:
                refuse(self.name, self, docs, error)
            else:
                yield from docs

    def score(self, examples: Iterable[Any], **options: Any) -> dict[str, Any]:
        """Precision, recall and F1 of ``doc.ents``, for ``nlp.evaluate``."""
        return get_ner_prf(examples) if self.ents else {}

    def _annotate(self, docs: Sequence[Doc]) -> None:
        tokens = [[token for token in doc if not token.is_space] for doc in docs]
        words = [[token.text for token in row] for row in tokens]
        found = self.tagger.tag_words(words, self.task, min_score=self.min_score)
        for doc, row, tagged in zip(docs, tokens, found, strict=True):
            self._write(doc, row, tagged)

    def _write(self, doc: Doc, tokens: Sequence[Token], tagged: TaggedText) -> None:
        """Put the spans of ``tagged``, whose words are ``tokens``, into ``doc``."""
        spans, cut = [], self.tagger.cut_marks(self.task)
        for each in tagged.spans:
            start, end = trimmed(tagged.words, each.word_start, each.word_end, cut)
            span = Span(doc, tokens[start].i, tokens[end - 1].i + 1, label=each.label)
            span._.set(SCORE, each.score)
            spans.append(span)
        if self.spans_key is not None:
            doc.spans[self.spans_key] = spans
            doc.spans[self.spans_key].attrs["scores"] = np.array([s.score for s in tagged.spans])
        if self.ents:
            before = list(doc.ents)
            wanted = (spans, before) if self.overwrite_ents else (before, spans)
            doc.ents = _side_by_side(*wanted)

    # Saving: settings, and the tagger itself where no name brings it back.

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the component into the folder ``path``.

        A bundled tagger and one on the Hub are stored by their names, any other as a whole.
        """
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        srsly.write_json(folder / _SETTINGS, self._settings())
        target = folder / _TAGGER
        if self._is_named() or target == Path(self._source):
            return
        source = checkpoint_folder(Path(self._source))
        with TemporaryDirectory() as temporary:
            fresh = Path(temporary) / _TAGGER
            if is_onnx(source):
                shutil.copytree(source, fresh)
            else:
                Tagger.from_pretrained(source).save_pretrained(fresh)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(fresh, target)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "TaggingPipe":
        """Read what :meth:`to_disk` wrote."""
        folder = Path(path)
        self._set(srsly.read_json(folder / _SETTINGS))
        if (folder / _TAGGER).is_dir():
            self._source = str(folder / _TAGGER)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """As :meth:`to_disk`, in memory."""
        with TemporaryDirectory() as temporary:
            self.to_disk(temporary)
            files = {
                file.relative_to(temporary).as_posix(): file.read_bytes()
                for file in sorted(Path(temporary).rglob("*"))
                if file.is_file()
            }
        return bytes(srsly.msgpack_dumps(files))

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> "TaggingPipe":
        """Read what :meth:`to_bytes` gave."""
        kept = TemporaryDirectory(prefix="hyperloader-spacy-")
        for name, content in srsly.msgpack_loads(data).items():
            file = Path(kept.name) / name
            if Path(kept.name).resolve() not in file.resolve().parents:
                raise ConfigError(f"these bytes name {name!r}, which lies outside; do not use them")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        self.from_disk(kept.name)
        self._kept = kept
        return self

    def _is_named(self) -> bool:
        return is_bundled(self._source) or is_repository(self._source)

    def _settings(self) -> dict[str, Any]:
        about: dict[str, Any] = {name: getattr(self, name) for name in _KEPT}
        return about | {"tagger": self._source if self._is_named() else None}

    def _set(self, settings: dict[str, Any]) -> None:
        self._source = settings["tagger"] or self._source
        for name in _KEPT:
            setattr(self, name, settings[name])
        self._tagger = None


def _side_by_side(first: Sequence[Span], then: Sequence[Span]) -> list[Span]:
    """``first``, and those of ``then`` that overlap none of them."""
    taken = {i for span in first for i in range(span.start, span.end)}
    return [*first, *(s for s in then if taken.isdisjoint(range(s.start, s.end)))]


def displacy_colours(labels: Iterable[str] | None = None) -> dict[str, str]:
    """Colours for displaCy, as ``options={"colors": …}``; default: the bundled taggers' labels.

    spaCy finds it by the entry point ``spacy_displacy_colors``.
    """
    if labels is None:
        folders = [run_path(name) for name in TAGGERS]
        tasks = [task for f in folders for task in read_json(f / CODEC)["labels"].values()]
        labels = [label for task in tasks for label in task]
    return {label: colour_of(label) for label in labels}
