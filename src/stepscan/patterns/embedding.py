"""Embeddings: from ids to vectors, for whole sequences and for one step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.contract import Layer
from stepscan.dropout_masks import dropout
from stepscan.fields import check_probability
from stepscan.registry import register
from stepscan.sequences import Sequences

# Pretrained vectors get less dropout: on SST-2, with GloVe 50d next to 128 trained dimensions and dropout 0.5, accuracy
# is 83.4 % with dropout 0.2 on the pretrained ones and 82.1 % with 0.5 (80.3 % without them).
_PRETRAINED_DROPOUT_RATIO = 0.4


@register("embedding")
class Embedding(nn.Module):
    """A vector for each symbol of a vocabulary.

    Args:
        vocabulary_size: V.
        size: E, dimensions of a trained vector.
        dropout: probability for the elements of a vector in training; 0.4 times as large for pretrained vectors.
        word_dropout: probability that a symbol is replaced by `unknown` in training, which also trains the vector of
            unknown symbols.
        unknown: id of the unknown symbol.
        embedding_dropout: probability that a symbol is dropped in training, at all its occurrences (Gal & Ghahramani
            2016).
        given: G, dimensions of fixed, pretrained vectors, in `weight_given`, concatenated to the trained ones.
        others: the number of symbols, last in the vocabulary, that are not in the training data; their trained vector
            is that of `unknown`.

    Raises:
        ValueError: a probability is not in [0, 1).
    """

    weight_given: Tensor | None

    def __init__(
        self,
        vocabulary_size: int,
        size: int,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        unknown: int = 1,
        embedding_dropout: float = 0.0,
        given: int = 0,
        others: int = 0,
    ) -> None:
        super().__init__()
        check_probability(dropout=dropout, word_dropout=word_dropout, embedding_dropout=embedding_dropout)
        self.vocabulary_size, self.output_size = vocabulary_size, size + given
        self.dropout, self.word_dropout, self.unknown = dropout, word_dropout, unknown
        self.embedding_dropout = embedding_dropout
        self.weight = nn.Parameter(torch.empty(vocabulary_size - others, size).normal_(std=size**-0.5))
        self.register_buffer("weight_given", torch.zeros(vocabulary_size, given) if given else None)

    @torch.no_grad()
    def rescale(self, deviation: float) -> Embedding:
        """Scales the initial weights in place to this standard deviation, from E^-½, and returns itself.

        Frequent symbols, such as characters, learn faster from 1. The vectors of rare words stay close to their
        initialisation, for which large values are noise; and tied output weights need logits of the hidden state's
        scale.
        """
        self.weight.mul_(deviation * self.weight.shape[1] ** 0.5)
        return self

    def forward(self, inputs: Sequences) -> Sequences:
        """Ids `[B, T]` → vectors `[B, T, E + G]`."""
        return inputs.replace(self.step(inputs.zeroed().data)).zeroed()

    def step(self, ids: Tensor) -> Tensor:
        """Ids `[…]` → vectors `[…, E + G]`."""
        trained = ids if len(self.weight) == self.vocabulary_size else ids.where(ids < len(self.weight), self.unknown)
        if self.training and self.word_dropout:
            replaced = torch.rand(ids.shape, device=ids.device) < self.word_dropout
            trained = torch.where(replaced, self.unknown, trained)
        vectors = [F.embedding(trained, self.weight)]
        if self.weight_given is not None:
            vectors.append(F.embedding(ids, self.weight_given))
        if self.training and self.embedding_dropout:
            mask = dropout(self.weight.new_ones(self.vocabulary_size), self.embedding_dropout)[ids][..., None]
            vectors = [x * mask for x in vectors]
        ratios = (1.0, _PRETRAINED_DROPOUT_RATIO)
        vectors = [dropout(x, ratio * self.dropout, self.training) for x, ratio in zip(vectors, ratios, strict=False)]
        return vectors[0] if self.weight_given is None else torch.cat(vectors, dim=-1)


class WordsWithCharacters(NamedTuple):
    """The input of `WordAndCharacterEmbedding`: words, and the characters of each distinct word."""

    words: Sequences  # [B, T] ids of words
    spellings: tuple[Sequences, ...]  # [U, C] each, ids of the characters of distinct words, grouped by similar lengths
    spelling_index: Tensor  # [B, T], the row of each word in the concatenated `spellings`; 0 in the padding

    def to(self, device: torch.device | str) -> WordsWithCharacters:
        """The same on another device."""
        spellings = tuple(spelling.to(device) for spelling in self.spellings)
        return WordsWithCharacters(self.words.to(device), spellings, self.spelling_index.to(device))


@register("word_and_character_embedding")
class WordAndCharacterEmbedding(nn.Module):
    """A word's vector, concatenated with an encoding of its characters by a recurrent layer (Lample et al. 2016, §4.1).

    Args:
        words: the embedding of words.
        characters: the embedding of characters.
        spelling: a Layer over a word's characters, whose readout encodes the word.
        dropout: probability for the concatenated vector in training.
    """

    def __init__(self, words: Embedding, characters: Embedding, spelling: Layer, dropout: float = 0.0) -> None:
        super().__init__()
        check_probability(dropout=dropout)
        self.words, self.characters, self.spelling, self.dropout = words, characters, spelling, dropout
        self.output_size = words.output_size + spelling.output_size

    def forward(self, inputs: WordsWithCharacters) -> Sequences:
        """Words `[B, T]` → vectors `[B, T, E + S]`."""
        readouts = [self.spelling.readout(self.spelling(self.characters(group))[1]) for group in inputs.spellings]
        encodings = F.embedding(inputs.spelling_index, torch.cat(readouts))
        vectors = torch.cat([self.words(inputs.words).data, encodings], dim=2)
        return inputs.words.replace(dropout(vectors, self.dropout, self.training)).zeroed()
