"""Training the EWT tagger: Stepscan beside a plain PyTorch script that does the same work.

    python benchmarks/tagger.py en_ewt-ud-train.conllu.gz [--batches 40] [--rounds 7] [--threads 2]

Same sizes, same batches, same optimiser. The plain script is what people write: `nn.Embedding`, `nn.LSTM` over packed
sequences for words and for characters. It comes in two strengths: spelling every word of the batch, and spelling each
distinct word once, as Stepscan does. The three take turns, round by round; medians and ratios are printed.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from turns import OURS, add_options, show, take_turns, train_plainly

from stepscan import Tagger
from stepscan.data.batching import TrainingBatch
from stepscan.data.readers import read_tagged
from stepscan.training.settings import TrainingSettings


class PlainTagger(nn.Module):
    """The tagger as a plain script: packed sequences, every word spelled, or each distinct word once."""

    def __init__(self, tagger: Tagger, words: int, characters: int, tags: int, distinct: bool) -> None:
        super().__init__()
        self.distinct, self.tagger = distinct, tagger
        self.words = nn.Embedding(words, tagger.embedding_size)
        self.characters = nn.Embedding(characters, tagger.character_size)
        self.spelling = nn.LSTM(tagger.character_size, tagger.spelling_size, bidirectional=True, batch_first=True)
        size = tagger.embedding_size + 2 * tagger.spelling_size
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
        hidden = torch.rand(ids.shape) < self.tagger.unknown_probability
        vectors = self.words(torch.where(hidden, 1, ids))
        if self.distinct:
            spelled = self.spell(spellings.data, spellings.lengths)[spelling_of]
        else:
            kinds = spelling_of[mask]
            of_words = self.spell(spellings.data[kinds], spellings.lengths[kinds])
            spelled = of_words.new_zeros(*mask.shape, of_words.shape[1])
            spelled[mask] = of_words
        joined = F.dropout(torch.cat([vectors, spelled], dim=2), self.tagger.dropout)
        packed = pack_padded_sequence(joined, words.lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        scores = self.head(F.dropout(outputs, self.tagger.dropout))
        targets = batch.targets.data.masked_fill(~mask, -100)
        return F.cross_entropy(scores.flatten(0, 1), targets.flatten(), ignore_index=-100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    add_options(parser, batches=40, rounds=7)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)

    sentences = read_tagged(given.data)
    tagger = Tagger()
    settings: TrainingSettings = tagger._settings()
    tagger.labels_ = sorted({tag for sentence in sentences for tag in sentence.tags})
    tokens_of = [sentence.tokens for sentence in sentences]
    tagger.tokenizers_ = tagger._tokenizers(tokens_of)
    ours = tagger._model(tokens_of, [])
    batches = list(tagger._batches([tuple(s) for s in sentences], settings)(0))[: given.batches]
    sizes = (len(tagger.tokenizers_["tokenizer"]), len(tagger.tokenizers_["characters"]), len(tagger.labels_))
    rivals: dict[str, tuple[nn.Module, Callable[[TrainingBatch], Tensor]]] = {}
    rivals[OURS] = (ours, lambda b: (lambda found: found.total / found.items)(ours.loss(b.inputs, b.targets)))
    for name, distinct in (("plain, every word spelled", False), ("plain, distinct words spelled", True)):
        plain = PlainTagger(tagger, *sizes, distinct)
        rivals[name] = (plain, plain.loss)
    loops = {}
    for name, (model, loss) in rivals.items():
        optimiser = torch.optim.AdamW(model.parameters(), fused=True)
        loops[name] = functools.partial(train_plainly, model, optimiser, loss, batches)
    times = take_turns(loops, given.rounds)
    tokens = sum(batch.tokens for batch in batches)
    print(f"{given.batches} batches of {settings.batch_size} sentences, {tokens:,} tokens, {given.threads} threads")
    show(times, len(batches), tokens)


if __name__ == "__main__":
    main()
