"""Pages about errors: how many of each kind on each corpus, with sentences and a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hyperloader.errors import ConfigError, DataError, unknown
from hyperloader.evaluation.confusion import Match
from hyperloader.evaluation.plots import plot_kinds
from hyperloader.experiments.analyse.errors import (
    WRONG,
    Errors,
    Gold,
    agreed_errors,
    find_errors,
    gold_spans,
    read_sentences,
)
from hyperloader.experiments.analyse.results import Results
from hyperloader.experiments.report.content import share
from hyperloader.experiments.report.figures import figure_path
from hyperloader.experiments.report.tables import TextTable, cells, markdown
from hyperloader.experiments.run.folder import GOLD, ResultsFolder
from hyperloader.store import write_text
from hyperloader.types import Example, Span

EXAMPLES = 3


class Page(NamedTuple):
    """What a page is called, what it says of itself, and each corpus's errors."""

    name: str
    heading: str
    about: str
    errors: list[Errors]


def write_errors(
    folder: ResultsFolder,
    out: Path,
    *,
    system: str | None = None,
    fraction: float | None = None,
    agreement: float | None = None,
    data: Path | None = None,
    top: int = 10,
) -> list[Path]:
    """Write errors-SYSTEM-FRACTION as Markdown and PNG into ``out``; return the paths.

    Args:
        system: default: the first of the experiment.
        fraction: default: the largest share of the data that it has a result for.
        agreement: instead of a system's errors, in errors-agreed-FRACTION, those that at least
            this share of all runs make (:func:`agreed_errors`); above 0.5, at most 1.
        data: the corpora; with them each kind of error gets up to three sentences.
        top: kinds of error for each corpus.

    Raises:
        ConfigError: an unknown system or share; an agreement out of range or beside a system.
        DataError: no finished run of it, no predictions or gold spans, or ``data`` holds other
            corpora.
        HyperloaderError: matplotlib is not installed (the Markdown is written).
    """
    if agreement is not None and system is not None:
        raise ConfigError("agreement is that of all systems; omit --system or --agreement")
    if agreement is not None and not 0.5 < agreement <= 1:
        raise ConfigError(f"runs agree by a share above 0.5 and up to 1, not {agreement:g}")
    results = Results.of(folder)
    system, fraction = _chosen(results, system, fraction)
    systems = [system] if agreement is None else results.systems(fraction)
    runs = [(each, seed) for each in systems for seed in results.average(each, fraction)]
    predicted = [results.predicted(each, fraction, seed) for each, seed in runs]
    sentences = None if data is None else read_sentences(results.metadata, data)
    if (gold := gold_spans(results, sentences)) is None:
        raise DataError(f"{GOLD} is missing; give the corpora with --data DIR", folder.path)
    if agreement is None:
        page = _of_system(results, gold, system, fraction, predicted)
    else:
        names = list(dict.fromkeys(each for each, _ in runs))
        page = _of_all(results, gold, names, agreement, fraction, predicted)
    picture = figure_path(out, page.name)
    lines = [
        f"# {page.heading}",
        "",
        page.about,
        "",
        *(f"- {outcome.value}: {outcome.meaning}" for outcome in WRONG),
        "",
        f"![Kinds of error]({picture.name})",
        "",
        markdown(_summary(page.errors)),
    ]
    for each in page.errors:
        lines += [f"## {each.task}", "", markdown(_kinds(each, top))]
        if sentences:
            lines += _examples(each, top, sentences[each.task])
    write_text(out / f"{page.name}.md", "\n".join(lines))
    kinds = {each.task: each.outcomes for each in page.errors}
    gold_counts = {each.task: each.spans for each in page.errors}
    plot_kinds(picture, kinds, gold_counts, page.heading)
    return [out / f"{page.name}.md", picture]


def _of_system(
    results: Results, gold: Gold, system: str, fraction: float, predicted: list[Gold]
) -> Page:
    seeds = len(predicted)
    return Page(
        f"errors-{system}-{fraction:g}",
        f"Errors of {system}, {share(fraction)} of the data",
        f"Of {seeds} {'seed' if seeds == 1 else 'seeds'} together, on the "
        f"{results.metadata.score} part. Each gold span is compared with the prediction that "
        "shares the most words with it.",
        [
            find_errors(task, gold[task], (each[task] for each in predicted))
            for task in results.tasks
        ],
    )


def _of_all(
    results: Results,
    gold: Gold,
    systems: list[str],
    agreement: float,
    fraction: float,
    predicted: list[Gold],
) -> Page:
    return Page(
        f"errors-agreed-{fraction:g}",
        f"Errors that nearly all make, {share(fraction)} of the data",
        f"Spans that the gold has not and that at least {100 * agreement:g} % of {len(predicted)} "
        f"runs ({', '.join(systems)}) predict, on the {results.metadata.score} part: where the "
        "gold may be wrong. Gold spans that the runs do not agree on are not counted.",
        [
            agreed_errors(task, gold[task], [each[task] for each in predicted], agreement)
            for task in results.tasks
        ],
    )


def _chosen(results: Results, system: str | None, fraction: float | None) -> tuple[str, float]:
    """The system and the share, which have a finished seed."""
    system = system or results.systems()[0]
    if system not in results.systems():
        raise ConfigError(unknown("system", system, results.systems()))
    finished = [f for f in results.fractions if results.average(system, f)]
    if not finished:
        raise DataError(f"no seed of {system} is finished on all corpora", results.folder.path)
    if fraction is not None and fraction not in finished:
        known = ", ".join(f"{f:g}" for f in finished)
        raise ConfigError(f"{system} has no result for the share {fraction:g} (it has: {known})")
    return system, finished[-1] if fraction is None else fraction


def _summary(errors: Sequence[Errors]) -> TextTable:
    rows = []
    for each in errors:
        counts, total = each.outcomes, each.outcomes.total()
        shares = [f"{counts[o]:,} ({_percent(counts[o], total)})" for o in WRONG]
        rows.append(cells(each.task, f"{each.spans:,}", f"{total:,}", *shares))
    header = ["corpus", "gold spans", "errors", *(outcome.value for outcome in WRONG)]
    return TextTable("Errors of each kind, and their share of the corpus's errors.", header, rows)


def _kinds(errors: Errors, top: int) -> TextTable:
    total = errors.outcomes.total()
    rows = [
        cells(
            kind.outcome.value,
            kind.gold or "-",
            kind.predicted or "-",
            f"{len(errors.found[kind]):,}",
            _percent(len(errors.found[kind]), total),
        )
        for kind in errors.commonest[:top]
    ]
    rest = errors.commonest[top:]
    if rest:
        left = sum(len(errors.found[kind]) for kind in rest)
        rows.append(cells(f"{len(rest):,} other kinds", "", "", f"{left:,}", _percent(left, total)))
    caption = f"The commonest of {total:,} errors."
    return TextTable(caption, ["error", "gold label", "predicted", "count", "share"], rows)


def _examples(errors: Errors, top: int, sentences: Sequence[Example]) -> list[str]:
    """For each of the commonest kinds its shortest sentences, each said once."""
    lines = []
    for kind in errors.commonest[:top]:
        labels = " → ".join(dict.fromkeys(filter(None, (kind.gold, kind.predicted))))
        lines += [f"{kind.outcome.value}, {_plain(labels)}:", ""]
        shown: dict[tuple[str, ...], Match] = {}
        places = sorted(errors.found[kind], key=lambda at: (len(sentences[at[0]].words), at[0]))
        for i, match in places:
            if len(shown) < EXAMPLES:
                shown.setdefault(sentences[i].words, match)
        lines += [f"- {_sentence(words, match)}" for words, match in shown.items()]
        lines.append("")
    return lines


def _sentence(words: Sequence[str], match: Match) -> str:
    sides = [
        f"{name} **{_plain(_surface(words, span))}** ({_plain(span.label)})"
        for name, span in (("gold", match.gold), ("predicted", match.predicted))
        if span is not None
    ]
    return f"{_plain(' '.join(words))}: {', '.join(sides)}"


def _plain(text: str) -> str:
    """``text`` with the signs escaped that Markdown would read."""
    return "".join(f"\\{sign}" if sign in r"\`*_[]<>#|" else sign for sign in text)


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else "-"


def _surface(words: Sequence[str], span: Span) -> str:
    return " ".join(words[span.word_start : span.word_end])
