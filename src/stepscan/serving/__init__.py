"""`stepscan serve`: models over HTTP. FastAPI is imported when a server starts; torch never is.

| module | content |
|---|---|
| `inside` | units and gates of a model while it reads, and the words that its answer depends on |
| `names` | under which names folders are served |
| `page_files` | the page at `/`: its files in `page/`, and the headers that guard it |
| `serve` | starting and ending a server |
"""
