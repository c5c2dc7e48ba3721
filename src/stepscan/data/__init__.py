"""From files to batches: readers, tokenizers, word vectors, built-in and generated data sets.

| module | content |
|---|---|
| `task_data`, `model_inputs` | the examples of a task, and the inputs to predict from, in any file format |
| `read_options` | how files are read, where their names do not tell it |
| `readers`, `corpus`, `conll`, `series` | labelled texts and pairs, one long text, tagged sentences, numeric series |
| `tables`, `lines`, `byte_streams` | rows of CSV, TSV and JSON; lines of text; bytes of files and pipes |
| `labels`, `label_checks` | labels as files write them, and what looks like a mistake in them |
| `tokenizers`, `vectors` | text to ids and back; pretrained word vectors |
| `batching` | groups and pads examples (the only module here that imports torch) |
| `builtin`, `synthetic` | data sets without a download; generated tasks from papers |
"""
