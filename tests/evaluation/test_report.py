"""The HTML report is self-contained, escaped and complete; the plots are real images."""

import builtins
import os
import struct
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hyperloader.errors import DataError, HyperloaderError
from hyperloader.evaluation.error_view import informative_errors
from hyperloader.evaluation.metrics import ScoredExample, score_examples
from hyperloader.evaluation.plots import plot_confusion, plot_f1
from hyperloader.evaluation.report import TaskReport, write_html_report
from hyperloader.types import Example, Span

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Collects tags, attributes and text; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.style = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            self.style += data
        else:
            self.text += data

    def having(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def example(words: str, gold: list[Span], predicted: list[Span], task: str = "t") -> ScoredExample:
    return ScoredExample(Example(tuple(words.split()), tuple(gold), task), tuple(predicted))


def report(examples: list[ScoredExample], task: str = "t") -> TaskReport:
    return TaskReport(score_examples(task, examples), examples)


EXAMPLES = [
    example("fly to boston", [Span(2, 3, "city")], [Span(2, 3, "city")]),
    example("fly to new york", [Span(2, 4, "city")], [Span(3, 4, "city", 0.25)]),
    example("a noon flight", [Span(1, 2, "time")], []),
    example("a cheap flight", [], [Span(1, 2, "cost")]),
    example("on monday", [Span(1, 2, "day")], [Span(1, 2, "time")]),
]


def page(path: Path, tasks: list[TaskReport], **options) -> Page:
    write_html_report(path, tasks, **{"title": "Scores", **options})
    return Page(path.read_text("utf-8"))


def test_scores_labels_and_errors_are_in_the_page(tmp_path: Path) -> None:
    second = report([example("hi", [], [])], "empty")
    found = page(tmp_path / "new/report.html", [report(EXAMPLES), second], subtitle="run 7\n&c")
    # One of four gold spans and of four predicted ones is right; the second task has none.
    for text in ("run 7\n&c", "0.2500", "0.1250", "Average of 2", "No errors in 1 sentences"):
        assert text in found.text
    assert "4 of 5 sentences have errors, 4 are shown." in found.text
    assert "wrong boundary: gold “new york” city, predicted “york” city (score 0.25)" in found.text
    assert "missed: gold “noon” time" in found.text
    assert "spurious: predicted “cheap” cost" in found.text
    assert "wrong label: gold “monday” day, predicted “monday” time" in found.text
    marks = [attributes["class"] for attributes in found.having("mark")]
    assert sorted(marks) == [
        *("missed", "spurious", "wrong-boundary", "wrong-boundary", "wrong-label", "wrong-label")
    ]
    # Colour never stands alone: every mark carries its symbol.
    for symbol in ("−\xa0time", "+\xa0cost", "↔\xa0city", "≠\xa0day", "≠\xa0time"):
        assert symbol in found.text
    for mark in marks:
        assert f"mark.{mark}" in found.style


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    found = page(tmp_path / "report.html", [report(EXAMPLES)])
    names = {tag for tag, _ in found.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    links = [v for _, a in found.tags for k, v in a.items() if k in ("src", "href", "srcset")]
    assert links
    assert all(link and link.startswith("#") for link in links)
    ids = {a["id"] for _, a in found.tags if "id" in a}
    assert {link[1:] for link in links if link} <= ids
    assert "url(" not in found.style
    assert "@import" not in found.style
    assert "prefers-color-scheme: dark" in found.style
    assert any(a.get("name") == "viewport" for a in found.having("meta"))


def test_user_text_is_escaped_everywhere(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>&amp;'
    label = "<b onclick='x'>" + evil
    examples = [
        ScoredExample(Example((evil, "x"), (Span(0, 1, label),), evil), (Span(1, 2, evil),)),
        ScoredExample(Example((evil, "\ud800"), (), evil), (Span(0, 1, label),)),
    ]
    found = page(tmp_path / "r.html", [report(examples, evil)], title=evil, subtitle=evil)
    assert not found.having("script")
    assert not any("onclick" in attributes for _, attributes in found.tags)
    assert found.text.count(evil) > 10
    assert label in found.text


def test_the_rest_is_counted(tmp_path: Path) -> None:
    examples = [example("on monday", [Span(1, 2, "day")], [])] * 7 + EXAMPLES
    found = page(tmp_path / "r.html", [report(examples)], max_errors=3)
    assert "11 of 12 sentences have errors, 3 are shown; 8 more are not shown" in found.text
    assert len(found.having("li")) - len(found.having("ul")) == 3
    assert len(page(tmp_path / "r.html", [report(examples)]).having("ul")) == 11
    many = page(tmp_path / "r.html", [report([*EXAMPLES[2:3] * 60])])
    assert "60 of 60 sentences have errors, 50 are shown; 10 more" in many.text


def test_each_kind_of_error_comes_before_any_comes_twice() -> None:
    frequent = [example(f"on monday {i}", [Span(1, 2, "day")], []) for i in range(5)]
    mixed = [*frequent, EXAMPLES[0], EXAMPLES[3], EXAMPLES[2], EXAMPLES[2]]
    assert informative_errors(mixed) == [
        *(frequent[0], EXAMPLES[2], EXAMPLES[3]),
        *(frequent[1], EXAMPLES[2]),
        *frequent[2:],
    ]


def test_many_labels_share_a_row(tmp_path: Path) -> None:
    words = " ".join("w" * 30)
    gold = [Span(i, i + 1, f"label{i:02}") for i in range(30)]
    examples = [example(words, gold, gold[2:])]
    found = page(tmp_path / "r.html", [report(examples)])
    assert "(other)" in found.text
    assert found.text.count("label05") < found.text.count("label00")


def test_a_failed_write_leaves_the_old_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old", "utf-8")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(DataError, match=r"report\.html: cannot write the report: Permission"):
        write_html_report(path, [report(EXAMPLES)], title="x")
    assert [(p.name, p.read_text("utf-8")) for p in tmp_path.iterdir()] == [("report.html", "old")]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    task = report(EXAMPLES)
    with pytest.raises(DataError, match="5 sentences, but 2 examples"):
        TaskReport(task.scores, EXAMPLES[:2])
    with pytest.raises(DataError, match="at least one task"):
        write_html_report(tmp_path / "r.html", [], title="x")
    with pytest.raises(DataError, match="share a name"):
        write_html_report(tmp_path / "r.html", [task, task], title="x")
    (tmp_path / "file").write_text("", "utf-8")
    for write in (
        lambda path: write_html_report(path, [task], title="x"),
        lambda path: plot_f1(path, {"t": task.scores}),
    ):
        with pytest.raises(DataError, match="cannot write"):
            write(tmp_path / "file/r")
    with pytest.raises(DataError, match="top=0"):
        plot_confusion(tmp_path / "p.png", task.scores, top=0)
    with pytest.raises(DataError, match="nothing to plot"):
        plot_f1(tmp_path / "p.png", {})


def test_plots_are_images_and_leave_matplotlib_alone(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="NOT TESTED: needs the extra 'plots'")
    image = pytest.importorskip("matplotlib.image")
    before = dict(matplotlib.rcParams)
    odd = report([example("a b", [Span(0, 1, "$x_1$ $")], [Span(0, 1, "μέρος")])], "o$d")
    scores = {"t": report(EXAMPLES).scores, "o$d": odd.scores}
    plot_f1(tmp_path / "f1.png", scores)
    plot_confusion(tmp_path / "one.png", scores["t"])
    plot_confusion(tmp_path / "new/all.png", scores, top=2)
    assert dict(matplotlib.rcParams) == before
    for name in ("f1.png", "one.png", "new/all.png"):
        path = tmp_path / name
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", data[16:24])
        assert 300 <= height <= width * 2
        assert 600 <= width <= 4000
        pixels = image.imread(path)
        assert pixels.shape[:2] == (height, width)
        assert 0.001 < (pixels[..., :3].min(-1) < 0.9).mean() < 0.9


def test_plots_without_matplotlib_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    scores = report(EXAMPLES).scores
    with pytest.raises(HyperloaderError, match=r"pip install 'hyperloader\[plots\]'"):
        plot_confusion(tmp_path / "p.png", scores)
