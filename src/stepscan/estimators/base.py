"""What the estimators share: scikit-learn's manners, training, and the model folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Self

import numpy as np
import sklearn.exceptions
import torch
from sklearn.base import BaseEstimator

from stepscan.data.tokenizers import TextTokenizer
from stepscan.data.vectors import check_vectors
from stepscan.errors import ModelFormatError, NotFittedError, SettingsError, nearest
from stepscan.estimators.folder import ModelFolder, check_savable, read_folder, write_folder
from stepscan.estimators.learning import Data, Learning
from stepscan.estimators.making import Making
from stepscan.estimators.networks import Network
from stepscan.estimators.notebook import as_html
from stepscan.estimators.word_vectors import WordVectors
from stepscan.memory import enough_memory
from stepscan.options import ModelOptions, TrainingOptions, check_settings, described_options, settings_of
from stepscan.registry import describe
from stepscan.runtime.model import FittedModel, check_inputs
from stepscan.training.defaults import Facts, chosen, is_cross_validated, listed_settings
from stepscan.training.loop import Task, Trainer
from stepscan.training.memory import check_memory
from stepscan.training.progress import ProgressBar
from stepscan.training.stages import Stages

ESTIMATORS: dict[str, type[Estimator]] = {}  # task → class; each class enters itself

# OpenMP's threads do not come along into a forked child, which would wait for them for ever: it has one thread.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class Estimator(Making, FittedModel, ModelOptions, BaseEstimator):
    """Base of `Classifier`, `Tagger`, `LanguageModel`, `Forecaster` and `Translator`.

    The constructor, which each inherits from its task's class of `stepscan.options`, only keeps its settings; `fit`
    checks them. After `fit` or `load` there are `model_` (the pattern, an `nn.Module`), `tokenizers_`, `labels_` (or
    None) and `history_` (the training curve).
    """

    pattern: ClassVar[Any]  # of `model_`: one class, or several
    adaptor: ClassVar[type[Network]]  # makes `network_` of `model_`
    model_: Any
    tokenizers_: dict[str, TextTokenizer]
    labels_: list[Any] | None  # strings, or whole numbers
    history_: list[dict[str, Any]]
    chosen_: dict[str, Any]  # settings that were not set, by the data's size
    _vectors: WordVectors | None = None
    _made_from: tuple[Any, ...] = ()  # what an untrained `model_` was made from
    _of_vectors: dict[str, int]  # how much of them is beside an `Embedding`'s own; its arguments

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "pattern" in vars(cls):
            ESTIMATORS[cls.task] = cls
            cls.__doc__ = "\n".join([(cls.__doc__ or "").rstrip(), "", "    Args:", *described_options(cls)])

    def build(self, *examples: Any, validation: Any = None) -> Self:
        """Itself as `fit` has it before training: settings chosen, vocabulary learned, `model_` with its first weights.

        Args:
            examples, validation: as of `fit`.
        """
        with self._fitting():
            data = self._data(*examples, validation)
            Learning(self, self._settings()).prepare(data)
        return self

    def _fit(self, *given: Any) -> Self:
        """Learn from what `_data` makes of it."""
        with self._fitting():
            data = self._data(*given)
            Learning(self, self._settings()).run(data)
        return self

    def _data(self, *given: Any) -> Data:
        """What `fit` is given, checked and split; the settings that are not set are then chosen."""
        raise NotImplementedError

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a model folder, whole or not at all.

        Raises:
            NotFittedError: there is nothing to save yet.
            StepscanError: something is at `path` already (a model may be replaced with `overwrite`), or the model is of
                layers without names, such as an ensemble.
        """
        self._check_fitted()
        check_savable(self.model_)
        folder = ModelFolder(
            *(self.task, self._kept_settings(), self.model_, self.tokenizers_, self.labels_, self.history_),
            *(self.scheme_, self.wide_, self.yardstick_, self.chosen_),
        )
        write_folder(path, folder, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model folder.

        Raises:
            ModelFormatError: the folder is no model, or holds one of another task.
        """
        folder = read_folder(path)
        kind = ESTIMATORS.get(folder.task)
        if kind is None:
            raise ModelFormatError(f"{path}: unknown task {folder.task!r}.{nearest(folder.task, ESTIMATORS)}")
        if not issubclass(kind, cls):
            raise ModelFormatError(f"{path} holds a {kind.__name__}, not a {cls.__name__}; use stepscan.load")
        check_inputs(path, folder.task, describe(folder.model))
        try:
            return kind._from_folder(folder)
        except SettingsError as error:
            raise ModelFormatError(f"{Path(path) / 'config.json'}: {error}") from None

    @classmethod
    def _from_folder(cls, folder: ModelFolder) -> Self:
        if not isinstance(folder.model, cls.pattern):
            raise SettingsError(f"the task is {folder.task!r}, but the model is a {type(folder.model).__name__}")
        estimator = cls(**folder.settings)
        estimator._settings()
        estimator.model_, estimator.tokenizers_ = folder.model, folder.tokenizers
        estimator.labels_, estimator.history_, estimator.scheme_ = folder.labels, folder.history, folder.scheme
        estimator.wide_ = folder.wide
        estimator.yardstick_ = folder.yardstick
        estimator.chosen_ = dict(folder.chosen)
        return estimator

    @property
    def network_(self) -> Any:
        """What answers: `model_` with the methods of a network of the runtime; made anew, for it may be another."""
        self._check_fitted()
        return self.adaptor(self.model_)

    def _settings(self) -> TrainingOptions:
        """Those of the settings in force that training takes, checked."""
        for name, value in self.get_params().items():
            if isinstance(value, np.generic):  # a grid search's
                setattr(self, name, value.item())
        settings = vars(self._in_force)
        check_settings(type(self), settings)
        if self.embeddings is not None:
            check_vectors(self.embeddings)
        of_training = settings_of(TrainingOptions)
        kept: Any = {name: value for name, value in settings.items() if name in of_training and value is not None}
        return TrainingOptions(**kept)

    @property
    def _in_force(self) -> Any:
        """All settings: as they were set, else as they were chosen; see `stepscan.training.defaults`."""
        chosen = getattr(self, "chosen_", {})
        given = self.get_params().items()
        return SimpleNamespace(**{n: chosen.get(n) if value is None else value for n, value in given})

    def _is_cross_validated(self, examples: int, items: int) -> bool:
        """Whether, without validation data, folds are held out in turn; a model that is not refitted has one part."""
        return self.refit is not False and is_cross_validated(self.task, examples, items)

    def _choose(self, kind: str, examples: int, items: int, symbols: int = 0) -> TrainingOptions:
        """Choose the settings that are not set, by the training data's kind and size, and say which."""
        self.chosen_ = {}
        found = chosen(Facts(self.task, kind, examples, items / max(examples, 1), symbols), self.size)
        if "," in self._in_force.cell:  # a cell a layer: as many layers as names
            found.pop("layers", None)
        self.chosen_ = {n: value for n, value in found.items() if getattr(self, n, value) is None}
        if self.verbose and self.chosen_:
            ProgressBar().note(f"chosen by the size of the data: {listed_settings(self.chosen_)}")
        return self._settings()

    def _kept_settings(self) -> dict[str, Any]:
        """The settings that the result depends on: those that a model folder records."""
        options = settings_of(type(self))
        return {name: value for name, value in vars(self._in_force).items() if options[name].option.recorded}

    @contextmanager
    def _fitting(self) -> Iterator[TrainingOptions]:
        """Checked settings and seeded random numbers; if what is done with them fails, all is as it was before."""
        settings, before = self._settings(), dict(vars(self))
        if settings.device == "cuda" and not torch.cuda.is_available():
            raise SettingsError("device 'cuda' was asked for, but PyTorch finds no GPU here; use device 'cpu'")
        devices = [torch.cuda.current_device()] if settings.device == "cuda" else []
        try:
            self._vectors, self._of_vectors = None, {}
            with torch.random.fork_rng(devices):
                torch.manual_seed(settings.seed)
                yield settings
        except BaseException:
            self.__dict__ = before
            raise

    def _train(self, stages: Stages, task: Task, *, is_short: bool = False, **changes: Any) -> Trainer:
        """Run the next stage of a training, with some settings changed."""
        self._made_from = ()
        check_savable(task.model)
        check_memory(task.model, getattr(task.batches, "places", 0))
        self._begin_with(task.model)
        identity = {**self._kept_settings(), "device": stages.settings.device, "model": describe(task.model)}
        with enough_memory("training", "take a smaller batch_size, a smaller model, or shorter sequences"):
            trainer = stages.run(task, identity, is_short=is_short, **changes)
        self.model_ = task.model.cpu()
        return trainer

    def _judge(self, held_out: Any) -> Any:
        """What is to be known of a model that was trained on a part of the data, as plain data."""
        return None

    def _conclude(self, data: Data, judged: Sequence[Sequence[Any]], is_refitted: bool) -> int:
        """Make something of what `_judge` said of each part, once or, of folds, at each evaluation, and say at which of
        them the models were best."""
        return 0

    def _add_row(self, scores: dict[str, float]) -> None:
        """A row of the curve for the model as a whole, after those of its network."""
        last = [row for row in self.history_ if row["best"]][-1]
        row = {name: value for name, value in last.items() if name != "fold"} | scores
        self.history_ = [*self.history_, row]

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return as_html(self)

    def _check_usable(self) -> None:
        self._check_fitted()

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise _NotFitted(f"this {type(self).__name__} is not trained yet: call fit, or load a model folder")

    @property
    def _device(self) -> torch.device:
        return next(self.model_.parameters()).device


class _NotFitted(NotFittedError, sklearn.exceptions.NotFittedError):
    """Ours, that scikit-learn knows for its own."""
