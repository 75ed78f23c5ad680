"""The decoder stack over several new tokens of many rows, each row at a position of its own.

Built of the backbone's own linear layers, norms and feed-forward blocks, so that whatever hooks
are on them stay in force; only the attention between them is written here. Works for every
backbone that names its modules as T5 does (t5, v1.1, flan, mt5, umt5).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hyperloader.outputs.sentt.decoding.packing import Packing


class DecoderStack:
    """A decoder with the states of one batch: keys and values of the source, and a cache.

    Every row has a position of its own. What a row fed at or beyond the position of its next
    tokens is overwritten, so going back costs nothing.
    """

    def __init__(self, decoder: Any, encoded: Tensor, mask: Tensor, capacity: int) -> None:
        """``encoded`` is (batch, source, d), ``mask`` (batch, source) with 1 for tokens.

        ``capacity`` is how many tokens a row will have; where it is too small the cache grows.
        """
        self.decoder = decoder
        rows, source = mask.shape
        self.source_mask = torch.zeros(
            (rows, 1, 1, source), dtype=encoded.dtype, device=mask.device
        )
        self.source_mask.masked_fill_(mask[:, None, None] == 0, torch.finfo(encoded.dtype).min)
        self.cross = []
        self.cache = []
        for block in decoder.block:
            attention = block.layer[1].EncDecAttention
            self.cross.append(
                (_heads(attention, attention.k(encoded)), _heads(attention, attention.v(encoded)))
            )
            attention = block.layer[0].SelfAttention
            shape = (rows, capacity, attention.k.out_features)
            self.cache.append((encoded.new_zeros(shape), encoded.new_zeros(shape)))
        self._measure()

    def forward(self, tokens: Tensor, position: Tensor, packing: Packing) -> Tensor:
        """Feed N tokens: their states, (N, d).

        Args:
            tokens: (N,) ids.
            position: (N,) of each token in its row; those of a row follow one another and all
                before them have been fed.
            packing: which row and slot (0 for a row's first new token) each one has.
        """
        self._reserve(int(position.max()) + 1)
        x = self.decoder.embed_tokens(packing.spread(tokens))
        distance = self._distances(position, packing)
        row, bias = packing.row, None
        length = distance.shape[-1]
        for block, biases, cross, (keys, values) in zip(
            self.decoder.block, self.biases, self.cross, self.cache, strict=True
        ):
            layer, attention = block.layer[0], block.layer[0].SelfAttention
            if biases is not None:  # else the bias of the layer before is shared
                bias = biases[:, distance].transpose(0, 1)
            y = layer.layer_norm(x)
            keys[row, position] = packing.gather(attention.k(y))
            values[row, position] = packing.gather(attention.v(y))
            past_keys = _heads(attention, keys[:, :length])
            past_values = _heads(attention, values[:, :length])
            x = x + _attend(attention, y, past_keys, past_values, bias, packing)
            layer = block.layer[1]
            y = layer.layer_norm(x)
            x = x + _attend(layer.EncDecAttention, y, *cross, self.source_mask, packing)
            x = block.layer[-1](x)
        return packing.gather(self.decoder.final_layer_norm(x))

    def _distances(self, position: Tensor, packing: Packing) -> Tensor:
        """(rows or 1, width, length): how far each token lies behind a slot; ahead: capacity."""
        device = position.device
        first = torch.zeros(packing.rows, dtype=torch.long, device=device)
        first[packing.row] = position - packing.slot
        if (first == first[0]).all():
            first = first[:1]
        length = int(position.max()) + 1
        at = first[:, None] + torch.arange(packing.width, device=device)
        distance = at[..., None] - torch.arange(length, device=device)
        return torch.where(distance < 0, self.capacity, distance.clamp_(max=self.capacity - 1))

    def keep(self, rows: Tensor) -> None:
        """Go on with ``rows`` (indices) alone."""
        self.source_mask = self.source_mask[rows]
        self.cross = [(keys[rows], values[rows]) for keys, values in self.cross]
        self.cache = [(keys[rows], values[rows]) for keys, values in self.cache]

    def _reserve(self, length: int) -> None:
        more = max(length, 2 * self.capacity) - self.capacity
        if length > self.capacity:
            self.cache = [
                (F.pad(keys, (0, 0, 0, more)), F.pad(values, (0, 0, 0, more)))
                for keys, values in self.cache
            ]
            self._measure()

    def _measure(self) -> None:
        """Tables of the relative position bias by distance, (heads, capacity + 1) a layer.

        The last entry, for what lies ahead, is as good as minus infinity.
        """
        self.capacity = self.cache[0][0].shape[1]
        self.biases: list[Tensor | None] = []
        for block in self.decoder.block:
            attention = block.layer[0].SelfAttention
            if not attention.has_relative_attention_bias:
                self.biases.append(None)
                continue
            # The last query of a full square sees all distances, the largest first.
            bias = attention.compute_bias(self.capacity, self.capacity)[0, :, -1].flip(1)
            self.biases.append(F.pad(bias, (0, 1), value=torch.finfo(bias.dtype).min))


def _heads(attention: Any, x: Tensor) -> Tensor:
    """(batch, n, heads * width) as (batch, heads, n, width), without a copy."""
    return x.unflatten(-1, (-1, attention.key_value_proj_dim)).transpose(1, 2)


def _attend(
    attention: Any, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None, packing: Packing
) -> Tensor:
    """What ``attention`` adds to the stream for packed inputs ``x`` (G, m, d)."""
    # T5 does not scale queries.
    queries = _heads(attention, packing.by_row(attention.q(x)))
    y = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=1.0)
    return attention.o(packing.by_group(y.transpose(1, 2).flatten(2)))
