"""Tests of the WebAssembly runtime."""
