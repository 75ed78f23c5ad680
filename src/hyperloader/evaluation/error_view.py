"""Sentences with errors as HTML: gold above predicted, spans marked by what became of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from hyperloader.evaluation.confusion import Kind, Match, Outcome
from hyperloader.evaluation.metrics import ScoredExample
from hyperloader.types import Span

SYMBOLS = {
    Outcome.CORRECT: "✓",
    Outcome.WRONG_LABEL: "≠",
    Outcome.WRONG_BOUNDARY: "↔",
    Outcome.WRONG_BOTH: "≠↔",
    Outcome.MISSED: "−",
    Outcome.SPURIOUS: "+",
    Outcome.FRAGMENT: "÷",
}


def informative_errors(examples: Iterable[ScoredExample]) -> list[ScoredExample]:
    """The examples with errors, so that the first few show as many kinds of error as possible.

    A kind is an outcome with its gold and predicted label. First comes one sentence of each
    kind, the most frequent kind first; then a second one of each, and so on.
    """
    wrong = [(example, kinds) for example in examples if (kinds := _kinds(example))]
    frequency = Counter(kind for _, kinds in wrong for kind in kinds)
    seen: Counter[Kind] = Counter()
    ranks = []
    for _, kinds in wrong:
        ranks.append(min((seen[kind], -frequency[kind]) for kind in kinds))
        seen.update(set(kinds))
    return [wrong[i][0] for i in sorted(range(len(wrong)), key=lambda i: (ranks[i], i))]


def _kinds(example: ScoredExample) -> list[Kind]:
    return [m.kind for m in example.matches() if m.outcome is not Outcome.CORRECT]


def errors_html(examples: Sequence[ScoredExample], max_errors: int) -> str:
    """At most ``max_errors`` sentences with errors and how many there are, as HTML."""
    wrong = informative_errors(examples)
    if not wrong:
        return f"<p>No errors in {len(examples):,} sentences.</p>\n"
    shown = wrong[:max_errors]
    rest = len(wrong) - len(shown)
    more = f"; {rest:,} more are not shown" if rest else ""
    return (
        f"<p>{len(wrong):,} of {len(examples):,} sentences have errors, {len(shown):,} are shown"
        f"{more}. One of each kind of error comes first, the most frequent kind first.</p>\n"
        f'<ol class="errors">\n{"".join(map(_sentence, shown))}</ol>\n'
    )


def _sentence(example: ScoredExample) -> str:
    words = example.example.words
    matches = example.matches()
    gold = {m.gold: m.outcome for m in matches if m.gold}
    # Reversed, so that a prediction that serves two gold spans is marked as for the first.
    predicted = {m.predicted: m.outcome for m in reversed(matches) if m.predicted}
    reasons = "".join(_reason(words, m) for m in matches if m.outcome is not Outcome.CORRECT)
    return (
        f'<li>\n<p><span class="side">gold</span> {_marked(words, gold)}</p>\n'
        f'<p><span class="side">predicted</span> {_marked(words, predicted)}</p>\n'
        f"<ul>\n{reasons}</ul>\n</li>\n"
    )


def _marked(words: Sequence[str], spans: Mapping[Span, Outcome]) -> str:
    pieces: list[str] = []
    at = 0
    for span, outcome in sorted(spans.items()):
        pieces += map(escape, words[at : span.word_start])
        symbol = "" if outcome is Outcome.CORRECT else f"{SYMBOLS[outcome]}&nbsp;"
        pieces.append(
            f'<mark class="{outcome.value.replace(" ", "-")}">{_surface(words, span)}'
            f"<small>{symbol}{escape(span.label)}</small></mark>"
        )
        at = span.word_end
    return " ".join([*pieces, *map(escape, words[at:])])


def _reason(words: Sequence[str], match: Match) -> str:
    sides = []
    for name, span in (("gold", match.gold), ("predicted", match.predicted)):
        if span is not None:
            score = "" if span.score is None else f" (score {span.score:.2f})"
            label = f"<b>{escape(span.label)}</b>{score}"
            sides.append(f"{name} “{_surface(words, span)}” {label}")
    return f"<li>{SYMBOLS[match.outcome]} {match.outcome.value}: {', '.join(sides)}</li>\n"


def _surface(words: Sequence[str], span: Span) -> str:
    return escape(" ".join(words[span.word_start : span.word_end]))
