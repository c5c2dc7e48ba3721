"""Embeddings: from ids to vectors, for whole sequences and for one step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stepscan.definitions import embeddings as definitions
from stepscan.dropout_masks import dropout
from stepscan.modules import Module
from stepscan.registry import register

# Pretrained vectors get less dropout: on SST-2, with GloVe 50d next to 128 trained dimensions and dropout 0.5, accuracy
# is 83.4 % with dropout 0.2 on the pretrained ones and 82.1 % with 0.5 (80.3 % without them).
_PRETRAINED_DROPOUT_RATIO = 0.4


@register("embedding")
class Embedding(definitions.Embedding, Module):
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
        ValueError: an argument is out of range.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        nn.init.normal_(self.weight, std=self.size**-0.5)

    @torch.no_grad()
    def rescale(self, deviation: float) -> Embedding:
        """Scales the initial weights in place to this standard deviation, from E^-½, and returns itself.

        Frequent symbols, such as characters, learn faster from 1. The vectors of rare words stay close to their
        initialisation, for which large values are noise; and tied output weights need logits of the hidden state's
        scale.
        """
        self.weight.mul_(deviation * self.weight.shape[1] ** 0.5)
        return self

    def step(self, ids: Tensor) -> Tensor:
        """Ids `[…]` → vectors `[…, E + G]`, with noise in training."""
        replaced = ids
        if self.training and self.word_dropout:
            is_replaced = torch.rand(ids.shape, device=ids.device) < self.word_dropout
            replaced = torch.where(is_replaced, self.unknown, ids)
        vectors = self.lookup(ids, replaced)
        if self.training and self.embedding_dropout:
            mask = dropout(self.weight.new_ones(self.vocabulary_size), self.embedding_dropout)[ids][..., None]
            vectors = [x * mask for x in vectors]
        rates = (self.dropout, _PRETRAINED_DROPOUT_RATIO * self.dropout)
        return self.join([self.apply_dropout(x, rate) for x, rate in zip(vectors, rates, strict=False)])


@register("word_and_character_embedding")
class WordAndCharacterEmbedding(definitions.WordAndCharacterEmbedding, Module):
    """A word's vector, concatenated with an encoding of its characters by a recurrent layer (Lample et al. 2016, §4.1).

    Args:
        words: the embedding of words.
        characters: the embedding of characters.
        spelling: a Layer over a word's characters, whose readout encodes the word.
        dropout: probability for the concatenated vector in training.
    """
