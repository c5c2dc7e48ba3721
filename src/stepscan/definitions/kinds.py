"""Types of fields: annotations that a type checker reads as `int` or `float`, and a definition as what it checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from stepscan.definitions.definition import PLAIN, Definition
from stepscan.definitions.layer import LayerDefinition
from stepscan.errors import shown
from stepscan.fields import COUNT, DEVIATION, FACTOR, FLAG, HEAD, POOLING, PROBABILITY, PROBLEM_TYPE, SIZE, Choice, Kind
from stepscan.fields import Optional as OptionalKind

Size = Annotated[int, SIZE]  # 1 or more
OptionalSize = Annotated[int | None, OptionalKind(SIZE)]
Count = Annotated[int, COUNT]  # 0 or more
Flag = Annotated[bool, FLAG]
Probability = Annotated[float, PROBABILITY]
Deviation = Annotated[float, DEVIATION]
Factor = Annotated[float, FACTOR]
Pooling = Annotated[str, POOLING]
ProblemType = Annotated[str, PROBLEM_TYPE]
AttentionKind = Annotated[str, Choice(("additive", "dot", "general"))]
Initial = Annotated[str, Choice(("zero", "learned"))]
Head = Annotated[str, HEAD]
Forbidden = Annotated[Any, PLAIN]  # pairs of tags; `decoding.transitions.check_forbidden` checks them


@dataclass(frozen=True)
class _Object(Kind):
    """An object, not plain data; the message names the class whose field it is."""

    expected: str
    hint: str = ""

    @property
    def words(self) -> str:
        return self.expected

    def check_field(self, owner: Any, name: str, value: Any) -> None:
        """See `Kind.check_field`.

        Raises:
            TypeError: the value is not such an object.
        """
        if not self.accepts(value):
            self._reject(owner, value)

    def _reject(self, owner: Any, value: Any) -> NoReturn:
        is_shown = value is None or isinstance(value, Definition | str | int | float | list | dict)
        got = shown(value) if is_shown else f"{type(value).__name__}{self.hint}"
        raise TypeError(f"{owner.class_title}: expected {self.words}, got {got}")


class _Layer(_Object):
    def accepts(self, value: Any) -> bool:
        return isinstance(value, LayerDefinition)


class _Causal(_Object):
    def accepts(self, value: Any) -> bool:
        return isinstance(value, LayerDefinition) and value.causal

    def check_field(self, owner: Any, name: str, value: Any) -> None:
        """See `Kind.check_field`; the message names the part that looks ahead.

        Raises:
            TypeError: the value is not a causal layer.
        """
        if isinstance(value, LayerDefinition) and not value.causal:
            where = "" if value.blocking == value.signature else f" in {value.blocking}"
            raise TypeError(
                f"{owner.class_title}: expected {self.words}, got {value.signature}, which looks ahead{where}; use a "
                "layer that reads in one direction"
            )
        super().check_field(owner, name, value)


class _Layers(_Object):
    def accepts(self, value: Any) -> bool:
        return isinstance(value, list | tuple)

    def check_field(self, owner: Any, name: str, value: Any) -> None:
        """See `Kind.check_field`; each item is a layer."""
        super().check_field(owner, name, value)
        for item in value:
            LAYER.check_field(owner, name, item)


class _Embedding(_Object):
    """Also a user's own module that maps inputs to vectors."""

    def accepts(self, value: Any) -> bool:
        from stepscan.definitions.embeddings import EmbeddingDefinition

        is_module = hasattr(value, "forward") and not isinstance(value, Definition)
        return value is None or isinstance(value, EmbeddingDefinition) or is_module


_CONVERSION = "; stepscan.from_torch converts nn.RNN, nn.LSTM and nn.GRU"
LAYER = _Layer("a Layer", _CONVERSION)
AnyLayer = Annotated[Any, LAYER]
Causal = Annotated[Any, _Causal("a causal layer, a Recurrence", _CONVERSION)]
Layers = Annotated[Any, _Layers("a list of layers")]
Inputs = Annotated[Any, _Embedding("an embedding or None")]
