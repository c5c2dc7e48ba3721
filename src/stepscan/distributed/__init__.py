"""Prediction on several processes and machines, with Ray (`pip install 'stepscan[ray]'`).

| module | content |
|---|---|
| `datasets` | `predict`: data sets of Ray Data, with the predictions as columns |
| `runs` | `predict_files`: Parquet files into Parquet files, in parts that are written once; with or without Ray |
| `parts`, `part_writer` | the plan of a run; what a worker does with a part |
| `rows`, `record_columns` | a model and its settings, over the rows of a table |
| `locations` | folders on any file system |
| `cluster` | the connection to Ray, and its workers |

Workers hold models that `stepscan.runtime` loads: none imports torch.
"""

from stepscan.distributed.datasets import predict
from stepscan.distributed.rows import RowPredictor
from stepscan.distributed.runs import Summary, predict_files

__all__ = ["RowPredictor", "Summary", "predict", "predict_files"]
