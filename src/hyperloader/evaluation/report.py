"""An evaluation as one self-contained HTML file: scores, confusions, and the errors in context."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path

from hyperloader.errors import DataError
from hyperloader.evaluation.confusion import OTHER, Confusion, Outcome
from hyperloader.evaluation.error_view import SYMBOLS, errors_html
from hyperloader.evaluation.metrics import PRF, ScoredExample, TaskScores, average
from hyperloader.evaluation.overlap import OverlapCounts
from hyperloader.evaluation.reliability import reliability

MAX_ERRORS = 50
MAX_LABELS = 20
KINDS = ("correct", "incorrect", "partial", "missed", "spurious")

CSS = """
:root { color-scheme: light dark; --text: #1b1b1f; --page: #fff; --line: #c9c9d1; --soft: #f3f3f6;
  --quiet: #5a5a66; --good: 0, 114, 178; --bad: 213, 94, 0; --odd: 204, 121, 167;
  --edge: 230, 159, 0; }
@media (prefers-color-scheme: dark) {
  :root { --text: #ececf1; --page: #16161a; --line: #44444f; --soft: #212128; --quiet: #a9a9b6; } }
* { box-sizing: border-box; }
body { font: 1rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
  max-width: 70rem; margin: 0 auto; padding: 1rem; overflow-wrap: break-word; }
header p, .note, caption, small { color: var(--quiet); }
header p { white-space: pre-line; }
h2 { margin-top: 2.5rem; border-top: 2px solid var(--line); padding-top: 1rem; }
nav a { margin-right: 1rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: left; padding: .2rem 0; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child { text-align: left; }
tbody th, thead th:first-child { font-weight: 500; }
th:first-child { position: sticky; left: 0; background: var(--page); }
table.outcomes :is(th, td):last-child { text-align: left; }
tfoot th, tfoot td { font-weight: 700; white-space: nowrap; border-top: 2px solid var(--line); }
table.heat thead th:not(:first-child) { writing-mode: vertical-rl; transform: rotate(180deg);
  text-align: left; font-weight: 500; padding: .6rem .25rem; }
table.heat td { min-width: 2.2rem; padding: .25rem; text-align: center; }
table.heat td.right { background: rgba(var(--good), var(--a)); font-weight: 700; }
table.heat td.wrong { background: rgba(var(--bad), var(--a)); }
ol.errors { padding: 0; list-style: none; }
ol.errors > li { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem;
  margin: .8rem 0; }
ol.errors p { margin: .2rem 0; line-height: 2; }
ol.errors ul { margin: .3rem 0 0; padding-left: 1.2rem; font-size: .9rem; }
.side { display: inline-block; min-width: 5.5rem; color: var(--quiet); font-size: .85rem; }
mark { color: inherit; background: var(--soft); border-bottom: 2px solid var(--line);
  border-radius: .2rem; padding: .1rem .25rem; }
mark { box-decoration-break: clone; -webkit-box-decoration-break: clone; }
mark small { margin-left: .3rem; font-size: .75rem; color: inherit; }
mark.missed { background: rgba(var(--bad), .25); border-bottom: 3px dashed rgb(var(--bad)); }
mark.spurious, mark.fragment { background: rgba(var(--good), .25);
  border-bottom: 3px dotted rgb(var(--good)); }
mark.wrong-label, mark.wrong-label-and-boundary { background: rgba(var(--odd), .3);
  border-bottom: 3px double rgb(var(--odd)); }
mark.wrong-boundary { background: rgba(var(--edge), .25);
  border-bottom: 3px solid rgb(var(--edge)); }
"""


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What the report shows of one task: its scores and the examples they were computed from."""

    scores: TaskScores
    examples: Sequence[ScoredExample]

    def __post_init__(self) -> None:
        if len(self.examples) != self.scores.sentences:
            raise DataError(
                f"task {self.scores.task!r}: scores of {self.scores.sentences} sentences, but "
                f"{len(self.examples)} examples; give the examples that were scored"
            )


def write_html_report(
    path: Path,
    tasks: Sequence[TaskReport],
    *,
    title: str,
    subtitle: str = "",
    max_errors: int = MAX_ERRORS,
) -> None:
    """Write one self-contained HTML file: no script, no font, no image.

    ``subtitle`` is plain text (the run, the command, the date), its line breaks are kept. Of
    each task at most ``max_errors`` sentences with errors are shown, in the order of
    `informative_errors`, and the number of the rest is stated. The file appears whole or not at
    all; missing folders are made.

    Raises DataError when there is no task, when two tasks share a name, and when the file cannot
    be written.
    """
    scores = {t.scores.task: t.scores for t in tasks}
    if not tasks:
        raise DataError("a report needs at least one task; score one first")
    if len(scores) < len(tasks):
        raise DataError("two tasks of a report share a name; give each its own")
    links = "".join(f'<a href="#task-{i}">{escape(name)}</a>' for i, name in enumerate(scores))
    sections = "".join(_task(i, task, max_errors) for i, task in enumerate(tasks))
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1>\n<p>{escape(subtitle)}</p></header>\n"
        f'<main>\n<nav aria-label="Tasks">{links}</nav>\n{_summary(tasks)}{sections}</main>\n'
        "</body>\n</html>\n"
    )
    _write(path, page)


def _summary(tasks: Sequence[TaskReport]) -> str:
    mean = average({task.scores.task: task.scores for task in tasks})
    columns = ("P", "R", "F1", "Strict P", "Strict R", "Strict F1", "ECE")
    head = ("Task", "Sentences", "Spans", *columns)
    errors = [reliability(task.examples).ece for task in tasks]
    rows = []
    for task, error in zip(tasks, errors, strict=True):
        s = task.scores
        counts = (f"{s.sentences:,}", f"{s.default.support:,}")
        rows.append((s.task, *counts, *_prf(s.default), *_prf(s.strict), f"{error:.4f}"))
    foot = [f"Average of {mean['tasks']}", "", ""]
    foot += [f"{v:.4f}" for mode in ("default", "strict") for v in mean[mode].values()]
    foot.append(f"{sum(errors) / len(errors):.4f}")
    caption = "Micro-averaged precision, recall and F1 over spans; the average is over tasks"
    return f'<section id="summary">\n<h2>Summary</h2>\n{_table(caption, head, rows, foot)}' + (
        '<p class="note">P, R and F1 follow the CoNLL convention of published tables (seqeval\'s '
        "default mode), the strict columns its strict mode. The two differ only where ill-formed "
        "tags were read from a file; this model predicts spans, which are always well-formed. ECE, "
        "the expected calibration error, is how far the scores of predicted spans are from the "
        "share of them that is right.</p>\n</section>\n"
    )


def _task(number: int, task: TaskReport, max_errors: int) -> str:
    scores, confusion = task.scores, task.scores.confusion
    labels = sorted(scores.per_label.items(), key=lambda item: (-item[1].gold, item[0]))
    label_rows = [(name, f"{c.gold:,}", f"{c.predicted:,}", *_prf(c.prf)) for name, c in labels]
    for mean, prf in (("macro average", scores.macro), ("weighted average", scores.weighted)):
        label_rows.append((mean, "", "", *_prf(prf)))
    measures = [
        (name, *_prf(found), *(f"{getattr(found, kind):,}" for kind in KINDS))
        for name, found in scores.overlap.items()
    ]
    outcomes = [
        (f"{SYMBOLS[o]} {o.value}", f"{confusion.outcomes[o.value]:,}", o.meaning) for o in Outcome
    ]
    return (
        f'<section id="task-{number}">\n<h2>{escape(scores.task)}</h2>\n<h3>Labels</h3>\n'
        + _table("Most frequent first", ("Label", "Gold", "Predicted", "P", "R", "F1"), label_rows)
        + "".join(f'<p class="note">{escape(line)}</p>\n' for line in scores.undefined)
        + "<h3>Measures</h3>\n"
        + _table(
            "strict: boundaries and label; exact: boundaries; type: the label of an overlapping "
            "span; partial: overlap, half a point where a boundary differs",
            ("Measure", "P", "R", "F1", *(kind.capitalize() for kind in KINDS)),
            measures,
        )
        + "<h3>Outcomes</h3>\n"
        + _table(
            "Of every gold and predicted span",
            ("Outcome", "Count", "Meaning"),
            outcomes,
            kind="outcomes",
        )
        + f"<h3>Confusion</h3>\n{_heat(confusion)}"
        + f"<h3>Errors</h3>\n{errors_html(task.examples, max_errors)}</section>\n"
    )


def _prf(prf: PRF | OverlapCounts) -> tuple[str, str, str]:
    return f"{prf.precision:.4f}", f"{prf.recall:.4f}", f"{prf.f1:.4f}"


def _table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    foot: Sequence[str] = (),
    kind: str = "numbers",
) -> str:
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)

    def line(cells: Sequence[str]) -> str:
        values = "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:])
        return f'<tr><th scope="row">{escape(cells[0])}</th>{values}</tr>\n'

    body = "".join(map(line, rows))
    last = f"<tfoot>\n{line(foot)}</tfoot>\n" if foot else ""
    content = f"<thead><tr>{columns}</tr></thead>\n<tbody>\n{body}</tbody>\n{last}"
    return _scroll(caption, content, kind)


def _scroll(caption: str, content: str, kind: str) -> str:
    # Wide tables scroll on their own; the tab stop lets a keyboard scroll them too.
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">\n'
        f'<table class="{kind}"><caption>{escape(caption)}</caption>\n{content}</table>\n</div>\n'
    )


def _heat(confusion: Confusion) -> str:
    table = confusion.table(MAX_LABELS)
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    body = ""
    for i, (name, counts) in enumerate(zip(table.rows, table.counts, strict=True)):
        kinds = ["right" if i == j else "wrong" for j in range(len(counts))]
        if name == OTHER:
            kinds[i] = "mixed"
        cells = "".join(_cell(n, sum(counts), kind) for n, kind in zip(counts, kinds, strict=True))
        body += f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>\n'
    caption = "Gold labels down, predicted labels across, most errors first; shaded by share of row"
    content = f'<thead><tr><th scope="col">gold</th>{columns}</tr></thead>\n<tbody>\n{body}</tbody>'
    return _scroll(caption, content, "heat") + (
        '<p class="note">Bold on the diagonal: the label is right, whether or not the boundaries '
        f"are. A task with more than {MAX_LABELS} labels shows those with most errors; the rest "
        "share (other).</p>\n"
    )


def _cell(count: int, total: int, kind: str) -> str:
    if not count:
        return "<td></td>"
    share = 0.12 + 0.53 * count / total
    return f'<td class="{kind}" style="--a: {share:.2f}">{count}</td>'


def _write(path: Path, page: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A lone surrogate in a user's text has no UTF-8 form; it is shown as a reference.
        part.write_bytes(page.encode("utf-8", "xmlcharrefreplace"))
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise DataError(
            f"cannot write the report: {error.strerror}; choose another file", path
        ) from error
