package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/compile"
	"github.com/open-policy-agent/opa/v1/util"
)

type buildRequest struct {
	sources
	Entrypoints []string `json:"entrypoints"`
}

// build compiles modules to WebAssembly; the attachment of the answer is the module.
func build(raw json.RawMessage) (any, []byte, error) {
	var request buildRequest
	if err := json.Unmarshal(raw, &request); err != nil {
		return nil, nil, err
	}
	able, err := request.abilities()
	if err != nil {
		return nil, nil, err
	}
	parsed, err := request.parse(able)
	if err != nil {
		return nil, nil, err
	}
	linked, err := link(&request, able, parsed)
	if err != nil {
		return nil, nil, err
	}
	wasm := linked.WasmModules[0].Raw
	builtins, err := requiredBuiltins(wasm)
	if err != nil {
		return nil, nil, err
	}
	entrypoints := make([]string, 0, len(linked.Manifest.WasmResolvers))
	for _, resolver := range linked.Manifest.WasmResolvers {
		entrypoints = append(entrypoints, resolver.Entrypoint)
	}
	return map[string]any{"entrypoints": entrypoints, "builtins": builtins}, wasm, nil
}

func link(request *buildRequest, able *ast.Capabilities, parsed map[string]*ast.Module) (*bundle.Bundle, error) {
	version, err := request.version()
	if err != nil {
		return nil, err
	}
	input := &bundle.Bundle{Data: map[string]any{}}
	input.SetRegoVersion(version)
	input.Manifest.Init()
	for _, name := range util.KeysSorted(parsed) {
		input.Modules = append(input.Modules, bundle.ModuleFile{
			URL: name, Path: name, Parsed: parsed[name], Raw: []byte(request.Modules[name]),
		})
	}
	compiler := compile.New().
		WithBundle(input).
		WithCapabilities(able).
		WithTarget(compile.TargetWasm).
		WithRegoVersion(version).
		WithRegoAnnotationEntrypoints(true).
		// Else every rule that depends on an entrypoint would become one.
		WithPruneUnused(true).
		WithEntrypoints(request.Entrypoints...)
	err = compiler.Build(context.Background())
	output := compiler.Bundle()
	if len(output.WasmModules) == 1 {
		// What may still fail after the module is complete is the layout of left-over Rego, which nobody wants.
		return output, nil
	}
	if err == nil {
		err = fmt.Errorf("OPA answered no module")
	}
	if len(problems(err)) == 0 {
		err = complaint{code: "rego_compile_error", err: err}
	}
	return nil, err
}

// check parses and type checks.
func check(raw json.RawMessage) (any, []byte, error) {
	var request sources
	if err := json.Unmarshal(raw, &request); err != nil {
		return nil, nil, err
	}
	able, err := request.abilities()
	if err != nil {
		return nil, nil, err
	}
	parsed, err := request.parse(able)
	if err != nil {
		return nil, nil, err
	}
	compiler := request.compiler(able)
	if compiler.Compile(parsed); compiler.Failed() {
		return nil, nil, compiler.Errors
	}
	return true, nil, nil
}
