"""What does not fit into memory, in words: where that is known before it is tried, and where it turns out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stepscan.errors import NotEnoughMemory, SettingsError
from stepscan.hardware import available_memory

_REFUSED = (  # of torch, of CUDA, and of NumPy where the size alone is past all bounds
    "not enough memory",
    "can't allocate memory",
    "out of memory",
    "Storage size calculation overflowed",
    "array is too big",
    "Maximum allowed dimension exceeded",
)


def check_fits(size: int, what: str, advice: str) -> None:
    """Raise if `what`, of `size` bytes, cannot fit into the memory that is free.

    Raises:
        SettingsError: says how much is needed for what, how much there is, and the advice.
    """
    available = available_memory()
    if available is not None and size > available:
        raise SettingsError(f"{what} would take {in_words(size)}, but only {in_words(available)} are free: {advice}")


@contextmanager
def enough_memory(what: str, advice: str) -> Iterator[None]:
    """Turns "no memory", in Python's, NumPy's, torch's and the kernels' ways, into an error that says for what.

    Raises:
        NotEnoughMemory: the innermost of several says it.
    """
    try:
        yield
    except NotEnoughMemory:
        raise
    except (MemoryError, RuntimeError, ValueError) as error:
        if is_refusal(error):
            raise NotEnoughMemory(f"there is not enough memory for {what}: {advice}") from error
        raise


def is_refusal(error: BaseException) -> bool:
    """Whether an error says that memory could not be had; torch's is a RuntimeError like any other."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _REFUSED)


def in_words(count: int) -> str:
    """A number of bytes such as `545 MB`."""
    size = float(min(count, 10**30))  # more is no number of a float
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"
