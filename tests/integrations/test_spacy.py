"""The spaCy component in spaCy: tokens, entities, spans, saving, other pipes, colours."""

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy import displacy
from spacy.tokens import DocBin, Span
from spacy.training import Example

from folders import ROOT
from hyperloader.builtin import examples
from hyperloader.errors import HyperloaderError
from hyperloader.integrations.spacy import TaggingPipe, displacy_colours
from hyperloader.tagger import Tagger

TEXT = "any good thai place near the harbour open after ten"
ONE = {"tagger": "builtin-t5", "task": "restaurant"}


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger.from_pretrained("builtin-t5")


@pytest.fixture(autouse=True)
def load_once(tagger: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled tagger is read once; others as ever."""
    load = Tagger.from_pretrained

    def once(path: Any, *given: Any, **options: Any) -> Tagger:
        return tagger if path == "builtin-t5" else load(path, *given, **options)

    monkeypatch.setattr(Tagger, "from_pretrained", once)


def pipeline(**config: Any) -> spacy.Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("hyperloader", config={**ONE, **config})
    return nlp


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, tagger: Tagger) -> Path:
    """A tagger that only a path brings back."""
    folder = tmp_path_factory.mktemp("spacy") / "mine"
    tagger.save_pretrained(folder)
    return folder


def test_its_entry_points_lead_to_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for group, found in (
        ("spacy_factories", TaggingPipe),
        ("spacy_displacy_colors", displacy_colours),
    ):
        module, _, name = project["entry-points"][group]["hyperloader"].partition(":")
        assert getattr(import_module(module), name) is found


def test_spacys_tokens_are_the_words(tagger: Tagger) -> None:
    text = "Don't  take me\n to a cheap thai place, near the harbour!"
    doc = pipeline()(text)
    words = [token.text for token in doc if not token.is_space]
    assert "n't" in words  # which our own rule for this tagger would leave at its word
    expected = tagger.tag_words(words, "restaurant").spans
    assert expected
    found = [(span.text.split()[0], span.label_) for span in doc.spans["hyperloader"]]
    assert found == [(words[s.word_start], s.label) for s in expected]
    assert list(doc.ents) == list(doc.spans["hyperloader"])
    scores = [span.score for span in expected]
    assert doc.spans["hyperloader"].attrs["scores"].tolist() == pytest.approx(scores)
    assert [ent._.hyperloader_score for ent in doc.ents] == pytest.approx(scores)
    for ent in doc.ents:
        assert text[ent.start_char : ent.end_char] == ent.text
        assert not ent[0].is_space
        assert not ent[-1].is_space


def test_marks_are_cut_off_as_they_are_of_raw_text(tagger: Tagger) -> None:
    nlp = pipeline()
    for text in (f"{TEXT}.", "is there a cheap place, please?", "pizza!", "a table at noon ..."):
        ours = {(span.start, span.end) for span in tagger.tag(text, "restaurant").spans}
        theirs = {(ent.start_char, ent.end_char) for ent in nlp(text).ents}
        assert theirs == ours


def test_a_stream_is_tagged_in_batches_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    nlp, sizes = pipeline(), []
    tag_words = Tagger.tag_words

    def count(self: Tagger, sentences: Any, *given: Any, **options: Any) -> Any:
        sizes.append(len(sentences))
        return tag_words(self, sentences, *given, **options)

    monkeypatch.setattr(Tagger, "tag_words", count)
    texts = [TEXT, "", "   ", "cheap pizza", TEXT.upper()]
    docs = list(nlp.pipe(((text, i) for i, text in enumerate(texts)), as_tuples=True, batch_size=2))
    assert sizes == [2, 2, 1]
    assert [i for _, i in docs] == list(range(5))
    for (doc, _), text in zip(docs, texts, strict=True):
        assert [e.label_ for e in doc.ents] == [e.label_ for e in nlp(text).ents]
    assert not docs[1][0].ents
    assert docs[0][0].ents


@pytest.mark.parametrize("overwrite", [False, True])
def test_entities_that_are_there(overwrite: bool) -> None:
    nlp = pipeline(overwrite_ents=overwrite)
    ruler = nlp.add_pipe("entity_ruler", before="hyperloader")
    ruler.add_patterns(
        [{"label": "FOOD", "pattern": "thai place"}, {"label": "X", "pattern": "any"}]
    )
    doc = nlp(TEXT)
    labels = {ent.text: ent.label_ for ent in doc.ents}
    assert labels["any"] == "X"
    assert ("thai place" in labels) != overwrite
    assert ("thai" in labels) == overwrite
    assert labels["open after ten"] == "Hours"
    assert "thai" in [span.text for span in doc.spans["hyperloader"]]


def test_several_tasks_in_one_pipeline() -> None:
    nlp = pipeline(spans_key="restaurant")
    nlp.add_pipe(
        "hyperloader", "films", config={**ONE, "task": "movie", "ents": False, "spans_key": "movie"}
    )
    nlp.add_pipe("sentencizer", first=True)
    doc = nlp(f"{TEXT}. {examples()['movie']}")
    assert len(list(doc.sents)) == 2
    assert set(doc.spans) == {"restaurant", "movie"}
    assert {e.label_ for e in doc.ents} <= set(nlp.pipe_labels["hyperloader"])
    assert {s.label_ for s in doc.spans["movie"]} <= set(nlp.pipe_labels["films"])
    assert not nlp.analyze_pipes()["problems"]["films"]


def test_low_scores_are_left_out() -> None:
    scores = [e._.hyperloader_score for e in pipeline()(TEXT).ents]
    border = sorted(scores)[1]
    kept = [e._.hyperloader_score for e in pipeline(min_score=border)(TEXT).ents]
    assert kept == [s for s in scores if s >= border]
    assert len(kept) < len(scores)


def test_it_is_saved_by_name(tmp_path: Path) -> None:
    nlp = pipeline(min_score=0.1, spans_key="k")
    nlp.to_disk(tmp_path / "nlp")
    assert [p.name for p in (tmp_path / "nlp" / "hyperloader").iterdir()] == ["settings.json"]
    again = spacy.load(tmp_path / "nlp")
    assert again(TEXT).to_json() == nlp(TEXT).to_json()
    assert again.config["components"]["hyperloader"]["task"] == "restaurant"


def test_it_is_saved_whole_where_there_is_no_name(own: Path, tmp_path: Path) -> None:
    nlp = pipeline(tagger=str(own))
    nlp.add_pipe("sentencizer")
    expected = nlp(TEXT).to_json()
    nlp.to_disk(tmp_path / "nlp")
    as_bytes = nlp.to_bytes()
    aside = own.rename(own.with_name("aside"))  # as on another machine
    try:
        for again in (
            spacy.load(tmp_path / "nlp"),
            spacy.blank("en").from_config(nlp.config).from_bytes(as_bytes),
        ):
            assert again(TEXT).to_json() == expected
            again.to_disk(tmp_path / "again")
            assert spacy.load(tmp_path / "again")(TEXT).to_json() == expected
            again.to_disk(tmp_path / "again")  # onto itself
        spacy.load(tmp_path / "again").to_disk(tmp_path / "again")
        assert spacy.load(tmp_path / "again")(TEXT).to_json() == expected
        with pytest.raises(HyperloaderError, match=r"mine does not exist"):
            nlp.from_config(nlp.config)(TEXT)
    finally:
        aside.rename(own)


def test_documents_keep_scores_when_they_are_stored() -> None:
    nlp = pipeline()
    doc = nlp(TEXT)
    stored = DocBin(store_user_data=True, docs=[doc]).to_bytes()
    (again,) = DocBin().from_bytes(stored).get_docs(nlp.vocab)
    assert again.spans["hyperloader"].attrs["scores"].tolist() == [
        e._.hyperloader_score for e in doc.ents
    ]
    assert [e._.hyperloader_score for e in again.ents] == [e._.hyperloader_score for e in doc.ents]


def test_spacy_scores_it() -> None:
    nlp = pipeline()
    doc = nlp.make_doc(TEXT)
    doc.ents = [Span(e.doc, e.start, e.end, e.label_) for e in nlp(TEXT).ents][:2]
    scores = nlp.evaluate([Example(nlp.make_doc(TEXT), doc)])
    assert scores["ents_r"] == 1.0
    assert 0 < scores["ents_p"] < 1


def test_mistakes_are_one_line_or_go_to_the_error_handler() -> None:
    with pytest.raises(HyperloaderError, match=r"unknown task 'restaurent'; did you mean"):
        pipeline(task="restaurent")(TEXT)
    with pytest.raises(HyperloaderError, match="give a task"):
        pipeline(task=None)(TEXT)
    with pytest.raises(HyperloaderError, match="nothing is written"):
        pipeline(ents=False, spans_key=None)
    with pytest.raises(HyperloaderError, match="a score lies in"):
        pipeline(min_score=7)(TEXT)
    nlp, failed = pipeline(task="nothing"), []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.append((name, len(docs))))
    assert list(nlp.pipe([TEXT, TEXT])) == []
    assert failed == [("hyperloader", 2)]


def test_displacy_has_its_colours() -> None:
    doc = pipeline()(TEXT)
    colours = displacy_colours()
    assert {"Cuisine", "Hours", "artist", "TITLE"} <= set(colours)
    page = displacy.render(doc, style="ent", options={"colors": displacy_colours(["Cuisine"])})
    assert f"background: {colours['Cuisine']}" in page
