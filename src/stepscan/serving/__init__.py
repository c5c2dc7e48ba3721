"""An HTTP server for models; see docs/serve.md."""
