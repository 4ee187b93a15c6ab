"""OPA's WebAssembly ABI on wasmtime."""
