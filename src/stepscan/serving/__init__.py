"""`stepscan serve`: models over HTTP. FastAPI is imported when a server starts; torch never is.

| module | content |
|---|---|
| `names` | under which names folders are served |
| `serve` | starting and ending a server |
"""
