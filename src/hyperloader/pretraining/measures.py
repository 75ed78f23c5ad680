"""The loss of a denoising batch, and how well the decoder aligns with the source by sentinel."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from hyperloader.pretraining.batches import Corruption, DenoisingBatch, held_out_pairs
from hyperloader.pretraining.distillation import Distiller, Lesson
from hyperloader.pretraining.objectives import Symbols
from hyperloader.pretraining.prepared import Prepared
from hyperloader.pretraining.recipe import Objective

_ROWS = 16
_MEASURED: tuple[Objective, ...] = ("spans", "words", "copy")


class Denoiser(nn.Module):
    """A backbone with its loss, so that the loss is computed inside of what is distributed.

    Args:
        vocabulary: ``full`` tells each target token from the whole vocabulary, ``batch`` from the
            tokens that occur in the batch, a tenth of it or less. Measures always take all.
        distiller: tells what is lost of a teacher's lesson.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        pad: int,
        vocabulary: str = "full",
        distiller: Distiller | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.pad, self.vocabulary = backbone, pad, vocabulary
        self.distiller = distiller

    def forward(self, source: Tensor, target: Tensor, lesson: Lesson | None = None) -> Tensor:
        """Cross-entropy summed over the tokens of ``target`` (rows, length) that are no padding.

        With a distiller (2): that, and its loss summed over the words of ``lesson``.
        """
        output, ids = self.backbone.get_output_embeddings().weight, target
        if self.vocabulary == "batch":
            present = torch.unique(torch.cat([source.flatten(), target.flatten()]))
            output, ids = output[present], torch.searchsorted(present, target)
        asked = target.ne(self.pad)
        hidden = self.encode(source, every=lesson is not None)
        logits = self.states(source, target, hidden[-1])[asked] @ output.T
        loss = F.cross_entropy(logits.float(), ids[asked], reduction="sum")
        if self.distiller is None:
            return loss
        if lesson is not None:
            taught = self.distiller(hidden, source, lesson)
        else:  # processes exchange the gradients of all parameters
            taught = torch.stack([p.sum() * 0.0 for p in self.distiller.parameters()]).sum()
        return torch.stack([loss, taught])

    def encode(self, source: Tensor, *, every: bool = False) -> tuple[Tensor, ...]:
        """The encoder's states (rows, length, d), the normalised last ones at the end; with
        ``every`` those before the first layer and after each of the others before them."""
        found = self.backbone.encoder(
            input_ids=source,
            attention_mask=source.ne(self.pad).long(),
            output_hidden_states=every,
        )
        return (*(found.hidden_states[:-1] if every else ()), found.last_hidden_state)

    def states(self, source: Tensor, target: Tensor, encoded: Tensor | None = None) -> Tensor:
        """What the output embedding is multiplied with (rows, length, d), for every target token,
        given those before it."""
        config, mask = self.backbone.config, source.ne(self.pad).long()
        start = torch.full_like(target[:, :1], config.decoder_start_token_id)
        states = self.backbone.decoder(
            input_ids=torch.cat([start, target[:, :-1]], 1),
            encoder_hidden_states=self.encode(source)[-1] if encoded is None else encoded,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        # T5 1.0 and whatever is made here scale, T5 1.1 does not.
        scaled = getattr(config, "scale_decoder_outputs", config.tie_word_embeddings)
        return states * (config.d_model**-0.5 if scaled else 1.0)

    def logits(self, source: Tensor, target: Tensor) -> Tensor:
        """Scores (rows, length, vocabulary) of every target token, given those before it."""
        return self.states(source, target) @ self.backbone.get_output_embeddings().weight.T


class HeldOut:
    """Measures a backbone on text that is never trained on.

    ``NAME_loss`` is the mean cross-entropy a target token (nats) of each objective of the mix, of
    span corruption and of ``words``; ``loss`` their mean, weighted by the mix. ``hidden_words``
    says how often the decoder, at a sentinel, knows whether the next word is hidden (the mean of
    the hit rates of hidden and visible words: 0.5 is chance); ``copy`` how often it begins to
    write the word that stands at this sentinel, the words being in random order.
    """

    def __init__(self, prepared: Prepared, corruption: Corruption, sequences: int) -> None:
        self.symbols, self.mix = corruption.symbols, corruption.section.mix
        self.batches: dict[Objective, list[DenoisingBatch]] = {}
        for objective in dict.fromkeys([*_MEASURED, *self.mix]):
            pairs = held_out_pairs(prepared, corruption, objective, sequences)
            self.batches[objective] = [
                corruption.batch(objective, pairs[start : start + _ROWS])
                for start in range(0, len(pairs), _ROWS)
            ]

    @torch.no_grad()
    def __call__(self, denoiser: Denoiser) -> dict[str, float]:
        """All measures of ``denoiser``, which is left in evaluation mode."""
        denoiser.eval()
        measured = {name: self._measure(denoiser, rows) for name, rows in self.batches.items()}
        losses = {name: loss for name, (loss, _, _) in measured.items()}
        shown = {
            f"{name}_loss": losses[name]
            for name in losses
            if name in {"spans", "words"} or self.mix.get(name)
        }
        _, gold, given = measured["words"]
        _, copied, copy = measured["copy"]
        outside = self.symbols.outside[0]
        visible = gold == outside
        right = (given == outside) == visible
        return {
            "loss": sum(share * losses[name] for name, share in self.mix.items())
            / sum(self.mix.values()),
            **shown,
            "hidden_words": (_mean(right[visible]) + _mean(right[~visible])) / 2,
            "copy": _mean(copy == copied),
        }

    def _measure(
        self, denoiser: Denoiser, batches: Sequence[DenoisingBatch]
    ) -> tuple[float, Tensor, Tensor]:
        """Mean loss a token, and the :func:`decisions` of all batches."""
        total, count = 0.0, 0
        found = []
        for batch in batches:
            source, target = tensors(batch, denoiser.backbone.device)
            logits = denoiser.logits(source, target).float()
            total += float(
                F.cross_entropy(
                    logits.flatten(0, 1),
                    target.flatten(),
                    ignore_index=denoiser.pad,
                    reduction="sum",
                )
            )
            count += int(target.ne(denoiser.pad).sum())
            found.append(decisions(logits.argmax(-1), target, self.symbols))
        gold, given = (torch.cat(parts) for parts in zip(*found, strict=True))
        return total / count, gold, given


def decisions(best: Tensor, target: Tensor, symbols: Symbols) -> tuple[Tensor, Tensor]:
    """What follows each sentinel of ``target`` and what of ``best`` stands there.

    Args:
        best: (rows, length), the likeliest token at each place of ``target``.

    Returns:
        gold and given ids, flat; the last sentinel of a row, which the end follows, is left out.
    """
    sentinels = torch.as_tensor(symbols.sentinels, device=target.device)
    after = torch.isin(target[:, :-1], sentinels) & target[:, 1:].ne(symbols.eos)
    return target[:, 1:][after], best[:, 1:][after]


def tensors(batch: DenoisingBatch, device: Any) -> tuple[Tensor, Tensor]:
    """Source and target on ``device``."""
    return torch.from_numpy(batch.source).to(device), torch.from_numpy(batch.target).to(device)


def _mean(values: Tensor) -> float:
    return float(values.float().mean()) if values.numel() else float("nan")
