"""Outlines of the combinators, and of what attends; see `stepscan.runtime.outline`."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from stepscan.fields import check_probability
from stepscan.runtime.cell_outlines import check_heads, norm
from stepscan.runtime.outline import (
    LayerOutline,
    Tensors,
    check_causal,
    check_choice,
    check_flag,
    check_layer,
    check_size,
    linear,
    outlines,
    part_tensors,
    shown,
    within,
)


@outlines("linear")
def _linear(input_size: Any, output_size: Any) -> LayerOutline:
    check_size(input_size=input_size, output_size=output_size)
    return LayerOutline("linear", linear("projection", input_size, output_size), input_size, output_size)


@outlines("layer_norm")
def _layer_norm(size: Any) -> LayerOutline:
    check_size(size=size)
    return LayerOutline("layer_norm", norm("norm", size), size, size)


@outlines("dropout")
def _dropout(size: Any, p: Any) -> LayerOutline:
    check_size(size=size)
    check_probability(p=p)
    return LayerOutline("dropout", {}, size, size)


@outlines("variational_dropout")
def _variational_dropout(size: Any, p: Any) -> LayerOutline:
    check_size(size=size)
    check_probability(p=p)
    return LayerOutline("variational_dropout", {}, size, size)


@outlines("stack")
def _stack(layers: Any) -> LayerOutline:
    if not isinstance(layers, list) or not layers:
        raise ValueError(f"stack: expected a list of at least one layer, got {shown(layers)}")
    check_layer("stack", *layers)
    for below, above in pairwise(layers):
        if below.output_size != above.input_size:
            raise ValueError(f"stack: expected layers of matching sizes, got {below.described} below {above.described}")
    return LayerOutline(
        "stack",
        {name: one for n, layer in enumerate(layers) for name, one in within(f"layers.{n}", layer.tensors).items()},
        layers[0].input_size,
        layers[-1].output_size,
        causal=all(layer.causal for layer in layers),
        condition_size=sum(layer.condition_size for layer in layers),
        memories=tuple(memory for layer in layers for memory in layer.memories),
        caches=any(layer.caches for layer in layers),
        inner=sum(layer.widths for layer in layers),
    )


@outlines("bidirectional")
def _bidirectional(forward: Any, backward: Any) -> LayerOutline:
    check_layer("bidirectional", forward, backward)
    if forward.input_size != backward.input_size:
        raise ValueError(
            f"bidirectional: expected two layers of equal input size, got {forward.described} and {backward.described}"
        )
    tensors = part_tensors(forward_layer=forward, backward_layer=backward)
    output_size = forward.output_size + backward.output_size
    memories = forward.memories + backward.memories
    inner = forward.widths + backward.widths
    return LayerOutline(
        "bidirectional", tensors, forward.input_size, output_size, causal=False, memories=memories, inner=inner
    )


@outlines("residual")
def _residual(layer: Any) -> LayerOutline:
    check_layer("residual", layer)
    if layer.input_size != layer.output_size:
        raise ValueError(f"residual: expected a layer of equal input and output size, got {layer.described}")
    return _around("residual", layer)


@outlines("zoneout")
def _zoneout(layer: Any, p: Any) -> LayerOutline:
    check_causal("zoneout", layer)
    check_probability(p=p)
    if layer.caches:
        raise ValueError(f"zoneout: expected a layer whose state is a hidden state alone, got {layer.described}")
    return _around("zoneout", layer)


@outlines("weight_drop")
def _weight_drop(layer: Any, p: Any, name: Any = "weight_hh") -> LayerOutline:
    check_causal("weight_drop", layer)
    check_probability(p=p)
    if name not in {full.split(".")[-1] for full in layer.tensors}:
        raise ValueError(f"weight_drop: expected a layer with weights {shown(name)}, got {layer.described}")
    return _around("weight_drop", layer)


@outlines("attentive_decoder")
def _attentive_decoder(
    layer: Any, memory_size: Any, attention_size: Any, input_feeding: Any = False, kind: Any = "additive"
) -> LayerOutline:
    check_causal("attentive_decoder", layer)
    check_size(memory_size=memory_size, attention_size=attention_size)
    check_flag(input_feeding=input_feeding)
    check_choice(("additive", "dot", "general"), attention=kind)
    size = layer.output_size
    input_size = layer.input_size - (size if input_feeding else 0)
    check_size(input_size=input_size)
    if kind == "dot" and size != memory_size:
        raise ValueError(f"dot attention: expected a memory of the layer's output size {size}, got {memory_size}")
    return LayerOutline(
        "attentive_decoder",
        {
            **part_tensors(layer=layer),
            **_attention(kind, size, memory_size, attention_size),
            **linear("combine", size + memory_size, size),
        },
        input_size,
        size,
        condition_size=layer.condition_size,
        memories=(memory_size, *layer.memories),
        caches=True,
        inner=layer.widths + memory_size + attention_size,
    )


@outlines("cross_attention")
def _cross_attention(size: Any, memory_size: Any, heads: Any = 0, dropout: Any = 0.0) -> LayerOutline:
    check_size(size=size, memory_size=memory_size)
    check_probability(dropout=dropout)
    check_heads(size, heads)
    tensors = {
        **norm("norm", size),
        **linear("of_query", size, size),
        **linear("of_memory", memory_size, 2 * size),
        **linear("output", size, size),
    }
    return LayerOutline("cross_attention", tensors, size, size, memories=(memory_size,), caches=True)


def _around(name: str, layer: LayerOutline) -> LayerOutline:
    """What a combinator around one layer is, if it changes nothing but how that runs."""
    return replace(layer, name=name, tensors=part_tensors(layer=layer), inner=layer.widths)


def _attention(kind: str, query_size: int, memory_size: int, size: int) -> Tensors:
    if kind == "dot":
        return {}
    if kind == "general":
        return linear("attention.of_memory", memory_size, query_size, bias=False)
    return {
        **linear("attention.of_query", query_size, size),
        **linear("attention.of_memory", memory_size, size, bias=False),
        **linear("attention.score", size, 1, bias=False),
    }
