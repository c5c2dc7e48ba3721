"""`Sequences`: a batch of sequences of different lengths, the only ragged type of the library."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Sequences:
    """`data [B, T, …]`, right-padded, with `lengths [B]`, which may be 0.

    The padding may hold anything: layers call `zeroed()` first, which replaces it by zeros and records that, so that
    a deep stack does so only once.

    Args:
        data: `[B, T, …]`, any dtype.
        lengths: `[B]` integers, `0 <= length <= T`.

    Raises:
        TypeError: `lengths` are not integers.
        ValueError: the shapes do not match, or a length is outside `0 … T`.
    """

    __slots__ = ("_is_zeroed", "_longest", "_shortest", "data", "lengths")

    def __init__(self, data: Tensor, lengths: Tensor | Sequence[int]) -> None:
        lengths = torch.as_tensor(lengths, device=data.device)
        if lengths.numel() == 0:
            lengths = lengths.long()
        if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
            raise TypeError(f"lengths: expected integers, got {lengths.dtype}")
        if data.dim() < 2:
            raise ValueError(f"data: expected [B, T, …], got {list(data.shape)}")
        if lengths.shape != data.shape[:1]:
            raise ValueError(f"lengths: expected [{data.shape[0]}], one per row, got {list(lengths.shape)}")
        if torch.compiler.is_compiling():  # a graph is for all lengths; its operators check those that they are given
            self._shortest, self._longest = 0, data.shape[1]
            self.data, self.lengths, self._is_zeroed = data, lengths.long(), False
            return
        # Read once, here: on CUDA each read of a length waits for the device.
        self._shortest, self._longest = (int(x) for x in lengths.aminmax()) if lengths.numel() else (0, 0)
        if self._shortest < 0 or self._longest > data.shape[1]:
            raise ValueError(f"lengths: expected 0 … {data.shape[1]}, got {self._shortest} … {self._longest}")
        self.data, self.lengths, self._is_zeroed = data, lengths.long(), self._shortest == data.shape[1]

    @classmethod
    def pad(cls, rows: Sequence[Any], *, dtype: torch.dtype | None = None) -> Sequences:
        """Rows of any lengths, padded with zeros.

        Args:
            rows: B lists of values, or tensors `[t, …]`. An empty row has the trailing shape of the others.
            dtype: None for the rows' common one, by PyTorch's type promotion.
        """
        tensors = [torch.as_tensor(row, dtype=dtype) for row in rows]
        lengths = [len(tensor) for tensor in tensors]
        nonempty = [tensor for tensor in tensors if len(tensor)] or [torch.empty(0, dtype=dtype or torch.long)]
        common = functools.reduce(torch.promote_types, (tensor.dtype for tensor in nonempty))
        data = nonempty[0].new_zeros((len(tensors), max(lengths, default=0), *nonempty[0].shape[1:]), dtype=common)
        for row, tensor in enumerate(tensors):
            if len(tensor):
                data[row, : len(tensor)] = tensor
        return cls(data, lengths)._mark_zeroed()

    def __len__(self) -> int:
        return self.data.shape[0]

    def __repr__(self) -> str:
        return f"Sequences(data={tuple(self.data.shape)} {self.data.dtype}, lengths={self.lengths.tolist()})"

    @property
    def steps(self) -> int:
        """T: the padded length."""
        return self.data.shape[1]

    @property
    def is_ragged(self) -> bool:
        """Whether any row is shorter than T."""
        return self._shortest < self.steps

    @property
    def has_empty_rows(self) -> bool:
        """Whether any row has length 0."""
        return self._shortest == 0

    @property
    def is_all_empty(self) -> bool:
        """Whether there are no items: no rows, or only rows of length 0."""
        return self._longest == 0

    @property
    def mask(self) -> Tensor:
        """`[B, T]`, true at items, false in the padding."""
        return torch.arange(self.steps, device=self.data.device) < self.lengths[:, None]

    def zeroed(self) -> Sequences:
        """The same items with zeros in the padding; returns itself if the padding is known to be zero."""
        if self._is_zeroed:
            return self
        return self.replace(torch.where(self._mask_like(self.data), self.data, 0), zeroed=True)

    def replace(self, data: Tensor, *, zeroed: bool = False) -> Sequences:
        """Other data with the same lengths.

        Args:
            data: `[B, T, …]`.
            zeroed: whether its padding is zero.

        Raises:
            ValueError: `data` has another B or T.
        """
        if data.shape[:2] != self.data.shape[:2]:
            raise ValueError(f"data: expected [B, T] = {list(self.data.shape[:2])}, got {list(data.shape[:2])}")
        new = object.__new__(Sequences)
        new.data, new.lengths, new._shortest, new._longest = data, self.lengths, self._shortest, self._longest
        new._is_zeroed = zeroed or not self.is_ragged
        return new

    def map(self, function: Callable[[Tensor], Tensor]) -> Sequences:
        """The result of a function that maps items on their own, `[B, T, …]` → `[B, T, …]`; its padding is zeroed."""
        return self.replace(function(self.zeroed().data)).zeroed()

    def items(self) -> Tensor:
        """`[N, …]`, the items of all rows, concatenated without the padding."""
        return self.data[self.mask] if self.is_ragged else self.data.flatten(0, 1)

    def last(self, default: Tensor | None = None) -> Tensor:
        """`[B, …]`, the last item of each row; for a row of length 0 that of `default [B, …]`, or zeros for None."""
        data = self.zeroed().data
        if self.steps == 0:
            return data.new_zeros((data.shape[0], *data.shape[2:])) if default is None else default
        last = data[torch.arange(self.data.shape[0], device=data.device), (self.lengths - 1).clamp(min=0)]
        if default is None or not self.has_empty_rows:
            return last  # a row of length 0 reads its padding, which is zero
        return torch.where((self.lengths > 0).view(-1, *[1] * (last.dim() - 1)), last, default)

    def reversed(self) -> Sequences:
        """The items of each row in reverse order within its length; the padding stays on the right and is zero."""
        clean = self.zeroed()
        if not self.is_ragged:
            return self.replace(clean.data.flip(1))
        position = torch.arange(self.steps, device=self.data.device)
        source = self.lengths[:, None] - 1 - position
        source = torch.where(source >= 0, source, position)  # padding stays where it is
        rows = torch.arange(self.data.shape[0], device=self.data.device)[:, None]
        return self.replace(clean.data[rows, source], zeroed=True)

    def select(self, rows: Tensor | Sequence[int]) -> Sequences:
        """The rows at the indices `rows [N]`, cut to the longest of them."""
        lengths = self.lengths[rows]
        longest = int(lengths.max()) if len(lengths) else 0
        selected = Sequences(self.data[rows][:, :longest], lengths)
        return selected._mark_zeroed() if self._is_zeroed else selected

    def to(self, device: torch.device | torch.dtype | str) -> Sequences:
        """The same on another device, or with the data in another dtype."""
        new = self.replace(self.data.to(device), zeroed=self._is_zeroed)
        new.lengths = self.lengths.to(new.data.device)
        return new

    def _mask_like(self, data: Tensor) -> Tensor:
        return self.mask.view(*data.shape[:2], *[1] * (data.dim() - 2))

    def _mark_zeroed(self) -> Sequences:
        self._is_zeroed = True
        return self


class WordsWithCharacters(NamedTuple):
    """The input of `WordAndCharacterEmbedding`: words, and the characters of each distinct word."""

    words: Sequences  # [B, T] ids of words
    spellings: tuple[Sequences, ...]  # [U, C] each, ids of the characters of distinct words, grouped by similar lengths
    spelling_index: Tensor  # [B, T], the row of each word in the concatenated `spellings`; 0 in the padding

    def to(self, device: torch.device | str) -> WordsWithCharacters:
        """The same on another device."""
        spellings = tuple(spelling.to(device) for spelling in self.spellings)
        return WordsWithCharacters(self.words.to(device), spellings, self.spelling_index.to(device))
