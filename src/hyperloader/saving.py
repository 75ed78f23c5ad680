"""How a tagger is saved and shared: as a checkpoint, in ONNX, on the Hugging Face Hub."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import torch

from hyperloader import hub, tagging
from hyperloader.checkpoint import Checkpoint, save_checkpoint
from hyperloader.model_card import Scores, model_card
from hyperloader.onnx_checkpoint import InOnnx, save_onnx

STORED = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Saving:
    """What a :class:`~hyperloader.tagger.Tagger` can be saved as."""

    @property
    @abstractmethod
    def checkpoint(self) -> Checkpoint:
        """The model with its parameters, its codec and its temperatures. Raises ConfigError for a
        tagger in ONNX, which has no parameters."""

    def save_pretrained(
        self,
        path: str | Path,
        *,
        precision: str = "float32",
        whole: bool | None = None,
        license: str | None = None,
        metrics: "Scores | None" = None,
        name: str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Save model, labels, tokenizer, calibration and a model card as one folder, atomically.

        Args:
            precision: of the stored parameters: float32, or bfloat16 (half the space, rounded).
            whole: store the frozen backbone too; default: only if no name brings it back.
            license, metrics: for the model card; metrics are what :meth:`evaluate` gave.
            name: ``owner/name`` on the Hub, for the card's examples; default: ``path``.
            overwrite: replace a checkpoint that ``path`` holds; nothing else is ever replaced.

        Raises:
            TargetError: ``path`` holds something else, or (without ``overwrite``) a checkpoint.
        """
        tagging.check_precision(precision, STORED)
        here = self.checkpoint
        card = model_card(here, name=name or Path(path).name, license=license, metrics=metrics)
        save_checkpoint(
            Path(path),
            here.model,
            here.codec,
            STORED[precision],
            here.calibration,
            whole=whole,
            card=card,
            overwrite=overwrite,
        )

    def save_onnx(
        self, path: str | Path, task: str | Sequence[str] | None = None, **options: Unpack[InOnnx]
    ) -> None:
        """Save a tagger on an encoder as a folder that onnxruntime tags from, atomically.

        :meth:`from_pretrained` takes it; nothing else can be done with it. See docs/onnx.md.

        Args:
            task: one task, several, or (None) all; one alone is smaller and faster.
            options: ``precision`` (float32, or int8), ``license``, ``metrics`` and ``overwrite`` as
                of :meth:`save_pretrained`.

        Raises:
            NotInstalledError: a package of the extra ``onnx`` is lacking.
            ConfigError: an unknown task, or a model that cannot be exported.
            TargetError: see :meth:`save_pretrained`.
        """
        tasks = (task,) if isinstance(task, str) else task
        save_onnx(self.checkpoint, Path(path), tasks, **options)

    def push_to_hub(
        self,
        repository: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        message: str = "Upload tagger",
        precision: str = "float32",
        license: str | None = None,
        metrics: "Scores | None" = None,
    ) -> str:
        """Upload the tagger to the Hugging Face Hub, in one commit; the commit's address.

        The repository ``owner/name`` is made if need be, ``private`` or as its owner's settings
        say; of an earlier tagger in it nothing stays. A backbone that is a folder of this machine
        is stored with the tagger. ``token``: default the one that ``hf auth login`` stored.

        Raises:
            CheckpointError: no access, or no connection.
        """
        about: dict[str, Any] = {"license": license, "metrics": metrics, "name": repository}
        save = partial(self.save_pretrained, precision=precision, **about)
        return hub.share(save, repository, private=private, token=token, message=message)
