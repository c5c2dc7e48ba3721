"""Training the EWT tagger: Stepscan compared with a plain PyTorch script that does the same work.

    python benchmarks/tagger.py en_ewt-ud-train.conllu.gz [--batches 40] [--rounds 7] [--threads 2]

Same sizes, same batches, same optimiser. The plain script uses `nn.Embedding`, and `nn.LSTM` over packed sequences for
words and for characters. It has two variants: the character LSTM runs over every word of the batch, or over each
distinct word once, as in Stepscan. The three alternate in each round; medians and ratios are printed.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

import torch
from loop_timing import OURS, add_options, show, time_loops, train_plain
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from stepscan import Tagger
from stepscan.data.batching import TrainingBatch
from stepscan.data.readers import read_tagged
from stepscan.options import TrainingOptions


class PlainTagger(nn.Module):
    """The tagger as a plain script: packed sequences; the character LSTM runs over every word or each distinct one."""

    def __init__(self, tagger: Tagger, words: int, characters: int, tags: int, distinct: bool) -> None:
        super().__init__()
        self.distinct, self.tagger = distinct, tagger
        self.words = nn.Embedding(words, tagger.embedding_size)
        self.characters = nn.Embedding(characters, tagger.char_embedding_size)
        self.spelling = nn.LSTM(
            tagger.char_embedding_size, tagger.char_hidden_size, bidirectional=True, batch_first=True
        )
        size = tagger.embedding_size + 2 * tagger.char_hidden_size
        self.lstm = nn.LSTM(size, tagger.hidden_size, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * tagger.hidden_size, tags)

    def spell(self, characters: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.characters(characters), lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.spelling(packed)
        return torch.cat([h[0], h[1]], dim=1)

    def loss(self, batch: TrainingBatch) -> Tensor:
        words, spellings, spelling_of = batch.inputs
        mask = words.mask
        ids = words.data
        hidden = torch.rand(ids.shape) < self.tagger.word_dropout
        vectors = self.words(torch.where(hidden, 1, ids))
        if self.distinct:
            spelled = self.spell(spellings.data, spellings.lengths)[spelling_of]
        else:
            indices = spelling_of[mask]
            word_vectors = self.spell(spellings.data[indices], spellings.lengths[indices])
            spelled = word_vectors.new_zeros(*mask.shape, word_vectors.shape[1])
            spelled[mask] = word_vectors
        inputs = F.dropout(torch.cat([vectors, spelled], dim=2), self.tagger.dropout)
        packed = pack_padded_sequence(inputs, words.lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        scores = self.head(F.dropout(outputs, self.tagger.dropout))
        targets = batch.targets.data.masked_fill(~mask, -100)
        return F.cross_entropy(scores.flatten(0, 1), targets.flatten(), ignore_index=-100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    add_options(parser, batches=40, rounds=7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    sentences = read_tagged(arguments.data)
    tagger = Tagger()
    settings: TrainingOptions = tagger._settings()
    tagger.labels_ = sorted({tag for sentence in sentences for tag in sentence.tags})
    token_lists = [sentence.tokens for sentence in sentences]
    tagger.tokenizers_ = tagger._tokenizers(token_lists)
    ours = tagger._model(token_lists, [])
    batches = list(tagger._batches([tuple(s) for s in sentences], settings)(0))[: arguments.batches]
    sizes = (len(tagger.tokenizers_["tokenizer"]), len(tagger.tokenizers_["characters"]), len(tagger.labels_))

    def our_loss(batch: TrainingBatch) -> Tensor:
        loss = ours.loss(batch.inputs, batch.targets)
        return loss.total / loss.items

    models: dict[str, tuple[nn.Module, Callable[[TrainingBatch], Tensor]]] = {OURS: (ours, our_loss)}
    for name, distinct in (("plain, every word", False), ("plain, distinct words", True)):
        plain = PlainTagger(tagger, *sizes, distinct)
        models[name] = (plain, plain.loss)
    loops = {}
    for name, (model, loss) in models.items():
        optimiser = torch.optim.AdamW(model.parameters(), fused=True)
        loops[name] = functools.partial(train_plain, model, optimiser, loss, batches)
    times = time_loops(loops, arguments.rounds)
    tokens = sum(batch.tokens for batch in batches)
    print(f"{len(batches)} batches of {settings.batch_size} sentences, {tokens:,} tokens, {arguments.threads} threads")
    show(times, len(batches), tokens)


if __name__ == "__main__":
    main()
