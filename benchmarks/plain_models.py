"""Three models as plain PyTorch scripts, the baselines of `loops.py`.

Each has the same parameters as our model of the same settings, and is written for speed: ids are tensors before
training starts, sequences are packed only where their lengths change the result, attention computes all steps at once,
and the loss is one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from stepscan import Classifier, LanguageModel, Translator

PAD, UNKNOWN = 0, 1


def padded(rows: Sequence[Tensor], chosen: Iterable[int]) -> tuple[Tensor, Tensor]:
    """Ids `[B, T]` and lengths `[B]` of the chosen rows."""
    batch = [rows[i] for i in chosen]
    return pad_sequence(batch, batch_first=True, padding_value=PAD), torch.tensor([len(row) for row in batch])


def packed_scan(lstm: nn.LSTM, x: Tensor, lengths: Tensor, padding: float = 0.0) -> tuple[Tensor, Tensor]:
    """Outputs `[B, T, 2H]` and final hidden states `[2, B, H]` of a bidirectional LSTM."""
    packed, (h, _) = lstm(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    return pad_packed_sequence(packed, batch_first=True, padding_value=padding)[0], h


class PlainClassifier(nn.Module):
    """Word embeddings, a bidirectional LSTM, max pooling over time, a linear head."""

    def __init__(self, like: Classifier, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.dropout, self.unknown = like.dropout, like.word_dropout
        self.embedding = nn.Embedding(vocabulary, like.embedding_size)
        self.lstm = nn.LSTM(like.embedding_size, like.hidden_size, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * like.hidden_size, classes)

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Cross-entropy of a batch: ids `[B, T]`, lengths `[B]` and classes `[B]`."""
        ids, lengths, classes = batch
        if self.training:
            ids = ids.masked_fill(torch.rand(ids.shape) < self.unknown, UNKNOWN)
        x = F.dropout(self.embedding(ids), self.dropout, self.training)
        outputs, _ = packed_scan(self.lstm, x, lengths, padding=float("-inf"))
        return F.cross_entropy(self.head(F.dropout(outputs.amax(dim=1), self.dropout, self.training)), classes)

    def batches(self, rows: Sequence[Tensor], classes: Tensor, chosen: Iterable[Sequence[int]]) -> Iterator:
        for indices in chosen:
            yield *padded(rows, indices), classes[indices]


class PlainLanguageModel(nn.Module):
    """Character embeddings, an LSTM, scores of the next character; the state is carried across windows."""

    def __init__(self, like: LanguageModel, vocabulary: int) -> None:
        super().__init__()
        self.dropout, self.bptt = like.dropout, like.bptt
        self.embedding = nn.Embedding(vocabulary, like.embedding_size)
        self.lstm = nn.LSTM(like.embedding_size, like.hidden_size, batch_first=True)
        self.head = nn.Linear(like.hidden_size, vocabulary)
        self.state: tuple[Tensor, Tensor] | None = None

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Cross-entropy of a batch: ids `[B, T]` and the next ids `[B, T]`."""
        ids, next_ids = batch
        outputs, state = self.lstm(F.dropout(self.embedding(ids), self.dropout, self.training), self.state)
        self.state = (state[0].detach(), state[1].detach())
        scores = self.head(F.dropout(outputs, self.dropout, self.training))
        return F.cross_entropy(scores.flatten(0, 1), next_ids.flatten())

    def batches(self, ids: Tensor, next_ids: Tensor, count: int) -> Iterator:
        """The first `count` windows of `[B, columns]`."""
        self.state = None
        for t in range(0, count * self.bptt, self.bptt):
            yield ids[:, t : t + self.bptt], next_ids[:, t : t + self.bptt]


class PlainTranslator(nn.Module):
    """A bidirectional LSTM encoder and an LSTM decoder with attention (Bahdanau et al. 2015) after the decoder.

    One embedding for source, target and output. The decoder is not packed: outputs after the end of a row are ignored.
    """

    def __init__(self, like: Translator, vocabulary: int) -> None:
        super().__init__()
        size, hidden = like.embedding_size, like.hidden_size
        self.dropout, self.smoothing = like.dropout, like.label_smoothing
        self.embedding = nn.Embedding(vocabulary, size)
        nn.init.normal_(self.embedding.weight, std=size**-0.5)
        self.encoder = nn.LSTM(size, hidden // 2, bidirectional=True, batch_first=True)
        self.bridge = nn.Linear(hidden, 2 * hidden)
        self.decoder = nn.LSTM(size, hidden, batch_first=True)
        self.query_projection = nn.Linear(hidden, hidden // 2)
        self.memory_projection = nn.Linear(hidden, hidden // 2, bias=False)
        self.score = nn.Linear(hidden // 2, 1, bias=False)
        self.combine = nn.Linear(2 * hidden, hidden)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Cross-entropy of a batch: source ids `[B, S]`, their lengths `[B]`, target ids with `<bos>` `[B, 1 + T]`."""
        source, lengths, target = batch
        memory, final = packed_scan(self.encoder, self.embed(source), lengths)
        start = self.bridge(torch.cat([final[0], final[1]], dim=1)).chunk(2, dim=1)
        hidden, _ = self.decoder(self.embed(target[:, :-1]), tuple(part[None].contiguous() for part in start))
        tanh = torch.tanh(self.query_projection(hidden)[:, :, None] + self.memory_projection(memory)[:, None])
        scores = self.score(tanh)[..., 0].masked_fill((source == PAD)[:, None], float("-inf"))
        context = scores.softmax(dim=2) @ memory
        y = torch.tanh(self.combine(torch.cat([hidden, context], dim=2)))
        scores = F.linear(F.dropout(y, self.dropout, self.training), self.embedding.weight, self.bias)
        smoothing = self.smoothing if self.training else 0.0
        next_ids = target[:, 1:].flatten()
        return F.cross_entropy(scores.flatten(0, 1), next_ids, ignore_index=PAD, label_smoothing=smoothing)

    def embed(self, ids: Tensor) -> Tensor:
        return F.dropout(self.embedding(ids), self.dropout, self.training)

    def batches(
        self, sources: Sequence[Tensor], targets: Sequence[Tensor], chosen: Iterable[Sequence[int]]
    ) -> Iterator:
        for indices in chosen:
            yield *padded(sources, indices), padded(targets, indices)[0]
