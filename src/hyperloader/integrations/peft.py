"""One task's LoRA in the form of PEFT: a folder that ``PeftModel.from_pretrained`` loads.

Writing it takes no peft. docs/integrations/transformers.md.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hyperloader import tagging
from hyperloader.backbones.joins import added
from hyperloader.builtin import BUILTIN, MINILM
from hyperloader.errors import ConfigError
from hyperloader.integrations.plain_model import OneTask, one_task, save_tokenizer, with_head
from hyperloader.modeling.attach import SiteHook
from hyperloader.modeling.merging import attached
from hyperloader.modeling.modules.lora import LoraWeights
from hyperloader.modeling.pretrained import write_tensors
from hyperloader.store import Kind, atomic_folder
from hyperloader.tagger import Tagger
from hyperloader.trust import is_path

CONFIG, WEIGHTS, BASE = "adapter_config.json", "adapter_model.safetensors", "base"
_PREFIX = "base_model.model."


def save_peft(
    tagger: Tagger, path: str | Path, task: str | None = None, *, overwrite: bool = False
) -> None:
    """Save one task's LoRA, with its layer norms and head, as a PEFT adapter, atomically.

    A backbone that is on the Hub is named; any other is stored in the folder ``base``.

    Raises:
        ConfigError: the method attaches more than LoRA, or trains all of the backbone.
        TargetError: see :meth:`Tagger.save_pretrained`.
    """
    with torch.no_grad():
        found = one_task(tagger, task)
        model = tagging.whole(tagger.model)
        lora = _lora(found)
        if model.config.train_backbone == "all":
            raise ConfigError(
                f"this {found.method} model has changed all of its backbone, which no PEFT adapter "
                "holds; export it with --merged"
            )
        base = with_head(found)
    inside = f"{base.base_model_prefix}." if found.tags else ""
    trained = (n.removeprefix("backbone.") for n in model.trainable_names() if "backbone." in n)
    # PEFT keeps whole modules beside the LoRA: here layer norms and the head.
    kept = sorted({inside + name.rpartition(".")[0] for name in trained})
    kept += ["classifier"] if found.tags else []
    tensors = {
        f"{name}.{part}": tensor
        for name in kept
        for part, tensor in base.get_submodule(name).named_parameters()
    }
    for name, weights in lora.items():
        tensors[f"{inside}{name}.lora_A.weight"] = weights.a[0]
        tensors[f"{inside}{name}.lora_B.weight"] = weights.b[0]
    known, rank = model.backbone_name, model.config.lora_rank
    hub = None if known is None or known in (BUILTIN, MINILM) or is_path(known) else known
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "TOKEN_CLS" if found.tags else "SEQ_2_SEQ_LM",
        "base_model_name_or_path": hub,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": model.config.lora_scale * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(inside + name for name in lora),
        "modules_to_save": kept or None,
    }
    with atomic_folder(Path(path), Kind.PEFT, overwrite=overwrite) as folder:
        (folder / CONFIG).write_text(json.dumps(config, indent=1))
        write_tensors(folder / WEIGHTS, {f"{_PREFIX}{n}": _own(t) for n, t in tensors.items()})
        save_tokenizer(tagger, folder)
        if hub is None:
            base.save_pretrained(folder / BASE)


def _lora(found: OneTask) -> dict[str, LoraWeights]:
    """The weights of every linear layer with LoRA. Raises ConfigError where there is more, or none,
    or where PEFT would not do the same with it."""
    places: dict[str, LoraWeights] = {}
    for name, module, _, hook in attached(found.backbone):
        weights = found.weights.get(hook.site) if isinstance(hook, SiteHook) else None
        if not (
            isinstance(hook, SiteHook)
            and isinstance(module, nn.Linear)
            and isinstance(weights, LoraWeights)
            and weights.gate_weight is None
            and hook.spot.join is added
            and hook.spot.parts == 1
        ):
            places.clear()
            break
        places[name] = weights
    if not places or _some(found.family.apart(found.backbone)):
        raise ConfigError(
            f"what {found.method!r} attaches to a {found.family.name} backbone is not LoRA as PEFT "
            "has it (train with the method hyperlora or lora); export it as a checkpoint"
        )
    return places


def _some(things: Iterable[Any]) -> bool:
    return any(True for _ in things)


def _own(tensor: Tensor) -> Tensor:
    """The tensor with memory of its own, which safetensors wants."""
    return tensor.detach().clone().contiguous()
