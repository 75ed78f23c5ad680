"""What the backbones of torch alone share: they tag, without transformers, and do not train."""

from typing import Any, NamedTuple, NoReturn

from torch import Tensor, nn

from hyperloader.errors import HyperloaderError


class Encoded(NamedTuple):
    """What an encoder gives: ``last_hidden_state`` (batch, length, d), and where it was asked for
    ``hidden_states``, what came before the first layer and out of each."""

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None


def tagging_only(*_: Any, **__: Any) -> NoReturn:
    """In place of what such a backbone cannot do. Raises HyperloaderError."""
    raise HyperloaderError(
        "this model was loaded for tagging only and can neither train nor generate; load it with "
        "Tagger.from_pretrained(…, tagging_only=False), or by from_pretrained of its own class"
    )


class Linear(nn.Linear):
    """Its weight is a checkpoint's, so none is drawn: that takes time and slow imports."""

    def reset_parameters(self) -> None:
        """Nothing to do."""


class Embedding(nn.Embedding):
    """Its weight is a checkpoint's, so none is drawn."""

    def reset_parameters(self) -> None:
        """Nothing to do."""
