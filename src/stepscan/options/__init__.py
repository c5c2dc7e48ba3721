"""The one table of options: what can be set, of which kind, with which default, and what each means.

Each task has a dataclass (`tasks.py`, over `training.py` and `model.py`), and so have data files (`reading.py`). A
field is an option: its annotation holds an `Option`, its value the default of the task. The estimators inherit their
constructors from here; `stepscan train TASK`, `--config` files, the checks of settings, what a model folder records,
what `--resume` may change and the pages of the documentation are read off these classes. To add an option is to add a
field, and to use it.

Nothing here imports torch.
"""

from stepscan.options.checks import check_settings, check_value, unknown_setting
from stepscan.options.data_files import SERIES_TASKS, ReadingOptions
from stepscan.options.model import ModelOptions, SymbolOptions
from stepscan.options.option import (
    BY_SIZE,
    DATA,
    MODEL,
    OUTPUT,
    REGULARISATION,
    TRAINING,
    Option,
    Setting,
    described_options,
    settings_of,
)
from stepscan.options.renamed import RENAMED, RENAMED_VALUES
from stepscan.options.serving import ADDRESS, LIMITS, SESSIONS, ServeOptions
from stepscan.options.tasks import (
    N_BEST,
    TASKS,
    ClassifyOptions,
    ForecastOptions,
    GenerateOptions,
    ProblemOptions,
    SearchOptions,
    SeriesOptions,
    TagOptions,
    TranslateOptions,
)
from stepscan.options.training import MOST_SEED, TrainingOptions

__all__ = [
    "ADDRESS",
    "BY_SIZE",
    "DATA",
    "LIMITS",
    "MODEL",
    "MOST_SEED",
    "N_BEST",
    "OUTPUT",
    "REGULARISATION",
    "RENAMED",
    "RENAMED_VALUES",
    "SERIES_TASKS",
    "SESSIONS",
    "TASKS",
    "TRAINING",
    "ClassifyOptions",
    "ForecastOptions",
    "GenerateOptions",
    "ModelOptions",
    "Option",
    "ProblemOptions",
    "ReadingOptions",
    "SearchOptions",
    "SeriesOptions",
    "ServeOptions",
    "Setting",
    "SymbolOptions",
    "TagOptions",
    "TrainingOptions",
    "TranslateOptions",
    "check_settings",
    "check_value",
    "described_options",
    "settings_of",
    "unknown_setting",
]
