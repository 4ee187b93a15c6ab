package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/print"
)

type evalRequest struct {
	sources
	Query        string          `json:"query"`
	Data         json.RawMessage `json:"data"`
	Input        json.RawMessage `json:"input"`
	Defined      bool            `json:"defined"` // whether there is an input; null is one
	Trace        string          `json:"trace"`
	StrictErrors bool            `json:"strict_errors"`
	Coverage     bool            `json:"coverage"`
}

type printed struct {
	Message string `json:"message"`
	File    string `json:"file"`
	Row     int    `json:"row"`
}

type printer struct{ lines []printed }

func (p *printer) Print(at print.Context, message string) error {
	line := printed{Message: message}
	if at.Location != nil {
		line.File, line.Row = at.Location.File, at.Location.Row
	}
	p.lines = append(p.lines, line)
	return nil
}

// evaluate runs a query in OPA's interpreter.
func evaluate(raw json.RawMessage) (any, []byte, error) {
	var request evalRequest
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
	store, err := dataStore(request.Data)
	if err != nil {
		return nil, nil, err
	}
	answer, err := request.run(able, parsed, compiler, store)
	return answer, nil, err
}

func dataStore(raw json.RawMessage) (storage.Store, error) {
	document := map[string]any{}
	if given(raw) {
		value, err := decodeAny(raw)
		if err != nil {
			return nil, err
		}
		object, ok := value.(map[string]any)
		if !ok {
			return nil, complaint{code: "data_error", err: errors.New("data is not an object")}
		}
		document = object
	}
	return inmem.NewFromObjectWithOpts(document, inmem.OptRoundTripOnWrite(false)), nil
}

func (r *evalRequest) run(
	able *ast.Capabilities, parsed map[string]*ast.Module, compiler *ast.Compiler, store storage.Store,
) (any, error) {
	version, err := r.version()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	output := &printer{lines: []printed{}}
	var failures []topdown.Error
	settings := append(hostFunctions(able),
		rego.Query(r.Query),
		rego.Compiler(compiler),
		rego.Capabilities(able),
		rego.SetRegoVersion(version),
		rego.Store(store),
		rego.EnablePrintStatements(true),
		rego.PrintHook(output),
		rego.StrictBuiltinErrors(r.StrictErrors),
		rego.BuiltinErrorList(&failures),
	)
	prepared, err := rego.New(settings...).PrepareForEval(ctx)
	if err != nil {
		return nil, err
	}
	options := []rego.EvalOption{rego.EvalSortSets(true)}
	if r.Defined {
		value, err := ast.ValueFromReader(bytes.NewReader(r.Input))
		if err != nil {
			return nil, err
		}
		options = append(options, rego.EvalParsedInput(value))
	}
	return r.observed(ctx, prepared, options, parsed, output, &failures)
}

func (r *evalRequest) observed(
	ctx context.Context, prepared rego.PreparedEvalQuery, options []rego.EvalOption,
	parsed map[string]*ast.Module, output *printer, failures *[]topdown.Error,
) (any, error) {
	answer := map[string]any{}
	var tracer *topdown.BufferTracer
	switch r.Trace {
	case "", "off":
	case "notes", "fails", "full":
		tracer = topdown.NewBufferTracer()
		options = append(options, rego.EvalQueryTracer(tracer))
	default:
		return nil, fmt.Errorf("unknown trace %q", r.Trace)
	}
	var covered *cover.Cover
	if r.Coverage {
		covered = cover.New()
		options = append(options, rego.EvalQueryTracer(covered))
	}
	results, err := prepared.Eval(ctx, options...)
	if err != nil {
		return nil, err
	}
	if results == nil {
		results = rego.ResultSet{}
	}
	answer["result"] = results
	answer["print"] = output.lines
	answer["errors"] = builtinFailures(*failures)
	if tracer != nil {
		answer["trace"], answer["trace_text"] = traced(*tracer, r.Trace)
	}
	if covered != nil {
		answer["coverage"] = covered.Report(parsed)
	}
	return answer, nil
}

func builtinFailures(failures []topdown.Error) []problem {
	found := []problem{}
	for _, each := range failures {
		found = append(found, located(each.Code, each.Message, each.Location))
	}
	return found
}
