"""From files to batches: readers, tokenizers, word vectors, built-in and generated data sets.

| module | what it does |
|---|---|
| `task_data` | reads the files of a task, whatever their format |
| `readers`, `conll`, `series` | read texts and pairs, tagged sentences, numeric series |
| `tables`, `lines`, `byte_streams` | rows of CSV, TSV and JSON; lines of text; bytes of files and pipes |
| `tokenizers`, `vectors` | text to ids and back; pretrained word vectors |
| `batching` | groups and pads examples (the only module here that imports torch) |
| `builtin`, `synthetic` | data sets without a download; generated tasks from papers |
"""
