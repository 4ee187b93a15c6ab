package main

import (
	"encoding/json"
	"errors"
	"strings"
	"unsafe"

	"github.com/open-policy-agent/opa/v1/ast"
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

func askHost(name string, operands []*ast.Term) (*ast.Term, error) {
	arguments := make([]any, 0, len(operands))
	for _, operand := range operands {
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
	answered := hostCall(name, unsafe.String(unsafe.SliceData(encoded), len(encoded)))
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
		value, err := ast.ValueFromReader(strings.NewReader(string(text)))
		if err != nil {
			return nil, err
		}
		return ast.NewTerm(value), nil
	case answerUnavailable:
		return nil, errUnavailable
	}
	return nil, errors.New(string(text))
}

func hostBuiltin(name string) topdown.BuiltinFunc {
	return func(bctx topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
		result, err := askHost(name, operands)
		if err != nil {
			return &topdown.Error{Code: topdown.BuiltinErr, Message: name + ": " + err.Error(), Location: bctx.Location}
		}
		if result == nil {
			return nil
		}
		return iter(result)
	}
}

// There are no sockets here: what needs the network is the host's to answer, or nobody's.
var networked = []string{ast.HTTPSend.Name, ast.NetLookupIPAddr.Name}

func init() {
	for _, name := range networked {
		topdown.RegisterBuiltinFunc(name, hostBuiltin(name))
	}
}

// hosted lists the builtins that only the host has: declared to us, unknown to OPA.
func hosted(able *ast.Capabilities) map[string]*topdown.Builtin {
	found := map[string]*topdown.Builtin{}
	for _, declared := range able.Builtins {
		if topdown.GetBuiltin(declared.Name) == nil && ast.BuiltinMap[declared.Name] == nil {
			found[declared.Name] = &topdown.Builtin{Decl: declared, Func: hostBuiltin(declared.Name)}
		}
	}
	return found
}

// decodeAny reads JSON keeping the spelling of numbers.
func decodeAny(raw json.RawMessage) (any, error) {
	var value any
	err := util.UnmarshalJSON(raw, &value)
	return value, err
}
