package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
)

// A builtin request is, little endian: time in ns (8 bytes), seed (8), length of the name (1),
// the name, number of arguments (1), then of each argument its length (4) and its value text.
// The answer is one byte of status (answerUndefined …) and the value text or the message.
//
// PERF: this is called in the middle of evaluations; JSON around it would double its price.

// sealed are the capabilities of a place without a network.
var sealed = func() *ast.Capabilities {
	able := ast.CapabilitiesForThisVersion()
	able.AllowNet = []string{}
	return able
}()

//go:wasmexport builtin
func builtin(size uint32) uint64 {
	request := requestBuffer[:size]
	status := byte(answerFailed)
	err := guarded(func() error {
		answerBuffer = append(answerBuffer[:0], answerUndefined)
		value, err := callBuiltin(request)
		if err != nil {
			return err
		}
		status = answerUndefined
		if value != nil {
			status = answerValue
			answerBuffer = appendValue(answerBuffer, value)
		}
		return nil
	})
	if err != nil {
		status = statusOf(err)
		answerBuffer = append(answerBuffer[:0], status)
		answerBuffer = append(answerBuffer, messageOf(err)...)
	}
	answerBuffer[0] = status
	return packed(answerBuffer)
}

func statusOf(err error) byte {
	var unknown unavailable
	if errors.Is(err, errUnavailable) || errors.As(err, &unknown) {
		return answerUnavailable
	}
	return answerFailed
}

func messageOf(err error) string {
	var failed *topdown.Error
	if errors.As(err, &failed) {
		return failed.Message
	}
	return err.Error()
}

type unavailable struct{ message string }

func (u unavailable) Error() string { return u.message }

func callBuiltin(request []byte) (ast.Value, error) {
	now := int64(binary.LittleEndian.Uint64(request))
	nameEnd := 17 + int(request[16])
	name := string(request[17:nameEnd])
	count := int(request[nameEnd])
	at := nameEnd + 1

	run := topdown.GetBuiltin(name)
	declared := ast.BuiltinMap[name]
	if run == nil || declared == nil || declared.Relation {
		return nil, unavailable{"OPA has no function " + name + " that could be called alone"}
	}
	for _, away := range networked {
		if name == away.Name {
			return nil, unavailable{name + " needs a network, which the toolkit does not have"}
		}
	}
	if arity := declared.Decl.Arity(); count != arity {
		return nil, fmt.Errorf("%s: %d arguments, want %d", name, count, arity)
	}
	operands := make([]*ast.Term, 0, count+1)
	for range count {
		size := int(binary.LittleEndian.Uint32(request[at:]))
		text := request[at+4 : at+4+size]
		at += 4 + size
		value, err := parseValue(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		operands = append(operands, ast.NewTerm(value))
	}
	return once(run, request, now, operands)
}

func once(run topdown.BuiltinFunc, request []byte, now int64, operands []*ast.Term) (ast.Value, error) {
	var found ast.Value
	context := topdown.BuiltinContext{
		Context:      context.Background(),
		Time:         ast.NumberTerm(json.Number(strconv.FormatInt(now, 10))),
		Seed:         &randomness{request: request},
		Cache:        builtins.Cache{},
		Cancel:       topdown.NewCancel(),
		Location:     &ast.Location{},
		Capabilities: sealed,
	}
	err := run(context, operands, func(term *ast.Term) error {
		if term != nil {
			found = term.Value
		}
		return nil
	})
	return found, err
}

// randomness is endless, and the same for the same request: seed, time, name and arguments.
type randomness struct {
	request []byte
	source  *rand.ChaCha8
}

func (r *randomness) Read(target []byte) (int, error) {
	if r.source == nil {
		r.source = rand.NewChaCha8(sha256.Sum256(r.request))
	}
	return r.source.Read(target)
}
