"""What a fitted model can do, once for estimators and for models that are loaded without torch.

| module | content |
|---|---|
| `model` | `FittedModel`, the base of both, and `RuntimeModel`, loaded without torch |
| `classifier`, `tagger`, `language_model`, `translator`, `forecaster` | the methods of a task, and its runtime model |
| `ensemble` | several models of one task as one |
| `sessions` | sequences that are read in pieces |
| `files` | predictions and scores of whole files, for the command line |
| `token_writer`, `stop_texts`, `symbol_scores` | parts of language models and translators |
"""
