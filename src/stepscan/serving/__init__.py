"""`stepscan serve`: models over HTTP. FastAPI is imported when a server starts; torch never is.

| module | content |
|---|---|
| `serve`, `names`, `access` | starting and ending a server; names of models; tokens |
| `http_protocol`, `app`, `router`, `openapi`, `call`, `errors`, `fields`, `inputs` | the way of a request |
| `routes/`, `writing`, `push_all`, `socket_protocol`, `sockets`, `socket_session` | what requests and WebSockets do |
| `served`, `engine`, `gate` | all that is served; a model with its threads; how many requests are let in |
| `stepper`, `text_group`, `text_task`, `session_group`, `session_tasks` … | the thread that steps |
| `worker`, `predictions` | the thread that predicts |
| `record`, `journal`, `prefixes` | sessions; sessions on disk; states after prompts |
| `deliveries`, `channel`, `fair_queue` | between the threads and the event loop; turns |
| `metrics`, `logs` | figures; the log |
| `page_files`, `page/` | the page at `/`: its headers; its files |
| `inside/` | what the layers of a model do at each step, and the words that its answer depends on |
"""
