"""Four models as plain PyTorch scripts, to which our training loops are compared.

Each has the same parameters as ours with the same settings, and is written for speed: ids are tensors before training
begins, sequences are packed only where their lengths change the result, attention computes all steps at once, and the
loss is one call. A plain model is made after ours, from which it takes sizes and probabilities of dropout.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

PAD, UNKNOWN = 0, 1
_BOTH = ("forward_layer.", "backward_layer.")


def padded(rows: Sequence[Tensor], chosen: Iterable[int], padding: int = PAD) -> tuple[Tensor, Tensor]:
    """Ids `[B, T]` and lengths `[B]` of the chosen rows."""
    batch = [rows[i] for i in chosen]
    return pad_sequence(batch, batch_first=True, padding_value=padding), torch.tensor([len(row) for row in batch])


def packed_scan(lstm: nn.LSTM, x: Tensor, lengths: Tensor, padding: float = 0.0) -> tuple[Tensor, Tensor]:
    """Outputs `[B, T, 2H]` and final hidden states `[2, B, H]` of a bidirectional LSTM."""
    packed, (h, _) = lstm(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    return pad_packed_sequence(packed, batch_first=True, padding_value=padding)[0], h


class PlainModel(nn.Module):
    """A model whose `loss` of a batch is the mean over its items."""

    names: ClassVar[dict[str, str]]  # part of this model → the same part of ours

    def loss(self, batch: Any) -> Tensor:
        raise NotImplementedError

    def our_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of this model, by the names that they have in ours."""
        return {self._our_name(name): weight for name, weight in weights.items()}

    def _our_name(self, name: str) -> str:
        part, _, weight = name.rpartition(".")
        module = self.get_submodule(part)
        prefix = self.names[part or weight]
        if not part:
            return prefix
        if not isinstance(module, nn.LSTM):
            return f"{prefix}.{weight}"
        kind, _, rest = weight.rpartition("_l")
        index, _, reverse = rest.partition("_")
        stacked = f"layers.{2 * int(index)}." if module.num_layers > 1 else ""  # between two layers, ours has a Dropout
        direction = _BOTH[bool(reverse)] if module.bidirectional else ""
        return f"{prefix}.{stacked}{direction}{kind}"


def _lstm(cell: Any, *, layers: int = 1, dropout: float = 0.0, bidirectional: bool = False) -> nn.LSTM:
    """An `nn.LSTM` of the sizes of ours."""
    return nn.LSTM(
        *(cell.input_size, cell.hidden_size, layers),
        batch_first=True,
        dropout=dropout if layers > 1 else 0.0,
        bidirectional=bidirectional,
    )


class PlainClassifier(PlainModel):
    """Word embeddings, a bidirectional LSTM, max pooling over time, a linear head."""

    names: ClassVar = {"embedding": "embedding", "lstm": "layer", "head": "head"}

    def __init__(self, ours: Any) -> None:
        super().__init__()
        self.dropout, self.unknown = ours.dropout, ours.embedding.word_dropout
        self.embedding = nn.Embedding(*ours.embedding.weight.shape)
        self.lstm = _lstm(ours.layer.forward_layer, bidirectional=True)
        self.head = nn.Linear(*reversed(ours.head.weight.shape))

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Cross-entropy of a batch: ids `[B, T]`, lengths `[B]` and classes `[B]`."""
        ids, lengths, classes = batch
        if self.training:
            ids = ids.masked_fill(torch.rand(ids.shape) < self.unknown, UNKNOWN)
        x = F.dropout(self.embedding(ids), self.dropout, self.training)
        outputs, _ = packed_scan(self.lstm, x, lengths, padding=float("-inf"))
        return F.cross_entropy(self.head(F.dropout(outputs.amax(dim=1), self.dropout, self.training)), classes)


class PlainTagger(PlainModel):
    """Word embeddings beside a bidirectional LSTM over each word's characters, a bidirectional LSTM, a linear head.

    The character LSTM reads each distinct word of the batch once, or every word.
    """

    names: ClassVar = {
        "words": "embedding.words",
        "characters": "embedding.characters",
        "spelling": "embedding.spelling",
        "lstm": "layer",
        "head": "head",
    }

    def __init__(self, ours: Any, *, distinct: bool = True) -> None:
        super().__init__()
        self.distinct, self.dropout, self.unknown = distinct, ours.dropout, ours.embedding.words.word_dropout
        self.words = nn.Embedding(*ours.embedding.words.weight.shape)
        self.characters = nn.Embedding(*ours.embedding.characters.weight.shape)
        self.spelling = _lstm(ours.embedding.spelling.forward_layer, bidirectional=True)
        self.lstm = _lstm(ours.layer.forward_layer, bidirectional=True)
        self.head = nn.Linear(*reversed(ours.head.weight.shape))

    def spell(self, characters: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.characters(characters), lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.spelling(packed)
        return torch.cat([h[0], h[1]], dim=1)

    def loss(self, batch: tuple[Tensor, Tensor, tuple[Tensor, Tensor], Tensor, Tensor]) -> Tensor:
        """Cross-entropy of a batch: word ids `[B, T]`, lengths `[B]`, characters `[U, C]` of the distinct words and
        their lengths `[U]`, which distinct word each of the N tokens is `[N]`, tags `[B, T]` (−100 in padding)."""
        ids, lengths, spellings, spelling_of, tags = batch
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        if self.training:
            ids = ids.masked_fill(torch.rand(ids.shape) < self.unknown, UNKNOWN)
        if self.distinct:
            spelled = self.spell(*spellings)[spelling_of]
        else:
            spelled = self.spell(*(part[spelling_of] for part in spellings))
        placed = spelled.new_zeros(*mask.shape, spelled.shape[1])
        placed[mask] = spelled
        x = F.dropout(torch.cat([self.words(ids), placed], dim=2), self.dropout, self.training)
        outputs, _ = packed_scan(self.lstm, x, lengths)
        scores = self.head(F.dropout(outputs, self.dropout, self.training))
        return F.cross_entropy(scores.flatten(0, 1), tags.flatten(), ignore_index=-100)


class PlainLanguageModel(PlainModel):
    """Character embeddings, LSTMs, scores of the next character; the state is carried across windows."""

    names: ClassVar = {"embedding": "embedding", "lstm": "layer", "head": "head"}

    def __init__(self, ours: Any, layers: int) -> None:
        super().__init__()
        self.dropout, first = ours.dropout, ours.layer.layers[0] if layers > 1 else ours.layer
        self.embedding = nn.Embedding(*ours.embedding.weight.shape)
        self.lstm = _lstm(first, layers=layers, dropout=self.dropout)
        self.head = nn.Linear(*reversed(ours.head.weight.shape))
        self.state: tuple[Tensor, Tensor] | None = None

    def loss(self, batch: tuple[bool, Tensor, Tensor]) -> Tensor:
        """Cross-entropy of a batch: whether it is the first window, ids `[B, T]` and the next ids `[B, T]`."""
        is_first, ids, next_ids = batch
        outputs, state = self.lstm(self.embedding(ids), None if is_first else self.state)
        self.state = (state[0].detach(), state[1].detach())
        scores = self.head(F.dropout(outputs, self.dropout, self.training))
        return F.cross_entropy(scores.flatten(0, 1), next_ids.flatten())


class PlainTranslator(PlainModel):
    """A bidirectional LSTM encoder and an LSTM decoder with attention (Bahdanau et al. 2015) after the decoder.

    One embedding for source, target and output. The decoder is not packed: outputs after the end of a row are ignored.
    """

    names: ClassVar = {
        "embedding": "generator.embedding",
        "encoder": "encoder",
        "bridge": "bridge",
        "decoder": "generator.layer.layer",
        "query_projection": "generator.layer.attention.of_query",
        "memory_projection": "generator.layer.attention.of_memory",
        "score": "generator.layer.attention.score",
        "combine": "generator.layer.combine",
        "bias": "generator.bias",
    }

    def __init__(self, ours: Any) -> None:
        super().__init__()
        generator, attentive = ours.generator, ours.generator.layer
        vocabulary, size = generator.embedding.weight.shape
        hidden = attentive.layer.hidden_size
        self.dropout, self.smoothing = generator.dropout, generator.label_smoothing
        self.embedding = nn.Embedding(vocabulary, size)
        nn.init.normal_(self.embedding.weight, std=size**-0.5)
        self.encoder = _lstm(ours.encoder.forward_layer, bidirectional=True)
        self.bridge = nn.Linear(hidden, 2 * hidden)
        self.decoder = _lstm(attentive.layer)
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
