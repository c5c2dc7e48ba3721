"""What an option is, and how a class of options is read."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args, get_type_hints

from stepscan.fields import Kind

DATA, MODEL, REGULARISATION, TRAINING, OUTPUT = (
    "Data",
    "Model",
    "Regularisation",
    "Training",
    "Output",
)  # of the help page
BY_SIZE: Any = None  # the default of what is chosen by the kind and size of the data: see `stepscan.training.defaults`


@dataclass(frozen=True)
class Option:
    """What is known of an option, but for its name and its defaults."""

    kind: Kind
    help: str  # one sentence: the quantity, its unit, its range
    group: str | None = MODEL  # of the help page; None: not an option of the command line
    unset: str = ""  # what None means: "by data size", where there is nothing else
    source: str = ""  # paper and equation
    recorded: bool = True  # whether the model folder records it: False for what does not change the result
    resumable: bool = False  # whether `--resume` may change it
    tasks: tuple[str, ...] = ()  # of a reading option: those whose files have it; none: all


class Setting(NamedTuple):
    """An option of a task, with its name and its default there."""

    name: str
    option: Option
    default: Any
    takes_none: bool = False  # whether it may be None

    @property
    def default_in_words(self) -> str:
        """What holds where it is not set."""
        if self.default is None:
            return self.option.unset or "by data size"
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default) or "none"


def settings_of(options: Any) -> Mapping[str, Setting]:
    """The options of a dataclass of this module (or a class that inherits from one) by name, in order."""
    return _settings(next(one for one in options.__mro__ if one.__module__.startswith(__package__)))


@functools.cache
def _settings(table: Any) -> Mapping[str, Setting]:
    annotations = get_type_hints(table, include_extras=True)
    settings = {}
    for field in dataclasses.fields(table):
        kind, *notes = get_args(annotations[field.name]) or (Any,)
        for option in (note for note in notes if isinstance(note, Option)):
            takes_none = field.default is None or type(None) in get_args(kind)
            settings[field.name] = Setting(field.name, option, field.default, takes_none)
    return settings


def described_options(options: Any) -> Iterator[str]:
    """The lines of the `Args` section of a docstring."""
    for name, setting in settings_of(options).items():
        option, default = setting.option, setting.default_in_words
        source = f" ({option.source})" if option.source else ""
        yield f"    {name}: {option.help.rstrip('.')}{source}. Default: {default}."
