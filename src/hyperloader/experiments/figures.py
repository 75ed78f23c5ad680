"""Average F1 against the share of trained parameters (the paper's figure 2)."""

from pathlib import Path
from typing import TYPE_CHECKING

from hyperloader.errors import DataError, HyperloaderError
from hyperloader.evaluation.plots import DPI
from hyperloader.experiments.content import share, title
from hyperloader.experiments.study import Study, Summary

if TYPE_CHECKING:
    from matplotlib.artist import Artist

MARKERS = "osD^vP*Xhp<>"


def plot_parameters(path: Path, study: Study) -> None:
    """One panel for each share of the data, one marker for each system with a result.

    The share of trained parameters is that of one model, on a logarithmic axis; bars are the
    standard deviation over seeds.

    Raises:
        HyperloaderError: matplotlib is not installed.
        DataError: the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
    except ImportError as error:
        raise HyperloaderError(
            "the figure needs matplotlib (all tables are written): pip install 'hyperloader[plots]'"
        ) from error
    fractions, systems = study.fractions, study.systems()
    figure = Figure(figsize=(4.2 * len(fractions) + 1.8, 4.0), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(fractions), squeeze=False)[0]
    drawn: dict[str, Artist] = {}
    for axes, fraction in zip(panels, fractions, strict=True):
        missing = []
        for i, system in enumerate(systems):
            if system not in study.systems(fraction):
                continue
            parameters = study.parameters(system, fraction)
            f1 = Summary.of(list(study.average(system, fraction).values()))
            if parameters is None or f1 is None:
                missing.append(title(study, system))
                continue
            drawn[title(study, system)] = axes.errorbar(
                parameters.percent,
                f1.mean,
                yerr=f1.deviation,
                color=f"C{i}",
                marker=MARKERS[i % len(MARKERS)],
                linestyle="none",
                capsize=3,
            )[0]
        without = f"\nmissing: {', '.join(missing)}" if missing else ""
        axes.set(
            xscale="log",
            xlabel="trained parameters (%)",
            title=f"{share(fraction)} of the data{without}",
        )
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("average micro F1")
    figure.legend(list(drawn.values()), list(drawn), loc="outside right upper", frameon=False)
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise DataError(
            f"cannot write the figure: {error.strerror}; choose another --out", path
        ) from error
