"""Generation with a transformer of four blocks: ours next to CTranslate2's on the same random weights, by turns.

    pip install ctranslate2
    python benchmarks/transformer_generation.py [--length 256] [--rounds 9] [--sessions 1000]

A character model with 75 symbols, 4 blocks of 256 and 8 heads writes greedily on one thread, in float32 and in int8.
First it is checked that both write the same text in float32. Last, sessions are opened, each reads 100 symbols, and the
memory of one is printed.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import string
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from loop_timing import time_loops

LAYERS, SIZE, HEADS = 4, 256, 8
SYMBOLS = string.ascii_letters + string.digits + " .,;:!?'\n"


def our_model(folder: Path) -> None:
    """Write the folder of a model with random weights."""
    import stepscan as ss

    text = "".join(random.Random(0).choices(SYMBOLS, k=20_000))
    ss.LanguageModel(cell="transformer", layers=LAYERS, hidden_size=SIZE, embedding_size=SIZE).build(text).save(folder)


def convert(folder: Path, target: Path, quantization: str | None, begin_id: int) -> None:
    """Write the CTranslate2 model with the weights of a model folder; a text begins with the symbol `begin_id`."""
    from ctranslate2.specs import common_spec, transformer_spec
    from safetensors.numpy import load_file

    tensors = load_file(folder / "model.safetensors")
    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        LAYERS, HEADS, activation=common_spec.Activation.GELU, rotary_dim=0, rotary_interleave=False
    )
    decoder = spec.decoder
    decoder.embeddings.weight = tensors["embedding.weight"]
    decoder.scale_embeddings = False

    def set_linear(part: Any, name: str) -> None:
        part.weight, part.bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]

    def set_norm(part: Any, name: str) -> None:
        part.gamma, part.beta = tensors[f"{name}.weight"], tensors[f"{name}.bias"]

    for index, layer in enumerate(decoder.layer):
        name = f"layer.layers.{index}"
        set_norm(layer.self_attention.layer_norm, f"{name}.attention_norm")
        set_linear(layer.self_attention.linear[0], f"{name}.projection")
        set_linear(layer.self_attention.linear[1], f"{name}.output")
        set_norm(layer.ffn.layer_norm, f"{name}.forward_norm")
        set_linear(layer.ffn.linear_0, f"{name}.up")
        set_linear(layer.ffn.linear_1, f"{name}.down")
    set_norm(decoder.layer_norm, f"layer.layers.{LAYERS}.norm")
    set_linear(decoder.projection, "head")
    spec.register_vocabulary([f"<{number}>" for number in range(len(tensors["head.bias"]))])
    spec.config.bos_token = spec.config.unk_token = f"<{begin_id}>"
    spec.validate()
    spec.optimize(quantization=quantization)
    target.mkdir()
    spec.save(str(target))


def their_text(generator: Any, model: Any, options: dict[str, Any]) -> str:
    """The most probable symbols that CTranslate2 writes."""
    never = [[f"<{number}>"] for number in model.excluded_ids((), ())]
    [result] = generator.generate_batch(
        [[f"<{model.begin_id}>"]], suppress_sequences=never, include_prompt_in_result=False, end_token=[], **options
    )
    return str(model.decode(result.sequences_ids[0]))


def session_bytes(model: Any, count: int) -> float:
    """Resident bytes of a session that has read 100 symbols."""
    before, text = resident_bytes(), SYMBOLS[:50] * 2
    sessions = [model.session() for _ in range(count)]
    for session in sessions:
        session.push(text)
    return (resident_bytes() - before) / count


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=256, help="symbols per text")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sessions", type=int, default=1000)
    arguments = parser.parse_args()
    import ctranslate2

    from stepscan import runtime

    options: dict[str, Any] = {"min_length": arguments.length, "max_length": arguments.length, "sampling_topk": 1}
    runs: dict[str, Callable[[], str]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "model")
        our_model(folder)
        for weights in ("float32", "int8"):
            model, target = runtime.load(folder, weights=weights), Path(temporary, weights)
            convert(folder, target, None if weights == "float32" else weights, model.begin_id)
            generator = ctranslate2.Generator(str(target), compute_type=weights, intra_threads=1, inter_threads=1)
            runs[f"ours {weights}"] = partial(model.generate, length=arguments.length, temperature=0)
            runs[f"CTranslate2 {weights}"] = partial(their_text, generator, model, options)
        if runs["ours float32"]() != runs["CTranslate2 float32"]():
            raise SystemExit("the two write different texts in float32: they do not run the same model")
        times = time_loops(runs, arguments.rounds, time.process_time)
        for weights in ("float32", "int8"):
            names = (f"ours {weights}", f"CTranslate2 {weights}")
            for name in names:
                print(f"{name:<20} {arguments.length / statistics.median(times[name]):7,.0f} symbols/s")
            ours, theirs = (times[name] for name in names)
            print(
                f"{'CTranslate2 ÷ ours':<20} {statistics.median(b / a for a, b in zip(ours, theirs, strict=True)):7.2f}"
            )
        model = runtime.load(folder)
        print(f"a session, of {arguments.sessions:,}: {session_bytes(model, arguments.sessions) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
