"""What a trace of a cell depends on besides what the step's code reads: its modules, their modes, hooks and tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Structure"]

_PLAIN_TENSORS = (Tensor, nn.Parameter)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Structure:
    """The structure of a cell when this is made.

    Attributes:
        key: equal for equal structures; None if a tensor is not a plain one on the CPU.
        has_hooks: whether a module inside the cell has hooks.
    """

    def __init__(self, cell: nn.Module) -> None:
        modules = list(cell.modules())
        self._dtype = torch.get_default_dtype()
        self._modules = [(m, m._modules, tuple(m._modules.values()), m.training) for m in modules]
        self._hooks = [getattr(m, name) for m in modules[1:] for name in _HOOKS]
        self._tensors = [  # without references to them: they may be of one call only
            (where, name, _description(tensor))
            for m in modules
            for where in (m._parameters, m._buffers)
            for name, tensor in where.items()
        ]
        self._ties = _ties([id(where.get(name)) for where, name, _ in self._tensors])
        self.has_hooks = any(self._hooks)
        self.key = self._make_key(dict(cell.named_modules(remove_duplicate=False)))

    def _make_key(self, modules: dict[str, nn.Module]) -> tuple[Any, ...] | None:
        found = [description for _, _, description in self._tensors if description is not None]
        if any(kind not in _PLAIN_TENSORS or not on_cpu for kind, on_cpu, *_ in found):
            return None
        tensors = tuple((name, description and description[2:]) for _, name, description in self._tensors)
        kinds = tuple((name, type(m), m.training) for name, m in modules.items())
        return self._dtype, kinds, _ties([*map(id, modules.values())]), self.has_hooks, tensors, self._ties

    def same(self, kinds: bool = True) -> bool:
        """Whether all of it is still so; without `kinds` also if tensors are of other classes, as while a graph is
        exported, when they have no numbers."""
        first = 0 if kinds else 1
        if torch.get_default_dtype() is not self._dtype or any(self._hooks) is not self.has_hooks:
            return False
        for module, children, before, training in self._modules:
            if module.training is not training or tuple(children.values()) != before:
                return False
        found = []
        for where, name, description in self._tensors:
            tensor = where.get(name)
            now = _description(tensor)
            if now != description and (now is None or description is None or now[first:] != description[first:]):
                return False
            found.append(id(tensor))
        return _ties(found) == self._ties


def _ties(found: list[int]) -> tuple[int, ...]:
    """Which identities are the same one (the place of the first of each); empty if all differ."""
    return () if len(set(found)) == len(found) else tuple(map(found.index, found))


def _description(tensor: Tensor | None) -> tuple[Any, ...] | None:
    return None if tensor is None else (type(tensor), tensor.is_cpu, tensor.shape, tensor.dtype, tensor.requires_grad)
