"""What goes wrong: a system's commonest errors on each corpus, from its kept predictions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperloader.errors import ConfigError, DataError, unknown
from hyperloader.evaluation.confusion import Kind, Match, Outcome, match_spans
from hyperloader.evaluation.plots import plot_kinds
from hyperloader.experiments.content import share
from hyperloader.experiments.figures import figure_paths
from hyperloader.experiments.results import GOLD, Results
from hyperloader.experiments.sentences import gold_spans, read_sentences
from hyperloader.experiments.study import Study
from hyperloader.experiments.tables import TextTable, cells, markdown
from hyperloader.store import write_text
from hyperloader.types import Example, Span

EXAMPLES = 3
WRONG = tuple(outcome for outcome in Outcome if outcome is not Outcome.CORRECT)


@dataclass(frozen=True, slots=True)
class Errors:
    """The errors of a system on one corpus, of all seeds together.

    ``spans`` counts gold spans, once a seed. ``found`` has every error by its kind, with the
    number of its sentence.
    """

    task: str
    spans: int
    found: Mapping[Kind, Sequence[tuple[int, Match]]]

    @property
    def outcomes(self) -> Counter[Outcome]:
        """How many errors of each outcome."""
        return sum((Counter({k.outcome: len(v)}) for k, v in self.found.items()), Counter())

    @property
    def commonest(self) -> list[Kind]:
        """The kinds, most frequent first."""
        return sorted(self.found, key=lambda kind: (-len(self.found[kind]), kind))


def find_errors(
    task: str, gold: Sequence[Sequence[Span]], predictions: Iterable[Sequence[Sequence[Span]]]
) -> Errors:
    """Compare the predictions of each seed with the gold spans of every sentence."""
    found: dict[Kind, list[tuple[int, Match]]] = {}
    spans = 0
    for predicted in predictions:
        for i, (truth, guess) in enumerate(zip(gold, predicted, strict=True)):
            spans += len(truth)
            for match in match_spans(truth, guess):
                if match.outcome is not Outcome.CORRECT:
                    found.setdefault(match.kind, []).append((i, match))
    return Errors(task, spans, found)


def write_errors(
    results: Results,
    out: Path,
    *,
    system: str | None = None,
    fraction: float | None = None,
    data: Path | None = None,
    top: int = 10,
) -> list[Path]:
    """Write errors-SYSTEM-FRACTION as Markdown, PNG and SVG into ``out``; return the paths.

    Args:
        system: default: the first of the experiment.
        fraction: default: the largest share of the data that it has a result for.
        data: the corpora; with them each kind of error gets up to three sentences.
        top: kinds of error for each corpus.

    Raises:
        ConfigError: an unknown system or share.
        DataError: no finished run of it, no gold spans, or ``data`` holds other corpora.
        HyperloaderError: matplotlib is not installed (the Markdown is written).
    """
    study = Study.of(results)
    system, fraction = _chosen(study, system, fraction)
    sentences = None if data is None else read_sentences(study.about, data)
    if (gold := gold_spans(study, sentences)) is None:
        raise DataError(f"{GOLD} is missing; give the corpora with --data DIR", results.path)
    seeds = list(study.average(system, fraction))
    errors = [
        find_errors(
            task, gold[task], (study.predicted(system, fraction, seed, task) for seed in seeds)
        )
        for task in study.tasks
    ]
    name = f"errors-{system}-{fraction:g}"
    pictures = figure_paths(out, name)
    heading = f"Errors of {system}, {share(fraction)} of the data"
    lines = [
        f"# {heading}",
        "",
        f"Of {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'} together, on the "
        f"{study.about.score} part. Each gold span is compared with the prediction that shares "
        "most words with it.",
        "",
        *(f"- {outcome.value}: {outcome.meaning}" for outcome in WRONG),
        "",
        f"![Kinds of error]({pictures[0].name})",
        "",
        markdown(_summary(errors)),
    ]
    for each in errors:
        lines += [f"## {each.task}", "", markdown(_kinds(each, top))]
        if sentences:
            lines += _examples(each, top, sentences[each.task])
    write_text(out / f"{name}.md", "\n".join(lines))
    kinds = {each.task: each.outcomes for each in errors}
    for path in pictures:
        plot_kinds(path, kinds, {each.task: each.spans for each in errors}, heading)
    return [out / f"{name}.md", *pictures]


def _chosen(study: Study, system: str | None, fraction: float | None) -> tuple[str, float]:
    """The system and the share, which have a finished seed."""
    system = system or study.systems()[0]
    if system not in study.systems():
        raise ConfigError(unknown("system", system, study.systems()))
    finished = [f for f in study.fractions if study.average(system, f)]
    if not finished:
        raise DataError(f"no seed of {system} is finished on all corpora", study.results.path)
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
        f"{name} **{_plain(' '.join(words[span.start : span.end]))}** ({_plain(span.label)})"
        for name, span in (("gold", match.gold), ("predicted", match.predicted))
        if span is not None
    ]
    return f"{_plain(' '.join(words))}: {', '.join(sides)}"


def _plain(text: str) -> str:
    """``text`` with the signs escaped that Markdown would read."""
    return "".join(f"\\{sign}" if sign in r"\`*_[]<>#|" else sign for sign in text)


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else "-"
