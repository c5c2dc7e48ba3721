"""Outlines of the embeddings and patterns; see `stepscan.runtime.outline`."""

from __future__ import annotations

from typing import Any

from stepscan.decoding.transitions import EDGE
from stepscan.fields import POOLING, PROBLEM_TYPE, check_noise, check_not_negative, check_probability
from stepscan.runtime.outline import (
    GeneratorOutline,
    InputOutline,
    PatternOutline,
    Tensor,
    Tensors,
    check_causal,
    check_choice,
    check_flag,
    check_inputs,
    check_layer,
    check_size,
    check_widths,
    linear,
    outlines,
    part_tensors,
    shown,
)

_QUANTILES = 13  # that the forecaster's quantile head learns


@outlines("embedding")
def _embedding(
    vocabulary_size: Any,
    size: Any,
    dropout: Any = 0.0,
    word_dropout: Any = 0.0,
    unknown: Any = 1,
    embedding_dropout: Any = 0.0,
    given: Any = 0,
    others: Any = 0,
) -> InputOutline:
    check_size(vocabulary_size=vocabulary_size, size=size)
    check_probability(dropout=dropout, word_dropout=word_dropout, embedding_dropout=embedding_dropout)
    if type(unknown) is not int or unknown < 0:
        raise ValueError(f"unknown: expected the id of a symbol, got {shown(unknown)}")
    if given != 0 or type(given) is not int:
        check_size(given=given)
    last = vocabulary_size - 1 - unknown if given else 0
    if type(others) is not int or not 0 <= others <= max(0, last):
        raise ValueError(f"others: expected a number of given symbols after the unknown one, got {shown(others)}")
    tensors = {"weight": Tensor("F32", (vocabulary_size - others, size))}
    if given:
        tensors["weight_given"] = Tensor("F32", (vocabulary_size, given))
    return InputOutline("embedding", tensors, size + given, {"tokenizer": vocabulary_size})


@outlines("word_and_character_embedding")
def _word_and_character_embedding(words: Any, characters: Any, spelling: Any, dropout: Any = 0.0) -> InputOutline:
    name = "word_and_character_embedding"
    _check_embedding(name, words, characters)
    check_layer(name, spelling)
    check_inputs(name, characters, spelling)
    check_probability(dropout=dropout)
    tensors = part_tensors(words=words, characters=characters, spelling=spelling)
    vocabularies = {**words.vocabularies, "characters": characters.vocabularies["tokenizer"]}
    size = words.output_size + spelling.output_size
    return InputOutline(name, tensors, size, vocabularies, inner=words.widths + characters.widths + spelling.widths)


@outlines("numbers")
def _numbers(size: Any, output_size: Any = None, dropout: Any = 0.0, noise: Any = 0.0) -> InputOutline:
    check_size(size=size, output_size=output_size or size)
    check_probability(dropout=dropout)
    check_noise(noise=noise)
    tensors = {"mean": Tensor("F64", (size,)), "deviation": Tensor("F64", (size,))}
    if output_size:
        tensors |= linear("projection", size, output_size)
    return InputOutline("numbers", tensors, output_size or size, {}, numbers=size)


@outlines("encoder")
def _encoder(
    embedding: Any,
    layer: Any,
    outputs: Any,
    pooling: Any = "last",
    problem_type: Any = "classification",
    dropout: Any = 0.0,
    label_smoothing: Any = 0.0,
) -> PatternOutline:
    tensors = _labelling_tensors("encoder", embedding, layer, outputs, dropout, label_smoothing)
    POOLING.check("pooling", pooling)
    PROBLEM_TYPE.check("problem_type", problem_type)
    size, is_number = layer.output_size, problem_type == "regression"
    if is_number and outputs != 1:
        raise ValueError(f"outputs: expected 1 for regression, got {outputs}")
    if is_number:
        tensors |= {"mean": Tensor("F32", ()), "deviation": Tensor("F32", ())}
    if pooling == "attention":
        tensors |= {**linear("relevance.0", size, size), **linear("relevance.2", size, 1, bias=False)}
    return PatternOutline("encoder", tensors, _vocabularies(embedding), None if is_number else outputs, problem_type)


@outlines("transducer")
def _transducer(
    embedding: Any, layer: Any, outputs: Any, dropout: Any = 0.0, label_smoothing: Any = 0.0
) -> PatternOutline:
    tensors = _labelling_tensors("transducer", embedding, layer, outputs, dropout, label_smoothing)
    return PatternOutline("transducer", tensors, _vocabularies(embedding), outputs)


@outlines("crf_transducer")
def _crf_transducer(
    embedding: Any, layer: Any, outputs: Any, dropout: Any = 0.0, forbidden: Any = ()
) -> PatternOutline:
    tensors = _labelling_tensors("crf_transducer", embedding, layer, outputs, dropout, 0.0)
    _check_forbidden(outputs, forbidden)
    tensors |= {f"crf.{name}": Tensor("F32", (outputs,)) for name in ("start", "end")}
    tensors["crf.transitions"] = Tensor("F32", (outputs, outputs))
    return PatternOutline("crf_transducer", tensors, _vocabularies(embedding), outputs)


@outlines("generator")
def _generator(
    embedding: Any,
    layer: Any,
    initial: Any = "zero",
    tie_weights: Any = False,
    dropout: Any = 0.0,
    label_smoothing: Any = 0.0,
    activation_regularisation: Any = 0.0,
    temporal_activation_regularisation: Any = 0.0,
) -> PatternOutline:
    _check_embedding("generator", embedding)
    check_causal("generator", layer)
    check_inputs("generator", embedding, layer)
    check_choice(("zero", "learned"), initial=initial)
    check_flag(tie_weights=tie_weights)
    check_probability(dropout=dropout, label_smoothing=label_smoothing)
    check_not_negative(
        activation_regularisation=activation_regularisation,
        temporal_activation_regularisation=temporal_activation_regularisation,
    )
    tensors, symbols = part_tensors(embedding=embedding, layer=layer), embedding.vocabularies["tokenizer"]
    size = layer.output_size
    if initial == "learned":
        tensors["start"] = Tensor("F32", (layer.condition_size,))
    if "weight_given" in embedding.tensors:
        raise ValueError("generator: expected an embedding whose vectors are all trained, got given ones")
    if tie_weights and size != embedding.output_size:
        tensors |= linear("projection", size, embedding.output_size)
    tensors |= {"bias": Tensor("F32", (symbols,))} if tie_weights else linear("head", size, symbols)
    check_widths("generator", tensors, embedding, layer)
    parts = GeneratorOutline(embedding, layer, initial == "learned")
    return PatternOutline("generator", tensors, _vocabularies(embedding), generator=parts)


@outlines("forecaster")
def _forecaster(embedding: Any, layer: Any, head: Any = "gaussian", dropout: Any = 0.0) -> PatternOutline:
    if not isinstance(embedding, InputOutline) or not embedding.numbers:
        raise TypeError(f"forecaster: expected an embedding of numbers, got {shown(embedding)}")
    check_causal("forecaster", layer)
    check_inputs("forecaster", embedding, layer)
    check_choice(("gaussian", "quantile"), head=head)
    check_probability(dropout=dropout)
    outputs = embedding.numbers * (2 if head == "gaussian" else _QUANTILES)
    tensors = {**part_tensors(embedding=embedding, layer=layer), **linear("output", layer.output_size, outputs)}
    check_widths("forecaster", tensors, embedding, layer)
    return PatternOutline("forecaster", tensors, {})


@outlines("conditioned_generator")
def _conditioned_generator(embedding: Any, encoder: Any, generator: Any) -> PatternOutline:
    name = "conditioned_generator"
    if not isinstance(generator, PatternOutline) or generator.generator is None:
        raise TypeError(f"{name}: expected a generator, got {shown(generator)}")
    check_layer(name, encoder)
    _check_embedding(name, *([] if embedding is None else [embedding]))
    generator_embedding, layer, learned = generator.generator
    check_inputs(name, embedding or generator_embedding, encoder)
    for memory in layer.memories:
        if memory != encoder.output_size:
            raise ValueError(
                f"generator: expected a memory of the encoder's output size {encoder.output_size}, got {memory}"
            )
    if learned:
        raise ValueError("initial: expected 'zero' for a generator whose initial state an encoder makes, got 'learned'")
    tensors = part_tensors(embedding=embedding, encoder=encoder, generator=generator)
    tensors |= linear("bridge", encoder.output_size, layer.condition_size)
    check_widths(name, tensors, embedding, encoder, generator_embedding, layer)
    source_vocabulary = {} if embedding is None else {"source_tokenizer": embedding.vocabularies["tokenizer"]}
    return PatternOutline(name, tensors, {**generator.vocabularies, **source_vocabulary})


def _labelling_tensors(
    name: str, embedding: Any, layer: Any, outputs: Any, dropout: Any, label_smoothing: Any
) -> Tensors:
    """The tensors of embedding, layer and head, their arguments checked."""
    check_layer(name, layer)
    check_inputs(name, embedding, layer)
    check_size(outputs=outputs)
    check_probability(dropout=dropout, label_smoothing=label_smoothing)
    tensors = {**part_tensors(embedding=embedding, layer=layer), **linear("head", layer.output_size, outputs)}
    check_widths(name, tensors, embedding, layer)
    return tensors


def _vocabularies(embedding: InputOutline | None) -> dict[str, int]:
    return {} if embedding is None else embedding.vocabularies


def _check_embedding(who: str, *parts: Any) -> None:
    for part in parts:
        if not isinstance(part, InputOutline) or part.name != "embedding":
            raise TypeError(f"{who}: expected an embedding, got {shown(part)}")


def _check_forbidden(tags: int, forbidden: Any) -> None:
    """Raise unless all are pairs of tags, and leave a first and a last tag, and one after each: as
    `decoding.transitions.allowed_transitions` does, but without K² of memory."""
    if not isinstance(forbidden, list | tuple):
        raise TypeError(f"forbidden: expected a list of pairs of tags, got {shown(forbidden)}")
    after: dict[int, set[int]] = {}
    for pair in forbidden:
        if not (isinstance(pair, list) and len(pair) == 2 and all(type(tag) is int for tag in pair)):
            raise TypeError(f"forbidden: expected a list of pairs of tags, got {shown(pair)} in it")
        if not (EDGE <= pair[0] < tags and EDGE <= pair[1] < tags and pair != [EDGE, EDGE]):
            raise ValueError(f"forbidden: expected pairs of tags 0 … {tags - 1}, or -1 and a tag, got {pair}")
        key, value = (tags, pair[0]) if pair[1] == EDGE else pair  # `tags` stands for the end
        after.setdefault(key, set()).add(value)
    if any(len(followers) == tags for followers in after.values()):
        raise ValueError(
            "forbidden: expected a first tag, a last tag and a follower of each tag, got all forbidden; allow one"
        )
