"""Constrained greedy decoding: always a valid answer, one tag for every word, with its score.

Exact, one token at a time: at every step only the tokens that the grammar allows are scored
(rows of the output embedding, never the whole vocabulary) and the best one is taken. A token
that leaves no choice (a sentinel, the rest of a label) has probability 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from hyperloader.codec.collate import Batch, EncodedWindow, collate
from hyperloader.codec.grammar import Grammar
from hyperloader.codec.sentt import SentTCodec
from hyperloader.codec.windows import stitch
from hyperloader.modeling import active
from hyperloader.modeling.model import TaggingModel
from hyperloader.tags import INSIDE, OUTSIDE
from hyperloader.types import Span


@dataclass(frozen=True, slots=True)
class DecodedWindow:
    """Spans of one window, counted from its first word. A span's score is the product of the
    probabilities of its words' tags, each renormalised over the tags that the grammar allows."""

    spans: list[Span]


class Decoder:
    """Tags windows with a model; reusable, and made anew when the label sets change."""

    def __init__(self, model: TaggingModel, codec: SentTCodec) -> None:
        self.model, self.codec = model, codec
        self.grammar = Grammar(codec.tag_ids)
        self.sentinels = torch.tensor(codec.pieces.sentinels)

    def decode(
        self, windows: Sequence[EncodedWindow], *, batch_size: int = 64
    ) -> list[DecodedWindow]:
        """Decode ``windows`` in their order, batched by task and length."""
        order = sorted(
            range(len(windows)), key=lambda i: (windows[i].task, windows[i].words, i), reverse=True
        )
        results: list[DecodedWindow | None] = [None] * len(windows)
        start = 0
        while start < len(order):
            # One task a batch: its weights are then shared by all rows.
            task = windows[order[start]].task
            chosen = [i for i in order[start : start + batch_size] if windows[i].task == task]
            start += len(chosen)
            batch = collate([windows[i] for i in chosen], self.codec.pieces.pad)
            for i, decoded in zip(chosen, self.decode_batch(batch), strict=True):
                results[i] = decoded
        return [result for result in results if result is not None]

    @torch.no_grad()
    def decode_batch(self, batch: Batch) -> list[DecodedWindow]:
        """Decode one batch; rows may have different tasks."""
        training = self.model.training
        self.model.eval()
        try:
            tags, scores = self._run(batch)
        finally:
            self.model.train(training)
        tasks = batch.tasks * len(batch.words) if len(batch.tasks) == 1 else batch.tasks
        return [
            DecodedWindow(_spans([self.grammar.tags[task][t] for t in row[:words]], score))
            for task, row, score, words in zip(
                tasks, tags.tolist(), scores.tolist(), batch.words, strict=True
            )
        ]

    def _run(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Tag numbers and probabilities of every word, both (batch, words)."""
        device = self.model.device
        grammar, sentinels = self.grammar.to(device), self.sentinels.to(device)
        rows = len(batch.words)
        words = torch.tensor(batch.words, device=device)
        tasks = batch.tasks * rows if len(batch.tasks) == 1 else batch.tasks
        root = torch.tensor([grammar.roots[task] for task in tasks], device=device)
        outside = torch.tensor([grammar.tags[task].index(OUTSIDE) for task in tasks], device=device)
        tags = outside[:, None].repeat(1, max(1, int(words.max())))
        scores = torch.ones(tags.shape, device=device)
        node, word = root.clone(), torch.zeros_like(root)
        opened = torch.zeros(rows, dtype=torch.bool, device=device)
        done = words == 0
        backbone = self.model.backbone
        mask = batch.attention_mask.to(device)
        output = backbone.lm_head.weight
        tag_rows = output[grammar.tokens]
        row = torch.arange(rows, device=device)
        with active.use(self.model.cached_weights(self.model.task_ids(batch.tasks))):
            encoded = backbone.encoder(
                input_ids=batch.input_ids.to(device), attention_mask=mask
            ).last_hidden_state
            cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
            start = torch.full((rows, 1), backbone.config.decoder_start_token_id, device=device)
            feed = torch.cat([start, sentinels[:1].expand(rows, 1)], dim=1)
            while not bool(done.all()):
                hidden = backbone.decoder(
                    input_ids=feed,
                    encoder_hidden_states=encoded,
                    encoder_attention_mask=mask,
                    past_key_values=cache,
                    use_cache=True,
                ).last_hidden_state[:, -1]
                hidden = hidden * self.model.output_scale
                # The tag may end here (its sentinel competes) or go on with one of the tokens.
                closing = sentinels[(word + 1).clamp(max=len(sentinels) - 1)]
                logits = (hidden @ tag_rows.T).float()
                logits.masked_fill_(~grammar.allowed(node, opened), -torch.inf)
                end = (hidden * output[closing]).sum(-1).float()
                end = end.masked_fill(~grammar.can_end(node, opened), -torch.inf)
                logits = torch.cat([logits, end[:, None]], dim=1)
                choice = logits.argmax(-1)
                probability = logits.softmax(-1)[row, choice]
                ends = choice == len(grammar.tokens)
                live = ~done
                at = (row[live], word[live].clamp(max=tags.shape[1] - 1))
                scores[at] *= probability[live]
                ended = live & ends
                tags[row[ended], word[ended]] = grammar.tag[node[ended]]
                opened = torch.where(ended, grammar.tag[node] != outside, opened)
                word = word + ended
                done |= word >= words
                token = torch.where(
                    ends, closing, grammar.tokens[choice.clamp(max=len(grammar.tokens) - 1)]
                )
                step = grammar.next_node[node, choice.clamp(max=len(grammar.tokens) - 1)]
                node = torch.where(ends, root, step)
                node = torch.where(done, root, node)
                feed = token[:, None]
        return tags, scores


def tag_words(
    decoder: Decoder, sentences: Sequence[Sequence[EncodedWindow]], batch_size: int = 64
) -> list[list[Span]]:
    """Spans of whole sentences, each given as its windows."""
    windows = [window for parts in sentences for window in parts]
    decoded = iter(decoder.decode(windows, batch_size=batch_size))
    return [
        stitch([part.window for part in parts], [next(decoded).spans for _ in parts])
        for parts in sentences
    ]


def _spans(tags: Sequence[str], scores: Sequence[float]) -> list[Span]:
    spans: list[Span] = []
    for i, tag in enumerate(tags):
        if tag == INSIDE and spans:
            last = spans[-1]
            spans[-1] = Span(last.start, i + 1, last.label, (last.score or 0.0) * scores[i])
        elif tag != OUTSIDE:
            spans.append(Span(i, i + 1, tag, scores[i]))
    return spans
