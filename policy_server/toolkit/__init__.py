"""OPA itself as a sandboxed WASI module."""
