"""A backbone that has learnt nothing, to tell what a pre-trained one brings."""

from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM

from hyperloader.builtin import backbone_path
from hyperloader.errors import ConfigError
from hyperloader.store import MANIFEST, Kind, atomic_folder
from hyperloader.trust import load_config, load_tokenizer

SEED = 42


def random_backbone(name: str, folder: Path) -> Path:
    """A copy of the backbone ``name`` with T5's own first weights, made in ``folder`` once.

    Shape, vocabulary and tokenizer are the same. Returns ``folder``.

    Raises:
        ConfigError: ``name`` is no folder or Hub name of a T5-family model.
    """
    if (folder / MANIFEST).is_file():
        return folder
    source = backbone_path(name)
    try:
        config = load_config(source)
        tokenizer = load_tokenizer(source)
        torch.manual_seed(SEED)
        model = AutoModelForSeq2SeqLM.from_config(
            config, dtype=torch.float32, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ConfigError(
            f"no random backbone can be made like {name!r} ({reason}); give --backbone builtin, a "
            "folder made by save_pretrained or a Hub name of the T5 family"
        ) from error
    with atomic_folder(folder, Kind.BACKBONE) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    return folder
