"""Who runs against the decoder: ``generate``, the floor and, for scale, spaCy's NER.

All of them are given the same batch with the decoder's answers as its targets. ``generate`` runs
on the same weights and makes as many tokens as the longest answer has, freely and, where asked
for, under the grammar as a prefix constraint. The floor is one teacher-forced pass over the
answers, without and with the product with the whole vocabulary.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from torch import Tensor

from hyperloader.benchmarks.models import MeasuredModel, PlantedScorer
from hyperloader.benchmarks.timing import Contender
from hyperloader.codec.batch import Batch, collate, encode_example, encode_words
from hyperloader.codec.windows import EncodedWindow
from hyperloader.outputs.decoded import DecodedWindow
from hyperloader.outputs.sentt.decoding.constraint import prefix_constraint
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder, Work
from hyperloader.outputs.sentt.decoding.search import TagScorer
from hyperloader.types import Example

DECODER, WARM, GENERATE = "decoder", "decoder warm", "generate"
CONSTRAINED, PASS, WHOLE_PASS = "constrained generate", "pass", "pass with vocabulary"
SPACY = "spaCy NER"
CONSTRAINED_UP_TO = 8
AT_ONCE = 32


class Sentence(NamedTuple):
    """A window and its words."""

    window: EncodedWindow
    words: tuple[str, ...]


class Trial:
    """A subject with its decoders, ready to be measured on batches of its sentences."""

    def __init__(self, subject: MeasuredModel) -> None:
        self.subject, self.model, self.codec = subject, subject.model.eval(), subject.codec
        self.cold = SentTDecoder(self.model, self.codec, learn=False)
        self.sentences = self._sentences(subject.sentences)

    @cached_property
    def warm(self) -> SentTDecoder:
        """A decoder that has read the subject's earlier sentences."""
        warm = SentTDecoder(self.model, self.codec)
        earlier = [sentence.window for sentence in self._sentences(self.subject.earlier)]
        for start in range(0, len(earlier), AT_ONCE):
            self.decoded(earlier[start : start + AT_ONCE], warm)
        return warm

    def decoded(
        self, windows: Sequence[EncodedWindow], decoder: SentTDecoder | None = None
    ) -> list[DecodedWindow]:
        """What the (cold) decoder finds in ``windows``, as one batch."""
        decoder = self._planted(decoder or self.cold, windows)
        return decoder.decode_batch(collate(windows, self.codec.pieces.pad))

    def middle(self, size: int) -> list[Sentence]:
        """``size`` sentences around the median length, repeated where there are fewer."""
        ordered = sorted(self.sentences, key=lambda sentence: sentence.window.words)
        start = max(0, (len(ordered) - size) // 2)
        return [ordered[(start + i) % len(ordered)] for i in range(size)]

    def answered(self, sentences: Sequence[Sentence]) -> list[Sentence]:
        """``sentences`` with the decoder's answers as their targets."""
        found = self.decoded([sentence.window for sentence in sentences])
        return [
            Sentence(self._with_answer(sentence.window, answer), sentence.words)
            for sentence, answer in zip(sentences, found, strict=True)
        ]

    def _with_answer(self, window: EncodedWindow, found: DecodedWindow) -> EncodedWindow:
        target = self.codec.encode_target(found.spans, window.words, window.task)
        return replace(window, target=target)

    def decoding(
        self, windows: Sequence[EncodedWindow], decoder: SentTDecoder | None = None
    ) -> Contender:
        """The (cold) decoder on ``windows`` as one batch, which it sees for the first time."""
        batch, ready = collate(windows, self.codec.pieces.pad), [self._fresh(windows, decoder)]

        def prepare() -> None:
            ready[0] = self._fresh(windows, decoder)

        return Contender(lambda: ready[0].decode_batch(batch), prepare)

    def work(self, windows: Sequence[EncodedWindow], decoder: SentTDecoder | None = None) -> Work:
        """Passes and fed tokens of :meth:`decoding`."""
        fresh = self._fresh(windows, decoder)
        fresh.decode_batch(collate(windows, self.codec.pieces.pad))
        return fresh.work

    def _fresh(
        self, windows: Sequence[EncodedWindow], decoder: SentTDecoder | None
    ) -> SentTDecoder:
        """A decoder with what ``decoder`` remembers; what it learns is lost."""
        fresh = copy.copy(decoder or self.cold)
        fresh.memory, fresh.work = copy.deepcopy(fresh.memory), Work()
        return self._planted(fresh, windows)

    def _planted(self, decoder: SentTDecoder, windows: Sequence[EncodedWindow]) -> SentTDecoder:
        """``decoder`` with planted scores for ``windows``, where the subject has them."""
        if not self.subject.planted:
            return decoder
        planted = copy.copy(decoder)
        own = TagScorer(self.model, decoder.paths, self.codec.pieces.sentinels)
        planted.scorer = PlantedScorer(own, decoder.paths, self.codec, windows)
        return planted

    def _sentences(self, examples: Sequence[Example]) -> list[Sentence]:
        """All windows; with their gold targets where these are planted."""
        task = self.subject.tasks[0]
        found = []
        for e in examples:
            if self.subject.planted:
                windows = encode_example(self.codec, Example(e.words, e.spans, task))
            else:
                windows = encode_words(self.codec, e.words, task)
            found += [Sentence(w, e.words[w.window.start : w.window.end]) for w in windows]
        return found


def generating(
    trial: Trial, windows: Sequence[EncodedWindow], *, constrained: bool = False
) -> Contender:
    """``generate`` on ``windows``, which have targets."""
    model, batch = trial.model, _on_device(trial, windows)
    ids, longest = model.task_ids(batch.tasks), max(len(window.target) for window in windows)
    allow = prefix_constraint(trial.codec, windows) if constrained else None

    def run() -> Tensor:
        return model.generate(
            batch.input_ids,
            task=ids,
            attention_mask=batch.attention_mask,
            max_new_tokens=longest,
            min_new_tokens=longest,
            do_sample=False,
            num_beams=1,
            use_cache=True,
            **({"prefix_allowed_tokens_fn": allow} if allow else {}),
        )

    return Contender(run)


def passing(
    trial: Trial, windows: Sequence[EncodedWindow], *, vocabulary: bool = False
) -> Contender:
    """One teacher-forced pass over the targets of ``windows``."""
    model, batch = trial.model, _on_device(trial, windows)
    ids = model.task_ids(batch.tasks)
    assert batch.labels is not None
    labels = batch.labels

    def run() -> Tensor:
        states = model.decoder_states(batch.input_ids, batch.attention_mask, labels, task_ids=ids)
        return model.backbone.lm_head(states) if vocabulary else states

    return Contender(run)


def spacy_ner(trial: Trial, sentences: Sequence[Sentence]) -> Contender:
    """An untrained spaCy NER with the task's labels on the same words, on the CPU.

    What it finds is nothing; how long it takes does not depend on that.
    """
    spacy = import_module("spacy")
    nlp = spacy.blank("en")
    ner = nlp.add_pipe("ner")
    for label in trial.codec.labels[trial.subject.tasks[0]]:
        ner.add_label(label)

    def documents() -> list[Any]:
        return [spacy.tokens.Doc(nlp.vocab, words=list(sentence.words)) for sentence in sentences]

    nlp.initialize(lambda: [spacy.training.Example(doc, doc.copy()) for doc in documents()])
    waiting: list[Any] = []

    def prepare() -> None:
        waiting[:] = documents()

    return Contender(lambda: list(nlp.pipe(waiting)), prepare)


def has_spacy() -> bool:
    """Whether spaCy can be imported."""
    return find_spec("spacy") is not None


def _on_device(trial: Trial, windows: Sequence[EncodedWindow]) -> Batch:
    return collate(windows, trial.codec.pieces.pad).to(trial.model.device)
