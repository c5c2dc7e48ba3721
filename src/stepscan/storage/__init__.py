"""Model folders: written atomically, and read as untrusted input. Nothing here imports torch.

| module | content |
|---|---|
| `folder`, `snapshot` | a model folder, each of its files read once and checked |
| `configuration`, `settings`, `format_upgrade` | `config.json`, the settings in it, and its earlier versions |
| `tensor_file`, `wide_part` | safetensors, and the wide part of a model |
| `atomic`, `lock`, `ownership` | a folder is replaced as a whole, by one writer at a time, and only if it is a model |
| `compression` | a folder with smaller weights |
"""
