"""Learning curves and training sizes of a folder of results."""

import math
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folders import ROOT
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.registry import load_corpus
from hyperloader.corpora.splits import subsample
from hyperloader.experiments.analyse.curves import FLAT, Point, learning
from hyperloader.experiments.analyse.results import Results, Summary
from hyperloader.experiments.plan.spec import System
from hyperloader.experiments.report import figures
from hyperloader.experiments.run.folder import Design, Metadata, ResultsFolder
from hyperloader.reproduction import paper
from hyperloader.types import Example


def points(*curve: tuple[float, float]) -> list[Point]:
    return [Point(step, step, Summary(f1, None, 1)) for step, f1 in curve]


def results(**sentences: int) -> Results:
    """A folder of results in which nothing is finished."""
    grid = Design(systems={"hyperloader": System()}, fractions=(0.1, 1.0), seeds=(1,))
    kept = Metadata(
        data="data",
        corpora=dict.fromkeys(("atis", "snips"), "0"),
        recipe="builtin",
        budget="full",
        base={},
        backbone=None,
        training_sentences=sentences,
        experiments={"mine": grid},
    )
    missing = {("hyperloader", fraction, 1, ""): None for fraction in (0.1, 1.0)}
    return Results(ResultsFolder(Path("none")), kept, missing)


def test_what_a_curve_did_last() -> None:
    # Between the validations at 200 and 300, F1 at 225 is read off the line.
    assert learning(points((100, 0.3), (200, 0.4), (300, 0.5))).startswith("still rising: +0.075")
    assert (
        learning(points((100, 0.5), (300, 0.5), (400, 0.5))) == "flat: +0.000 over the last quarter"
    )
    assert learning(points((100, 0.5), (300, 0.5), (400, 0.4))).startswith("falling: −0.100")
    for few in ([], points((100, 0.3)), points((90, 0.3), (100, 0.4))):
        assert learning(few) == "too few validations to tell"


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.integers(1, 1000))
def test_the_word_agrees_with_the_change(f1: list[float], every: int) -> None:
    said = learning(points(*((every * (i + 1), value) for i, value in enumerate(f1))))
    word, _, rest = said.partition(": ")
    change = float(rest.split()[0].replace("−", "-"))
    expected = {"still rising": change > 0, "falling": change < 0, "flat": abs(change) <= FLAT}
    assert expected[word]
    # The last quarter holds a quarter of the steps: the change is no larger than any two differ.
    assert abs(change) <= max(f1) - min(f1) + 5e-4


@given(st.integers(1, 3000), st.sampled_from([0.01, 0.1, 0.2, 0.29, 0.5, 1.0]))
def test_sizes_are_those_that_are_drawn(whole: int, fraction: float) -> None:
    example = Example(("a",), (), "atis")
    corpus = Corpus("atis", {"train": (example,) * whole, "validation": (), "test": ()})
    drawn = len(subsample(corpus, fraction).splits["train"])
    assert results(atis=whole).training_sentences("atis", fraction) == drawn


def test_sizes_of_a_real_corpus(shared: Path) -> None:
    atis = load_corpus(shared / "data" / "labelled" / "atis")
    kept = results(atis=len(atis.splits["train"]))
    assert [kept.training_sentences("atis", f) for f in (0.1, 1.0)] == [447, 4478]
    assert results().training_sentences("atis", 0.1) is None


def test_the_papers_shares_are_those_it_prints() -> None:
    # The heads of its tables: 110M/1.8M, 220M/4.5M, 228M/5M, 229M/6M, 239M/16M.
    shares = [round(paper.paper_percent(system), 2) for system in paper.COLUMNS]
    assert shares == [1.64, 2.05, 2.19, 2.62, 6.69]
    assert all(paper.paper_percent(system) < 100 for system in paper.COLUMNS)
    average = paper.paper_average("hyperloader", 1.0, paper.CORPORA)
    assert math.isclose(average, 0.8811, abs_tol=5e-5)


def test_panels_without_results_say_so(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="NOT TESTED: needs the extra 'plots'")
    seen: list[list[str]] = []
    save = figures.save_figure

    def look(figure, path) -> None:  # type: ignore[no-untyped-def]
        seen.append([f"{a.get_title()}: {[t.get_text() for t in a.texts]}" for a in figure.axes])
        save(figure, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "save_figure", look)
        figures.plot_parameters(tmp_path / "p.png", results())
        figures.plot_curves(tmp_path / "c.svg", results())
    nothing = "['no results here yet']"
    assert seen[0] == [f"{share} % of the data: {nothing}" for share in (10, 20, 100)]
    assert seen[1] == [f"{share} % of the data: {nothing}" for share in (10, 100)]


def test_the_same_numbers_make_the_same_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="NOT TESTED: needs the extra 'plots'")
    paths = [tmp_path / name for name in ("a.svg", "b.svg")]
    for path in paths:
        figures.plot_parameters(path, results())
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert b"<dc:date>" not in first


def test_a_system_far_below_the_others_does_not_press_them_together(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="NOT TESTED: needs the extra 'plots'")
    # Among its systems is one on a backbone that has learnt nothing.
    kept = Results.of(ResultsFolder(ROOT / "results" / "paper"))
    ((worst, low),) = [
        (name, statistics.fmean(f1.values()))
        for name in kept.systems(0.1)
        if (f1 := kept.average(name, 0.1)) and min(f1.values()) < 0.3
    ]
    panels: list[tuple[list[str], float]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            figures,
            "save_figure",
            lambda figure, path: panels.extend(
                ([t.get_text().strip() for t in a.texts], a.get_ylim()[0]) for a in figure.axes
            ),
        )
        figures.plot_parameters(tmp_path / "p.png", kept)
    assert worst == "random-backbone"
    assert panels[0][0] == [f"{low:.2f} ▾"]
    assert all(bottom > 0.5 for _, bottom in panels)
