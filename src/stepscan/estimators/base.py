"""The base class of the estimators: scikit-learn's interface, training, and the model folder."""

from __future__ import annotations

import copy
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
from stepscan.data.vocabulary import WordFacts
from stepscan.errors import ModelFormatError, NotFittedError, SettingsError, nearest
from stepscan.estimators.encoded_fit import EncodedFit
from stepscan.estimators.fit_run import FitRun, FitSteps, Stage
from stepscan.estimators.folder import ModelFolder, check_savable, read_folder, write_folder
from stepscan.estimators.notebook import as_html
from stepscan.estimators.stored_programs import stepping_pattern
from stepscan.estimators.training_data import Buckets, TrainingData
from stepscan.memory import enough_memory
from stepscan.models.model import FittedModel, check_inputs
from stepscan.options import ModelOptions, TrainingOptions, check_settings, described_options, settings_of
from stepscan.processes.joining import join
from stepscan.registry import describe
from stepscan.training.defaults import DataFacts, is_cross_validated, listed_settings
from stepscan.training.loop import Task, Trainer
from stepscan.training.memory import check_memory
from stepscan.training.progress import ProgressBar
from stepscan.training.stages import Stages

ESTIMATORS: dict[str, type[Estimator]] = {}  # task → class; filled by `Estimator.__init_subclass__`

# A forked child does not inherit OpenMP's threads and would wait for them for ever, so it uses one thread.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class Estimator(EncodedFit, FittedModel, ModelOptions, BaseEstimator):
    """Base of `Classifier`, `Tagger`, `LanguageModel`, `Forecaster` and `Translator`.

    The constructor, which each inherits from its task's class of `stepscan.options`, only stores its settings; `fit`
    checks them. After `fit` or `load` there are `model_` (the pattern, an `nn.Module`), `tokenizers_`, `labels_` (or
    None) and `history_` (the training curve).
    """

    pattern: ClassVar[Any]  # the class of `model_`
    model_: Any
    tokenizers_: dict[str, TextTokenizer]
    labels_: list[Any] | None  # strings, or whole numbers
    history_: list[dict[str, Any]]
    chosen_: dict[str, Any]  # settings that were not set, chosen by the size of the data
    threads = 1

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "pattern" in vars(cls):
            ESTIMATORS[cls.task] = cls
            cls.__doc__ = "\n".join([(cls.__doc__ or "").rstrip(), "", "    Args:", *described_options(cls)])

    def build(self, *examples: Any, validation: Any = None) -> Self:
        """Do what `fit` does before training: choose settings, learn the vocabulary, initialise `model_`.

        Args:
            examples, validation: as for `fit`.

        Returns:
            The estimator.
        """
        self.first_stage(*examples, validation=validation)
        return self

    def first_stage(self, *examples: Any, validation: Any = None) -> Stage:
        """As `build`; returns the training that `fit` would begin with: model, batches, evaluation, settings.

        `Trainer(stage.task, stage.settings, NullReporter()).run()` trains it, without the files of `embeddings` and
        `init_from`.

        Args:
            examples, validation: as for `fit`.
        """
        with self._fitting():
            data = self._data(*examples, validation)
            return self._fit_run().prepare(data)

    def _fit(self, *arguments: Any) -> Self:
        """Train on the data that `_data` returns for the arguments of `fit`."""
        if getattr(self, "cache_dir", None) is not None:
            raise SettingsError(
                f"cache_dir: expected None where the data are in memory already, got {str(self.cache_dir)!r}; it is "
                "for training on files (stepscan train, stepscan.estimators.files.train)"
            )
        with self._fitting():
            data = self._data(*arguments)
            self._fit_run().run(data)
        return self

    def _fit_run(self) -> FitRun:
        steps = FitSteps(self._prepare, self._train, self._held_out_results, self._select_best)
        return FitRun(self, steps, self.training_options())

    def _data(self, *arguments: Any) -> TrainingData:
        """The arguments of `fit`, checked and split; settings that are not set are chosen."""
        raise NotImplementedError

    def _prepare(self, train: Any, held_out: Any, settings: TrainingOptions) -> Task:
        """A new model and its training task."""
        raise NotImplementedError

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a model folder atomically.

        Args:
            path: the folder.
            overwrite: whether to replace a model at `path`.

        Raises:
            NotFittedError: the estimator is not fitted.
            StepscanError: `path` exists, or the model has layers that are not registered, such as an ensemble.
        """
        self.check_fitted()
        check_savable(self.model_)
        folder = ModelFolder(
            *(self.task, self._recorded_settings(), self.model_, self.tokenizers_, self.labels_, self.history_),
            *(self.scheme_, self.outside_penalty_, self.wide_, self.yardstick_, self.chosen_),
        )
        write_folder(path, folder, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model folder.

        Raises:
            ModelFormatError: the folder is not a model folder, or its model is of another task.
        """
        folder = read_folder(path)
        estimator_class = ESTIMATORS.get(folder.task)
        if estimator_class is None:
            raise ModelFormatError(f"{path}: unknown task {folder.task!r}.{nearest(folder.task, ESTIMATORS)}")
        if not issubclass(estimator_class, cls):
            raise ModelFormatError(
                f"{path}: expected a {cls.__name__}, got a {estimator_class.__name__}; use stepscan.load"
            )
        check_inputs(path, folder.task, describe(folder.model))
        try:
            return estimator_class._from_folder(folder)
        except SettingsError as error:
            raise ModelFormatError(f"{Path(path) / 'config.json'}: {error}") from None

    @classmethod
    def _from_folder(cls, folder: ModelFolder) -> Self:
        if not isinstance(folder.model, cls.pattern):
            raise SettingsError(f"model: expected one for task {folder.task!r}, got a {type(folder.model).__name__}")
        estimator = cls(**folder.settings)
        estimator.training_options()
        estimator.model_, estimator.tokenizers_ = folder.model, folder.tokenizers
        estimator.labels_, estimator.history_, estimator.scheme_ = folder.labels, folder.history, folder.scheme
        estimator.outside_penalty_ = folder.outside_penalty
        estimator.wide_ = folder.wide
        estimator.yardstick_ = folder.yardstick
        estimator.chosen_ = dict(folder.chosen)
        return estimator

    @property
    def network_(self) -> Any:
        """What predicts: `model_`, whose pattern has the methods of that of a runtime model."""
        self.check_fitted()
        return self.model_

    @property
    def stepping_network(self) -> Any:
        network = self.network_
        return stepping_pattern(network) if isinstance(network, torch.nn.Module) else network

    def with_network(self, network: Any) -> Self:
        joined = copy.copy(self)
        joined.model_ = network
        return joined

    def training_options(self) -> TrainingOptions:
        """The effective settings of training, checked.

        Raises:
            SettingsError: a setting is wrong.
        """
        for name, value in self.get_params().items():
            if isinstance(value, np.generic):  # from a grid search
                setattr(self, name, value.item())
        settings = vars(self.effective_settings)
        check_settings(type(self), settings)
        if self.embeddings is not None:
            check_vectors(self.embeddings)
        names = settings_of(TrainingOptions)
        options: Any = {name: value for name, value in settings.items() if name in names and value is not None}
        return TrainingOptions(**options)

    @property
    def effective_settings(self) -> Any:
        """All settings by name: as set, else as chosen by the size of the data (see `chosen_`)."""
        chosen, settings = vars(self).get("chosen_", {}), self.get_params()
        return SimpleNamespace(**{n: chosen.get(n) if value is None else value for n, value in settings.items()})

    def count_parameters(self, cell: str, hidden_size: int) -> int:
        """The number of parameters that `model_` would have with another cell and hidden size; allocates nothing.

        Only between `build` and training, which forgets what the model is built for.

        Raises:
            SettingsError: there is no such model.
        """
        settings, chosen = self.get_params(), self.chosen_
        try:
            # A forget bias is chosen for one cell, and changes no number of parameters.
            self.chosen_ = {name: value for name, value in chosen.items() if name != "forget_bias"}
            with torch.device("meta"):
                model = self.set_params(cell=cell, hidden_size=hidden_size)._make_model(*self._model_arguments)
        except ValueError as error:
            raise SettingsError(f"no model can be made of cell {cell!r} here: {error}") from error
        finally:
            self.set_params(**settings)
            self.chosen_ = chosen
        return sum(parameter.numel() for parameter in model.parameters())

    def _is_cross_validated(self, examples: int, items: int) -> bool:
        """Whether, without validation data, `fit` uses cross-validation, which needs a refit."""
        return self.refit is not False and is_cross_validated(self.task, examples, items)

    def _choose_settings(self, kind: str, examples: int, items: int, **more: Any) -> None:
        """Choose the settings that are not set, by the training data's kind and size, and report them.

        Args:
            kind: `text` or `series`.
            examples: sequences; for one long text, its symbols.
            items: of all sequences together.
            more: further `DataFacts`.
        """
        self.chosen_ = self._chosen_for(DataFacts(self.task, kind, examples, items / max(examples, 1), **more))
        if self.verbose and self.chosen_:
            ProgressBar().note(f"chosen by the size of the data: {listed_settings(self.chosen_)}")
        self.training_options()

    def _tokenizer_kind(self, examples: int, words: WordFacts | None) -> str:
        """The tokenizer's kind: as set, else as chosen by the words of the texts."""
        chosen = self._chosen_for(DataFacts(self.task, "text", examples, 1.0, words=words))
        return chosen.get("tokenizer") or self.tokenizer

    def _recorded_settings(self) -> dict[str, Any]:
        """The settings that the result depends on: those that a model folder records."""
        options = settings_of(type(self))
        settings = vars(self.effective_settings)
        return {name: value for name, value in settings.items() if options[name].option.recorded}

    @contextmanager
    def _fitting(self) -> Iterator[TrainingOptions]:
        """Checks the settings and seeds the random numbers; after an exception, restores the estimator's attributes."""
        settings, attributes = self.training_options(), dict(vars(self))
        if settings.device == "cuda" and not torch.cuda.is_available():
            raise SettingsError("device: expected 'cpu', for PyTorch finds no GPU, got 'cuda'")
        if settings.precision == "bf16" and settings.device == "cpu":
            raise SettingsError(
                "precision: expected 'float32' on a CPU, got 'bf16'; train with device='cuda', or omit it"
            )
        join(settings)
        self.check_architecture()
        devices = [torch.cuda.current_device()] if settings.device == "cuda" else []
        try:
            self._vectors, self._vector_arguments, self.members_ = None, {}, ()
            with torch.random.fork_rng(devices):
                torch.manual_seed(settings.seed)
                yield settings
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(attributes)
            raise

    def _train(self, stages: Stages, task: Task, *, restarts: bool = False, **changes: Any) -> Trainer:
        """Run the next stage of a training, with some settings changed."""
        self._model_arguments = ()
        check_savable(task.model)
        check_memory(task.model, task.batches.max_padded_items if isinstance(task.batches, Buckets) else 0)
        self._load_pretrained(task.model)
        identity = {**self._recorded_settings(), "device": stages.settings.device, "model": describe(task.model)}
        with enough_memory("training", "take a smaller batch_size, a smaller model, or shorter sequences"):
            trainer = stages.run(task, identity, restarts=restarts, **changes)
        self.model_ = task.model.cpu()
        return trainer

    def _held_out_results(self, held_out: Any) -> Any:
        """Plain data about the model of one part of the data, for `_select_best`."""
        return None

    def _select_best(self, data: TrainingData, results: Sequence[Sequence[Any]], is_refitted: bool) -> int:
        """Fit what is not a network, and return the index of the best evaluation.

        Args:
            data: all of it.
            results: `_held_out_results` of each part, once or, of folds, at each evaluation.
            is_refitted: whether a training on all data follows.
        """
        return 0

    def _add_row(self, scores: dict[str, float]) -> None:
        """Add a row to the training curve for the model as a whole, after those of its network."""
        last = [row for row in self.history_ if row["best"]][-1]
        row = {name: value for name, value in last.items() if name != "fold"} | scores
        self.history_ = [*self.history_, row]

    def _repr_html_(self) -> str:
        """The estimator in a notebook."""
        return as_html(self)

    def _check_usable(self) -> None:
        self.check_fitted()

    def check_fitted(self) -> None:
        """Raise a `NotFittedError` unless the estimator is fitted or loaded."""
        if "model_" not in vars(self):
            raise _NotFitted(f"this {type(self).__name__} is not trained yet: call fit, or load a model folder")

    @property
    def _device(self) -> torch.device:
        return next(self.model_.parameters()).device


class _NotFitted(NotFittedError, sklearn.exceptions.NotFittedError):
    """Also an instance of scikit-learn's `NotFittedError`."""
