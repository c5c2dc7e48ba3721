"""Our default models next to plain PyTorch scripts of the same models, on the same batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from plain_models import PlainClassifier, PlainLanguageModel, PlainModel, PlainTagger, PlainTranslator, padded
from torch import Tensor

from stepscan import Classifier, LanguageModel, Tagger, Translator
from stepscan.data.batching import TrainingBatch, bptt_windows
from stepscan.estimators.fit_run import Stage


class Comparison(NamedTuple):
    """An estimator before training, and the plain script of its model."""

    estimator: Any
    stage: Stage
    plain: PlainModel
    batches: Callable[[int], Iterable[Any]]  # of an epoch: what each batch consists of, such as indices of examples
    our_batch: Callable[[Any], TrainingBatch]
    plain_batch: Callable[[Any], Any]


def classify(examples: Sequence[Any], validation: Any, settings: dict[str, Any]) -> Comparison:
    """Texts and classes."""
    texts, labels = examples
    classifier = Classifier(verbose=False, **settings)
    stage = classifier.first_stage(texts, labels, validation=validation)
    rows = [torch.tensor(ids) for ids in classifier.network_inputs(texts)]
    targets = torch.as_tensor(classifier.problem.targets(labels, classifier.labels_))
    return _bucketed(
        classifier, stage, PlainClassifier(stage.task.model), lambda chosen: (*padded(rows, chosen), targets[chosen])
    )


def tag(examples: Sequence[Any], validation: Any, settings: dict[str, Any], *, distinct: bool = True) -> Comparison:
    """Sentences and their tags."""
    sentences, tags = examples
    tagger = Tagger(verbose=False, **settings)
    stage = tagger.first_stage(sentences, tags, validation=validation)
    ids = [torch.tensor(tagger.tokenizers_["tokenizer"].encode_tokens(list(tokens))) for tokens in sentences]
    numbers = {token: i for i, token in enumerate(dict.fromkeys(itertools.chain(*sentences)))}
    spellings = [torch.tensor(row) for row in tagger.tokenizers_["characters"].encode_batch(list(numbers))]
    spelling_ids = [torch.tensor([numbers[token] for token in tokens]) for tokens in sentences]
    tag_ids = {name: i for i, name in enumerate(tagger.classes_.tolist())}
    targets = [torch.tensor([tag_ids[name] for name in row]) for row in tags]

    def batch(chosen: Sequence[int]) -> tuple[Any, ...]:
        words, lengths = padded(ids, chosen)
        unique, inverse = torch.cat([spelling_ids[i] for i in chosen]).unique(return_inverse=True)
        padded_tags, _ = padded(targets, chosen, padding=-100)
        return words, lengths, padded(spellings, unique.tolist()), inverse, padded_tags

    return _bucketed(tagger, stage, PlainTagger(stage.task.model, distinct=distinct), batch)


def generate(examples: Sequence[str], validation: Any, settings: dict[str, Any]) -> Comparison:
    """A text."""
    (text,) = examples
    language_model = LanguageModel(verbose=False, **settings)
    stage = language_model.first_stage(text, validation=validation)
    chosen = language_model.effective_settings
    ids = torch.tensor(language_model.network_inputs([text])[0])
    windows = bptt_windows(ids.numpy(), stage.settings.batch_size, chosen.bptt)
    ours = list(stage.task.batches(0))

    def batch(index: int) -> tuple[bool, Tensor, Tensor]:
        return index == 0, *windows[index]

    plain = PlainLanguageModel(stage.task.model, chosen.layers)
    return Comparison(language_model, stage, plain, lambda epoch: range(len(windows)), ours.__getitem__, batch)


def translate(examples: Sequence[Any], validation: Any, settings: dict[str, Any]) -> Comparison:
    """Texts and their translations."""
    sources, targets = examples
    translator = Translator(verbose=False, **settings)
    stage = translator.first_stage(sources, targets, validation=validation)
    begin = translator.tokenizers_["tokenizer"].begin
    source_ids = [torch.tensor(ids) for ids in translator.network_inputs(sources)]
    target_ids = [torch.tensor([begin, *ids]) for ids in translator.network_inputs(targets)]

    def batch(chosen: Sequence[int]) -> tuple[Any, ...]:
        return *padded(source_ids, chosen), padded(target_ids, chosen)[0]

    return _bucketed(translator, stage, PlainTranslator(stage.task.model), batch)


TASKS = {function.__name__: function for function in (classify, tag, generate, translate)}


def _bucketed(estimator: Any, stage: Stage, plain: PlainModel, batch: Callable[[Any], Any]) -> Comparison:
    buckets: Any = stage.task.batches
    return Comparison(estimator, stage, plain, buckets.indices, buckets.collate, batch)


def plain_epochs(comparison: Comparison) -> Iterator[Any]:
    """The plain script's batches, one epoch after the other."""
    for epoch in itertools.count():
        yield from map(comparison.plain_batch, comparison.batches(epoch))
