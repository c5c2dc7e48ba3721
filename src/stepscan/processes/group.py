"""Several processes that train together, by torch.distributed: gloo on CPUs, NCCL on GPUs."""

from __future__ import annotations

import atexit
import contextlib
import json
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from stepscan.errors import StepscanError
from stepscan.processes.team import Item, PeerLost, Team
from stepscan.processes.world import World

_FAILURE = "failure"  # key in the store that all processes share: why the first of them ended


class Group(Team):
    """This process and the others of a training.

    Args:
        world: of this process.
        device: `cpu` or `cuda`.

    Raises:
        StepscanError: the processes did not find one another.
    """

    def __init__(self, world: World, device: str) -> None:
        self.rank, self.size, self.device = world.rank, world.size, device
        self.store = _connect(world, device)

    def sum(self, values: Sequence[float]) -> list[float]:
        tensor = torch.tensor(values, dtype=torch.float64)
        self._run(dist.all_reduce, tensor)
        return tensor.tolist()

    def sum_gradients(self, parameters: Iterable[Any]) -> None:
        """All gradients in one message per dtype, and which parameters have one."""
        by_dtype: dict[torch.dtype, list[Any]] = {}
        for parameter in parameters:
            if parameter.requires_grad:
                by_dtype.setdefault(parameter.dtype, []).append(parameter)
        for dtype, group in by_dtype.items():
            pieces = [p.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1) for p in group]
            present = torch.tensor([p.grad is not None for p in group], dtype=dtype, device=pieces[0].device)
            message = torch.cat([*pieces, present])
            self._run(dist.all_reduce, message)
            *sums, counts = message.split([*(len(piece) for piece in pieces), len(group)])
            for parameter, total, count in zip(group, sums, counts.tolist(), strict=True):
                if count:
                    parameter.grad = total.view_as(parameter)

    def share_weights(self, tensors: Iterable[Any]) -> None:
        for tensor in tensors:
            content = tensor.detach().contiguous()
            self._run(dist.broadcast, content, src=0)
            with torch.no_grad():
                tensor.copy_(content)

    def gather_bytes(self, content: bytes) -> list[bytes]:
        lengths = [
            int(length) for length in self.sum([len(content) * (rank == self.rank) for rank in range(self.size)])
        ]
        message = np.zeros(max(lengths), np.uint8)
        message[: len(content)] = np.frombuffer(content, np.uint8)
        parts = [torch.empty(max(lengths), dtype=torch.uint8) for _ in lengths]
        self._run(dist.all_gather, parts, torch.from_numpy(message))
        return [part.numpy()[:length].tobytes() for part, length in zip(parts, lengths, strict=True)]

    def broadcast_bytes(self, content: bytes) -> bytes:
        length = int(self.sum([len(content) if self.is_first else 0])[0])
        message = np.zeros(length, np.uint8)
        if self.is_first:
            message[:] = np.frombuffer(content, np.uint8)
        tensor = torch.from_numpy(message)
        self._run(dist.broadcast, tensor, src=0)
        return tensor.numpy().tobytes()

    def gather(self, value: Any) -> list[Any]:
        return [json.loads(content) for content in self.gather_bytes(_as_json(value))]

    def broadcast(self, value: Any) -> Any:
        return json.loads(self.broadcast_bytes(_as_json(value) if self.is_first else b""))

    def map(self, function: Callable[[list[Item]], Sequence[Any]], items: Sequence[Item]) -> list[Any]:
        share = list(items[self.rank :: self.size])
        results: list[Any] = [None] * len(items)
        for rank, part in enumerate(self.gather(list(function(share)) if share else [])):
            results[rank :: self.size] = part
        return results

    def wait(self) -> None:
        self.sum([0.0])

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        try:
            yield
        except PeerLost:
            raise
        except BaseException as error:
            name = f"process {self.rank} of {self.size} (on {socket.gethostname()})"
            reason = str(error) if isinstance(error, StepscanError) else f"{type(error).__name__}: {error}"
            with contextlib.suppress(Exception):  # the others may have ended
                self.store.compare_set(_FAILURE, "", json.dumps(f"{name}: {reason}"))
            raise

    def _run(self, operation: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """One communication, in which all processes take part.

        Raises:
            PeerLost: another process ended, or does not answer.
        """
        try:
            operation(*arguments, **options)
        except RuntimeError as error:
            reason = self._reason()
            if reason:
                raise PeerLost(reason) from error
            raise PeerLost(
                f"one of the {self.size} processes ended without a message: it was killed, or its machine failed",
                has_reason=False,
            ) from error

    def _reason(self) -> str:
        """Why another process ended, if it said so."""
        with contextlib.suppress(Exception):  # the store ends with the process that holds it
            if self.store.check([_FAILURE]):
                return str(json.loads(self.store.get(_FAILURE)))
        return ""


def _connect(world: World, device: str) -> Any:
    """Find the other processes, and return the store that all share."""
    if not dist.is_available():
        raise StepscanError("processes: expected 1, for this build of PyTorch has no torch.distributed")
    if device == "cuda":
        torch.cuda.set_device(world.local_rank)
    backend = "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
    try:
        store, _, _ = next(dist.rendezvous("env://", world.rank, world.size))
        # Processes that torchrun started again find the same store: they must not read addresses of dead ones.
        store = dist.PrefixStore(f"stepscan/{world.restarts}", store)
        dist.init_process_group(backend, store=store, rank=world.rank, world_size=world.size)
    except (RuntimeError, ValueError) as error:
        raise StepscanError(f"the {world.size} processes of this training did not find one another: {error}") from error
    atexit.register(_disconnect)
    return store


def _disconnect() -> None:
    with contextlib.suppress(Exception):
        dist.destroy_process_group()


def _as_json(value: Any) -> bytes:
    return json.dumps(value, default=_plain).encode()


def _plain(value: Any) -> Any:
    """A value of NumPy or PyTorch as Python's."""
    if isinstance(value, np.ndarray | np.generic | Tensor):
        return value.tolist()
    raise TypeError(f"expected plain data for another process, got {type(value).__name__}")
