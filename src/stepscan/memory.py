"""Errors for work that does not fit into memory, before it is attempted and when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stepscan.errors import NotEnoughMemory, SettingsError
from stepscan.hardware import available_memory

_OUT_OF_MEMORY = (  # messages of torch, CUDA and NumPy, the last ones for sizes that no machine can allocate
    "not enough memory",
    "can't allocate memory",
    "out of memory",
    "Storage size calculation overflowed",
    "array is too big",
    "Maximum allowed dimension exceeded",
)


def check_fits(size: int, what: str, advice: str) -> None:
    """Raise unless `size` bytes are available.

    Args:
        size: bytes needed.
        what: what needs them, for the message.
        advice: what to do, for the message.

    Raises:
        SettingsError: less memory is available.
    """
    available = available_memory()
    if available is not None and size > available:
        raise SettingsError(
            f"{what} would take {format_bytes(size)}, but only {format_bytes(available)} are free: {advice}"
        )


@contextmanager
def enough_memory(what: str, advice: str) -> Iterator[None]:
    """Convert out-of-memory errors of Python, NumPy, torch and the native kernels.

    Args:
        what: what the memory is for, for the message.
        advice: what to do, for the message.

    Raises:
        NotEnoughMemory: in place of such an error; one raised by an inner context is kept.
    """
    try:
        yield
    except NotEnoughMemory:
        raise
    except (MemoryError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise NotEnoughMemory(f"there is not enough memory for {what}: {advice}") from error
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is an out-of-memory error; torch's is a RuntimeError with a certain message."""
    return isinstance(error, MemoryError) or any(message in str(error) for message in _OUT_OF_MEMORY)


def format_bytes(count: int) -> str:
    """A number of bytes with its unit, such as `545 MB`."""
    size = float(min(count, 10**30))  # a float has no more
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"
