"""Run Rego policies as WebAssembly, in process, behind HTTP."""
