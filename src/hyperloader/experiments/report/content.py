"""What the tables of a report say."""

from hyperloader.experiments.analyse.comparison import Comparison
from hyperloader.experiments.analyse.curves import curve, learning
from hyperloader.experiments.analyse.results import Results, Summary
from hyperloader.experiments.analyse.significance import Difference, over_seeds
from hyperloader.experiments.report.tables import Cell, TextTable, cells
from hyperloader.reproduction import paper

MISSING = "missing"
APART = "♣"
APART_MEANS = f" {APART}: one model for each corpus."


def share(fraction: float) -> str:
    """A share of the data as a percentage."""
    return f"{100 * fraction:g} %"


def title(results: Results, system: str) -> str:
    """A system's name, with the paper's sign where it has one model per corpus."""
    return f"{system} {APART}" if results.apart(system) else system


def f1_table(results: Results, comparison: Comparison, fraction: float) -> TextTable:
    """F1 of each system on each corpus and on average."""
    systems = results.systems(fraction)
    columns = [*((task,) for task in results.tasks), results.tasks]
    best = [comparison.best(fraction, tasks) for tasks in columns]
    rows = []
    for system in systems:
        values = [results.f1(system, fraction, task) for task in results.tasks]
        values.append(results.average(system, fraction))
        texts = [f1_text(results, system, fraction, f1) for f1 in values]
        marked = [Cell(text, system == first) for text, first in zip(texts, best, strict=True)]
        rows.append([Cell(title(results, system)), *marked])
    part = results.metadata.score
    caption = (
        f"Micro F1 on the {part} part after training with {share(fraction)} of the training and "
        "validation data: mean ± standard deviation over seeds. Bold: the best of a column, where "
        f"its difference to the second is significant (paired bootstrap over the {part} sentences, "
        "predictions of the seeds pooled, 10,000 draws, p < 0.05)."
        f"{APART_MEANS if any(map(results.apart, systems)) else ''}"
    )
    return TextTable(caption, ["system", *results.tasks, "average"], rows)


def cost_table(results: Results, fraction: float) -> TextTable:
    """What each system trains, and how long it took."""
    rows = []
    for system in results.systems(fraction):
        p = results.parameters(system, fraction)
        spent = Summary.of(results.training_seconds(system, fraction))
        if p is None or spent is None:
            rows.append(cells(title(results, system), *[MISSING] * 5))
            continue
        texts = (
            f"{p.trainable:,.0f}",
            f"{p.percent:.2f}",
            str(p.models),
            f"{p.trainable_of_all:,}",
        )
        rows.append(cells(title(results, system), *texts, f"{spent.mean:,.0f}"))
    caption = (
        f"What the systems cost with {share(fraction)} of the data: trained parameters of one "
        "model, their share of all its parameters, models, trained parameters of all models, and "
        "seconds of the training steps alone, of all models of a seed together."
    )
    header = ["system", "trained", "% of a model", "models", "trained in all", "seconds"]
    return TextTable(caption, header, rows)


def difference_table(results: Results, comparison: Comparison, fraction: float) -> TextTable:
    """The first system against each other one, on average: over sentences, and over seeds."""
    first, *others = results.systems(fraction)
    rows = []
    for other in others:
        found = comparison.difference(first, other, fraction, results.tasks)
        pooled = [MISSING] * 3 if found is None else [signed(found.value), *_tested(found)]
        average = f1_text(results, other, fraction, results.average(other, fraction))
        by_seed = seed_by_seed(results, first, other, fraction)
        rows.append(cells(title(results, other), average, *pooled, *by_seed))
    caption = (
        f"Average F1 of {first} less that of each other system, with {share(fraction)} of the "
        "data. Over sentences: the difference on the pooled predictions of the seeds that both "
        "have, its 95 % interval and its two-sided p (the same bootstrap; it does not speak for "
        "other seeds). Over seeds: mean ± standard deviation of the differences between the two "
        f"runs of a seed, in how many of them {first} is ahead, and the 95 % interval and p of a "
        "paired t test, which with two or three seeds finds large and steady differences only."
    )
    header = [f"{first} less", "its F1", "over sentences", "95 %", "p"]
    return TextTable(caption, [*header, "over seeds", "ahead", "95 %", "p"], rows)


def seed_by_seed(results: Results, first: str, other: str, fraction: float) -> list[str]:
    """The differences between the averages of two systems' runs with the same seed: mean and
    standard deviation, in how many the first is ahead, the 95 % interval and p over seeds."""
    differences = list(results.differences(first, other, fraction).values())
    summary = Summary.of(differences)
    if summary is None:
        return [MISSING] * 4
    spread = "" if summary.deviation is None else f" ± {summary.deviation:.4f}"
    ahead = sum(difference > 0 for difference in differences)
    found = over_seeds(differences)
    tested = ["one seed"] * 2 if found is None else _tested(found)
    return [f"{signed(summary.mean)}{spread}", f"{ahead} of {summary.seeds}", *tested]


def _tested(found: Difference) -> list[str]:
    """A difference's interval and p."""
    return [f"{signed(found.low)} to {signed(found.high)}", f"{found.p:.4f}"]


def paper_table(results: Results, fraction: float) -> TextTable | None:
    """The paper's numbers beside ours; None where the paper has none for this share or data, and
    where ours are not test scores."""
    tasks = [task for task in paper.CORPORA if task in results.tasks]
    if fraction not in paper.FRACTIONS or not tasks or results.metadata.score != "test":
        return None
    header = ["Corpus"]
    for system, name in paper.COLUMNS.items():
        header += [f"{name}, paper", f"{system}, here"]
    rows = []
    for task in tasks:
        row = [task]
        for system in paper.COLUMNS:
            ours = results.f1(system, fraction, task)
            row += [
                f"{paper.paper_f1(system, fraction, task):.4f}",
                f1_text(results, system, fraction, ours),
            ]
        rows.append(cells(*row))
    row = ["Average"]
    for system in paper.COLUMNS:
        each = [results.f1(system, fraction, task) for task in tasks]
        whole = set(each[0]).intersection(*each[1:])
        ours = {seed: sum(f1[seed] for f1 in each) / len(each) for seed in whole}
        theirs = paper.paper_average(system, fraction, tasks)
        row += [f"{theirs:.4f}", f1_text(results, system, fraction, ours)]
    absent = [task for task in paper.CORPORA if task not in tasks]
    without = f" ({', '.join(absent)} left out of the paper's average)" if absent else ""
    caption = (
        f"The paper's F1 with {share(fraction)} of the data (one seed, T5-base or BERT-base) "
        f"beside the means here; averages are over the corpora at hand{without}."
    )
    return TextTable(caption, header, [*rows, cells(*row)], (len(tasks),))


def equal_time_table(results: Results, fraction: float) -> TextTable | None:
    """Validation F1 after equally many sentences and after equal time; None without a curve."""
    curves = {system: curve(results, system, fraction) for system in results.systems(fraction)}
    seconds = {system: points[-1].seconds for system, points in curves.items() if points}
    if not seconds:
        return None
    fastest = min(seconds, key=seconds.__getitem__)
    limit = seconds[fastest]
    rows = []
    for system, points in curves.items():
        name = title(results, system)
        if not points:
            rows.append(cells(name, *[MISSING] * 5))
            continue
        before = [point for point in points if point.seconds <= limit * (1 + 1e-9)]
        rows.append(
            cells(
                name,
                _mean_f1(points[-1].f1),
                f"{points[-1].step:,.0f}",
                f"{seconds[system]:,.0f}",
                _mean_f1(before[-1].f1) if before else "no validation yet",
                f"{before[-1].step:,.0f}" if before else "",
            )
        )
    caption = (
        f"Validation F1 with {share(fraction)} of the data. At equal examples: at the last "
        f"validation, when all systems have seen as many sentences. At equal time: at the last "
        f"validation within {limit:,.0f} s, which is all that the fastest system "
        f"({title(results, fastest)}) took. Means ± standard deviations over the finished seeds. "
        "Seconds are those of the training steps alone, spread evenly over a run's steps; those "
        "of runs that shared their machine with other work compare badly."
    )
    header = ["system", "equal examples", "steps", "seconds", "equal time", "steps by then"]
    return TextTable(caption, header, rows)


def learning_lines(results: Results, fraction: float) -> list[str]:
    """A sentence for each system with a result."""
    curves = {system: curve(results, system, fraction) for system in results.systems(fraction)}
    return [f"{title(results, s)}: {learning(points)}" for s, points in curves.items() if points]


def systems_table(results: Results) -> TextTable:
    """What each system sets, beside what all share."""
    rows: dict[str, list[Cell]] = {}
    for design in results.metadata.experiments.values():
        for name, system in design.systems.items():
            settings = ", ".join(f"{k}={v}" for k, v in system.set.items()) or "nothing"
            models = "one per corpus" if system.tasks == "apart" else "one"
            rows[name] = cells(title(results, name), models, settings)
    return TextTable("The systems.", ["system", "models", "its own settings"], list(rows.values()))


def f1_text(results: Results, system: str, fraction: float, f1: dict[int, float]) -> str:
    """Mean ± standard deviation of ``f1`` by seed, or why there is none."""
    if system not in results.systems(fraction):
        return "not planned"
    summary, planned = Summary.of(list(f1.values())), len(results.seeds(system, fraction))
    if summary is None:
        return MISSING
    spread = "" if summary.deviation is None else f" ± {summary.deviation:.4f}"
    some = f" ({summary.seeds} of {planned} seeds)" if summary.seeds < planned else ""
    return f"{summary.mean:.4f}{spread}{some}"


def signed(value: float, digits: int = 4) -> str:
    """A difference, with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−")


def _mean_f1(f1: Summary) -> str:
    return f"{f1.mean:.4f}" + ("" if f1.deviation is None else f" ± {f1.deviation:.4f}")
