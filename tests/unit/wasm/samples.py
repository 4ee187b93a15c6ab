"""Rego and WebAssembly that the tests of this room share."""

TRIVIAL = """package t.p

default allow := false

allow if input.user == "alice"

limit := data.limit
"""

EVERYTHING = """# METADATA
# custom:
#   semantics: fast
package t.p

# METADATA
# entrypoint: true
plain := {"b": 1, "a": [true, null, "x y"], "c": {"z": {}, "y": []}}

# METADATA
# entrypoint: true
odd := {[2, 1]: "array", {3, 1, 2}: "set", 1: "number", null: "null", true: "true", {"k": 1}: "object", "s": "string"}

# METADATA
# entrypoint: true
sets := {"numbers": {3, 1, 2.5, 10}, "mixed": {"b", "a", null, true, 1, [1], {"k": 1}, {1, 2}}, "none": set()}

# METADATA
# entrypoint: true
spelled := [1.50, 1e2, 123456789012345678901234567890, 0.1, -0.5, 1E+2]

# METADATA
# entrypoint: true
echo := input

# METADATA
# entrypoint: true
document := data.doc

# METADATA
# entrypoint: true
missing := 1 if input.never

# METADATA
# entrypoint: true
bytes := base64.decode("4oJB/w==")

# METADATA
# entrypoint: true
conflict := 1 if input.both

conflict := 2 if input.both

# METADATA
# entrypoint: true
object_conflict := {"same": v | some v in input.values}

# METADATA
# entrypoint: true
endless if {
	# A million times a million steps without an allocation: the memory limit never comes first.
	some zero in [0, -1]
	some _ in _many
	some _ in _many
	some each in _many
	each == zero
}

_many := numbers.range(1, 10000)

# METADATA
# entrypoint: true
hungry := [x | some i in numbers.range(0, 50000000); x := [i, i, i]]

# METADATA
# entrypoint: true
long := concat("", [input.text | some _ in numbers.range(1, input.times)])

# METADATA
# entrypoint: true
abort := format_int(99999999999, 10)

# METADATA
# entrypoint: true
replaced := x if {
	x := inner with input.x as 5
}

inner := input.x

# METADATA
# entrypoint: true
constants := [true, false, null, {1, null}, is_null(null), is_boolean(true)]
"""
"""One rule for each thing an evaluation can do; every rule is an entrypoint of its own."""


def fake(**parts: str) -> str:
    """Return WebAssembly text with OPA's ABI that does nothing; parts replace parts of it."""
    given = {
        "imports": '(import "env" "memory" (memory 2))',
        "start": "",
        "major": "1",
        "minor": "3",
        "builtins": "i32.const 16",
        "entrypoints": "i32.const 16",
        "dump": "local.get 0",
        "eval": "i32.const 32",
        "malloc": "i32.const 1024",
        "parse": "i32.const 8",
        "more": "",
        **parts,
    }
    return """(module {imports}
  (data (i32.const 16) "{{}}\\00")
  (data (i32.const 32) "set()\\00")
  (global (export "opa_wasm_abi_version") i32 (i32.const {major}))
  (global (export "opa_wasm_abi_minor_version") i32 (i32.const {minor}))
  (func (export "builtins") (result i32) {builtins})
  (func (export "entrypoints") (result i32) {entrypoints})
  (func (export "opa_value_dump") (param i32) (result i32) {dump})
  (func (export "opa_value_parse") (param i32 i32) (result i32) {parse})
  (func (export "opa_malloc") (param i32) (result i32) {malloc})
  (func (export "opa_free") (param i32))
  (func (export "opa_heap_ptr_get") (result i32) i32.const 1024)
  (func (export "opa_heap_ptr_set") (param i32))
  (func (export "opa_eval") (param i32 i32 i32 i32 i32 i32 i32) (result i32) {eval})
  {more} {start})""".format(**given)
