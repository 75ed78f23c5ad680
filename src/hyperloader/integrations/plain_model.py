"""One task of a tagger as a plain model of transformers, which knows nothing of hyperloader."""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from hyperloader import tagging
from hyperloader.backbones.family import Family
from hyperloader.errors import ConfigError, first_line
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.attached import HEAD, WORD_SHAPES, AttachedModel
from hyperloader.modeling.merging import merge
from hyperloader.modeling.quantised import is_quantised
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.saving import STORED
from hyperloader.store import Kind, atomic_folder
from hyperloader.tagger import Tagger

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# How far logits of a merged model may be from the tagger's, in units of the largest one.
NEAR = 1e-4


class OneTask(NamedTuple):
    """A copy of a tagger's model with the weights of one task.

    Attributes:
        backbone: in float32 on the CPU, with everything that was attached still at it.
        weights: of what is attached and of the head, with leading dimension 1.
        tags: what the rows of a head stand for; empty where tags are written.
        logits: what the tagger's model says of :func:`_example`.
    """

    method: str
    family: Family
    backbone: "PreTrainedModel"
    weights: SiteWeights
    tags: tuple[str, ...]
    logits: Tensor


def save_merged(
    tagger: Tagger,
    path: str | Path,
    task: str | None = None,
    *,
    precision: str = "float32",
    overwrite: bool = False,
) -> None:
    """Save one task as a model that transformers loads alone, atomically: LoRA is part of the
    backbone's weights.

    That is exact for methods that attach LoRA and nothing else, and for ``full``. On an encoder it
    is a model for token classification, whose logits are the tagger's; the tagger makes of them the
    best valid sequence of tags, transformers' pipeline each word's likeliest tag.

    Raises:
        ConfigError: another method, or a model that would answer otherwise.
        TargetError: see :meth:`Tagger.save_pretrained`.
    """
    tagging.check_precision(precision, STORED)
    with torch.no_grad():
        found = one_task(tagger, task)
        if merge(found.backbone, found.family, found.weights):
            raise ConfigError(
                f"what {found.method!r} attaches to a {found.family.name} backbone cannot become "
                "part of its weights (LoRA alone can); export it as a checkpoint"
            )
        merged = with_head(found)
        _check_same(found, merged)
    with atomic_folder(Path(path), Kind.TRANSFORMERS, overwrite=overwrite) as folder:
        merged.to(STORED[precision]).save_pretrained(folder)
        save_tokenizer(tagger, folder)


def save_tokenizer(tagger: Tagger, folder: Path) -> None:
    """Write the tokenizer, which cuts texts off where the tagger would make another window."""
    tokenizer = copy.deepcopy(tagger.codec.tokenizer)
    tokenizer.model_max_length = tagger.codec.config.max_source_tokens
    tokenizer.save_pretrained(folder)


def one_task(tagger: Tagger, task: str | None) -> OneTask:
    """A copy of what tags for ``task``. Raises ConfigError where no plain model could do it."""
    from transformers import PreTrainedModel

    model, name = tagging.whole(tagger.model), tagging.known_task(task, tagger.tasks)
    method = model.config.method
    if not isinstance(model.backbone, PreTrainedModel) or is_quantised(model):
        raise ConfigError(
            "this tagger was loaded for tagging alone; load it in float32 with "
            "Tagger.from_pretrained(…, tagging_only=False)"
        )
    if tagger.codec.config.task_prefix or model.reads_input:
        raise ConfigError(
            f"{method!r} makes its weights from the text or is told the task in it, which no plain "
            "model does; export it as a checkpoint"
        )
    chosen = copy.deepcopy(model).to("cpu", torch.float32).eval().requires_grad_(False)
    weights = chosen.weights(chosen.task_ids(name))
    if (told := weights.pop(WORD_SHAPES, None)) is not None and told.vectors.any():
        raise ConfigError(
            f"the task {name!r} is told which words have capitals (model.word_shapes), which no "
            "plain model is; export it as a checkpoint, or train it on lower-cased text"
        )
    tags = tagger.codec.tags[name] if isinstance(tagger.codec, TokenCodec) else ()
    logits = _logits(chosen, name)
    if tags:
        logits = logits[..., : len(tags)]
    return OneTask(method, chosen.family, chosen.backbone, weights, tags, logits)


def with_head(found: OneTask) -> "PreTrainedModel":
    """The backbone as a model for token classification with the tagger's head; as it is where tags
    are written. Raises ConfigError where transformers builds such a model otherwise."""
    if not found.tags:
        return found.backbone
    from transformers import AutoModelForTokenClassification

    config = copy.deepcopy(found.backbone.config)
    config.id2label = dict(enumerate(found.tags))
    config.label2id = {tag: number for number, tag in enumerate(found.tags)}
    model: PreTrainedModel = AutoModelForTokenClassification.from_config(config)
    rows = {
        name: part[0, : len(found.tags)] for name, part in found.weights[HEAD]._asdict().items()
    }
    try:
        getattr(model, model.base_model_prefix).load_state_dict(found.backbone.state_dict())
        model.get_submodule("classifier").load_state_dict(rows)
    except (AttributeError, RuntimeError) as error:
        raise ConfigError(
            f"a {type(model).__name__} is built otherwise than this tagger: {first_line(error)}; "
            "export it as a checkpoint"
        ) from error
    return model.eval().requires_grad_(False)


def _check_same(found: OneTask, merged: "PreTrainedModel") -> None:
    """Raise ConfigError unless ``merged`` gives the logits that the tagger's model gives."""
    ids, mask = _example()
    answers: dict[str, Any] = {} if found.tags else {"labels": ids}
    logits = merged(input_ids=ids, attention_mask=mask, **answers).logits
    far = (logits - found.logits)[mask.bool()].abs().max() / found.logits.abs().max()
    if not far <= NEAR:
        raise ConfigError(
            f"a {type(merged).__name__} would answer otherwise than this tagger (logits differ by "
            f"{float(far):.2g} of the largest); export it as a checkpoint"
        )


def _example() -> tuple[Tensor, Tensor]:
    """Any tokens, in two rows of which the second is shorter, and their mask."""
    ids = torch.arange(10, 30).reshape(2, 10)
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    return ids, mask


def _logits(model: AttachedModel, task: str) -> Tensor:
    """What ``model`` says of :func:`_example`: of its tokens, or of writing them again."""
    ids, mask = _example()
    places = torch.arange(ids.shape[1]).expand_as(ids)
    asked: dict[str, Any] = {"first": places} if model.output == "token_tags" else {"labels": ids}
    logits: Tensor = model(ids, mask, task_ids=model.task_ids(task), **asked).logits
    return logits
