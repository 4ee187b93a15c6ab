package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/compile"
	"github.com/open-policy-agent/opa/v1/ir"
	"github.com/open-policy-agent/opa/v1/util"
)

type buildRequest struct {
	sources
	Entrypoints []string `json:"entrypoints"`
}

// build compiles modules to WebAssembly; the attachment of the answer is the module.
func build(raw json.RawMessage) (any, []byte, error) {
	var request buildRequest
	able, parsed, err := opened(raw, &request)
	if err != nil {
		return nil, nil, err
	}
	plan, wasm, err := compiled(&request, able, parsed)
	if err != nil {
		return nil, nil, err
	}
	builtins, err := requiredBuiltins(wasm)
	if err != nil {
		return nil, nil, err
	}
	entrypoints := make([]string, 0, len(plan.Plans.Plans))
	for _, each := range plan.Plans.Plans {
		entrypoints = append(entrypoints, each.Name)
	}
	return map[string]any{"entrypoints": entrypoints, "builtins": builtins}, wasm, nil
}

// compiled makes the plan of modules, with the semantics they ask for, and the module of that.
func compiled(
	request *buildRequest, able *ast.Capabilities, parsed map[string]*ast.Module,
) (*ir.Policy, []byte, error) {
	semantics, err := semanticsOf(parsed)
	if err != nil {
		return nil, nil, err
	}
	plan, err := makePlan(request, able, parsed)
	if err != nil {
		return nil, nil, err
	}
	makeExact(plan, semantics == semanticsFast)
	wasm, err := toWasm(plan)
	if err != nil {
		return nil, nil, complaint{code: "rego_compile_error", err: err}
	}
	return plan, wasm, nil
}

const (
	semanticsExact = "exact" // what the interpreter answers
	semanticsFast  = "fast"  // what OPA's WebAssembly answers by itself, regular expressions excepted
)

// semanticsOf reads `semantics` in the custom annotations of the packages: exact, unless one says fast and none
// says exact. What is compiled together has the same.
func semanticsOf(parsed map[string]*ast.Module) (string, error) {
	chosen := ""
	for _, name := range util.KeysSorted(parsed) {
		for _, each := range parsed[name].Annotations {
			value, given := each.Custom["semantics"]
			if !given {
				continue
			}
			if value != semanticsExact && value != semanticsFast {
				return "", wrong(each, "semantics must be %s or %s", semanticsExact, semanticsFast)
			}
			if each.Scope != "package" && each.Scope != "subpackages" {
				return "", wrong(each, "semantics is said of a package, not of a %s", each.Scope)
			}
			if chosen != "" && chosen != value {
				return "", wrong(each, "semantics is %s here and %s in another file of the same module", value, chosen)
			}
			chosen, _ = value.(string)
		}
	}
	return cmp.Or(chosen, semanticsExact), nil
}

func wrong(at *ast.Annotations, message string, parts ...any) error {
	return ast.Errors{ast.NewError(ast.CompileErr, at.Loc(), message, parts...)}
}

func makePlan(request *buildRequest, able *ast.Capabilities, parsed map[string]*ast.Module) (*ir.Policy, error) {
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
		WithTarget(compile.TargetPlan).
		WithRegoVersion(version).
		WithRegoAnnotationEntrypoints(true).
		// Else every call of print would be taken out.
		WithEnablePrintStatements(true).
		// Else every rule that depends on an entrypoint would become one.
		WithPruneUnused(true).
		WithEntrypoints(request.Entrypoints...)
	err = compiler.Build(context.Background())
	if len(compiler.Bundle().PlanModules) == 1 {
		// What may still fail after the plan is complete is the layout of left-over Rego, which nobody wants.
		return planned(compiler)
	}
	if err == nil {
		err = fmt.Errorf("OPA made no plan")
	}
	if len(problems(err)) == 0 {
		err = complaint{code: "rego_compile_error", err: err}
	}
	return nil, err
}

// check parses and type checks.
func check(raw json.RawMessage) (any, []byte, error) {
	var request sources
	able, parsed, err := opened(raw, &request)
	if err != nil {
		return nil, nil, err
	}
	if _, err := request.checked(able, parsed); err != nil {
		return nil, nil, err
	}
	return true, nil, nil
}
