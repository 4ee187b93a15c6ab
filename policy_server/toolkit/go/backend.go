package main

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"unsafe"

	"github.com/open-policy-agent/opa/v1/compile"
	"github.com/open-policy-agent/opa/v1/ir"
)

// OPA plans a policy (v1/ir) and makes WebAssembly of the plan in one step. To change the plan in
// between, the second half of that step is called here by its name in the linker: OPA keeps it in
// an internal package. A version of OPA without one of these names does not link, and the version
// is pinned in go.mod, so a change of their types cannot go unnoticed: the tests compile policies.

//go:linkname backendNew github.com/open-policy-agent/opa/internal/compiler/wasm.New
func backendNew() unsafe.Pointer

//go:linkname backendWithPolicy github.com/open-policy-agent/opa/internal/compiler/wasm.(*Compiler).WithPolicy
func backendWithPolicy(backend unsafe.Pointer, plan *ir.Policy) unsafe.Pointer

//go:linkname backendCompile github.com/open-policy-agent/opa/internal/compiler/wasm.(*Compiler).Compile
func backendCompile(backend unsafe.Pointer) (unsafe.Pointer, error)

//go:linkname writeModule github.com/open-policy-agent/opa/internal/wasm/encoding.WriteModule
func writeModule(to io.Writer, module unsafe.Pointer) error

// native tells whether WebAssembly made by OPA has this function itself.
//
//go:linkname native github.com/open-policy-agent/opa/internal/compiler/wasm.IsWasmEnabled
func native(name string) bool

// planned takes the plan out of a compiler that was built for the target `plan`.
func planned(compiler *compile.Compiler) (*ir.Policy, error) {
	field := reflect.ValueOf(compiler).Elem().FieldByName("policy")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*ir.Policy]() {
		return nil, fmt.Errorf("this version of OPA keeps its plans elsewhere")
	}
	plan := *(**ir.Policy)(unsafe.Pointer(field.UnsafeAddr()))
	if plan == nil {
		return nil, fmt.Errorf("OPA made no plan")
	}
	return plan, nil
}

func toWasm(plan *ir.Policy) ([]byte, error) {
	module, err := backendCompile(backendWithPolicy(backendNew(), plan))
	if err != nil {
		return nil, err
	}
	var wasm bytes.Buffer
	err = writeModule(&wasm, module)
	return wasm.Bytes(), err
}
