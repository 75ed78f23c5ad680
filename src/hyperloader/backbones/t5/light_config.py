"""The configuration of a T5 that needs no transformers."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from hyperloader.modeling.activations import OWN


@dataclass(frozen=True)
class LightConfig:
    """What a T5 is built from, by transformers' names; ``settings`` is the whole configuration."""

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_decoder_layers: int
    num_heads: int
    relative_attention_num_buckets: int
    relative_attention_max_distance: int
    layer_norm_epsilon: float
    dense_act_fn: str
    is_gated_act: bool
    scale_decoder_outputs: bool
    decoder_start_token_id: int
    settings: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The whole configuration, as transformers writes and reads it."""
        return dict(self.settings)


def read_config(settings: Mapping[str, Any]) -> LightConfig | None:
    """The configuration in ``settings``; None if it is not of a T5 that can be built here."""
    needed = {f.name: settings.get(f.name) for f in fields(LightConfig) if f.name != "settings"}
    known = settings.get("model_type") == "t5" and needed["dense_act_fn"] in OWN
    if not known or None in needed.values():
        return None
    return LightConfig(**needed, settings=settings)  # type: ignore[arg-type]
