"""Plain servers of a language model, one request at a time: FastAPI with PyTorch, and with ONNX Runtime.

python benchmarks/serving_peers.py FOLDER PORT torch|onnx
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel


class Fields(BaseModel):
    """A request."""

    length: int


def torch_writer(folder: Path) -> Callable[[int], Iterator[int]]:
    """A function that writes symbols with `nn.LSTM`, as its documentation shows: state in, state out."""
    import torch

    import stepscan as ss

    torch.set_num_threads(1)
    network = ss.load(folder).network_
    lstm, embedding, head = ss.to_torch(network.layer), network.embedding.weight.detach(), network.head
    weight, bias = head.weight.detach(), head.bias.detach()

    def write(length: int) -> Iterator[int]:
        with torch.inference_mode():
            symbol, state = torch.tensor([[2]]), None
            for _ in range(length):
                y, state = lstm(embedding[symbol], state)
                symbol = torch.multinomial((y[:, -1] @ weight.T + bias).softmax(dim=1), 1)
                yield int(symbol)

    return write


def onnx_writer(folder: Path) -> Callable[[int], Iterator[int]]:
    """A function that writes symbols with one graph of ONNX Runtime: embedding, cells, head, softmax and the draw."""
    import stepscan as ss
    from stepscan.benchmarks import onnx_baseline

    network = ss.load(folder).network_
    arrays = [one.detach().numpy() for one in (network.embedding.weight, network.head.weight, network.head.bias)]
    cells = [layer for layer in network.layer.layers if hasattr(layer, "kernel")]  # without dropout
    generate = onnx_baseline.generator(arrays[0], cells, tuple(arrays[1:]), 1.0, 1)
    assert generate is not None, "pip install 'stepscan[bench]'"

    def write(length: int) -> Iterator[int]:
        for _ in range(length):  # its state goes on from text to text: the same work
            generate(1)
            yield 5

    return write


def application(write: Callable[[int], Iterator[int]]) -> Any:
    """A server with one route, which sends each symbol as an event."""
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse

    app = FastAPI()

    @app.post("/generate")
    async def generate(fields: Fields) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            for symbol in write(fields.length):
                yield f"data: {json.dumps({'text': chr(97 + symbol % 26)})}\n\n"
                await asyncio.sleep(0)

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("library", choices=("torch", "onnx"))
    arguments = parser.parse_args()
    import uvicorn

    np.random.seed(0)
    writer = {"torch": torch_writer, "onnx": onnx_writer}[arguments.library](arguments.folder)
    uvicorn.run(application(writer), port=arguments.port, log_level="error")
