package main

import (
	"encoding/json"
	"errors"
	"unsafe"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/util"
)

// hostCall asks the host; it answers a status and a length, and keeps the text until hostTake fetches it.
//
//go:wasmimport policy_server host_call
func hostCall(name string, arguments string) uint64

//go:wasmimport policy_server host_take
func hostTake(target unsafe.Pointer)

// What the host makes of a call; the Python side knows the same numbers.
const (
	answerUndefined = iota
	answerValue
	answerFailed
	answerUnavailable
)

var errUnavailable = errors.New("not available in the toolkit")

func askHost(declared *ast.Builtin, operands []*ast.Term) (*ast.Term, error) {
	arguments := []any{}
	// What comes after the arguments is the variable for the result.
	for _, operand := range operands[:declared.Decl.Arity()] {
		value, err := ast.JSONWithOpt(operand.Value, ast.JSONOpt{SortSets: true})
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, value)
	}
	encoded, err := json.Marshal(arguments)
	if err != nil {
		return nil, err
	}
	answered := hostCall(declared.Name, unsafe.String(unsafe.SliceData(encoded), len(encoded)))
	status, size := answered>>32, uint32(answered)
	text := make([]byte, size+1)
	if size > 0 {
		hostTake(unsafe.Pointer(unsafe.SliceData(text)))
	}
	text = text[:size]
	switch status {
	case answerUndefined:
		return nil, nil
	case answerValue:
		// Value text, not JSON: the host's functions may answer sets.
		value, err := parseValue(text)
		if err != nil {
			return nil, err
		}
		return ast.NewTerm(value), nil
	case answerUnavailable:
		return nil, errUnavailable
	}
	return nil, errors.New(string(text))
}

func hostBuiltin(declared *ast.Builtin) topdown.BuiltinFunc {
	return func(bctx topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
		result, err := askHost(declared, operands)
		if err != nil {
			return &topdown.Error{Code: topdown.BuiltinErr, Message: declared.Name + ": " + err.Error(), Location: bctx.Location}
		}
		if result == nil {
			return nil
		}
		return iter(result)
	}
}

// There are no sockets here: what needs the network is the host's to answer, or nobody's.
var networked = []*ast.Builtin{ast.HTTPSend, ast.NetLookupIPAddr}

func init() {
	for _, each := range networked {
		topdown.RegisterBuiltinFunc(each.Name, hostBuiltin(each))
	}
}

// hosted lists the builtins that only the host has: declared to us, unknown to OPA.
func hosted(able *ast.Capabilities) (found []*ast.Builtin) {
	for _, declared := range able.Builtins {
		if topdown.GetBuiltin(declared.Name) == nil && ast.BuiltinMap[declared.Name] == nil {
			found = append(found, declared)
		}
	}
	return found
}

func hostFunction(declared *ast.Builtin) func(*rego.Rego) {
	return rego.FunctionDyn(
		&rego.Function{Name: declared.Name, Decl: declared.Decl, Nondeterministic: declared.Nondeterministic},
		func(_ rego.BuiltinContext, operands []*ast.Term) (*ast.Term, error) {
			return askHost(declared, operands)
		},
	)
}

func hostFunctions(able *ast.Capabilities) (functions []func(*rego.Rego)) {
	for _, declared := range hosted(able) {
		functions = append(functions, hostFunction(declared))
	}
	return functions
}

func hostBuiltins(able *ast.Capabilities) (builtins []*tester.Builtin) {
	for _, declared := range hosted(able) {
		builtins = append(builtins, &tester.Builtin{Decl: declared, Func: hostFunction(declared)})
	}
	return builtins
}

// decodeAny reads JSON keeping the spelling of numbers.
func decodeAny(raw json.RawMessage) (any, error) {
	var value any
	err := util.UnmarshalJSON(raw, &value)
	return value, err
}
