package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

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
	Package      string          `json:"package"` // where names of the query are looked for
	Imports      []string        `json:"imports"`
	Now          int64           `json:"now_ns"`      // what time.now_ns answers; 0 is now
	TraceLimit   int             `json:"trace_limit"` // how many events are kept; 0 is all
	TextOnly     bool            `json:"text_only"`   // leaves out the result and the events
}

type printed struct {
	Message string `json:"message"`
	File    string `json:"file"`
	Row     int    `json:"row"`
}

// maxPrinted is how many lines of one evaluation are kept; a loop could print for ever.
const maxPrinted = 1000

type printer struct{ lines []printed }

func (p *printer) Print(at print.Context, message string) error {
	if len(p.lines) == maxPrinted {
		return nil
	}
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
	able, parsed, err := opened(raw, &request)
	if err != nil {
		return nil, nil, err
	}
	compiler, err := request.checked(able, parsed)
	if err != nil {
		return nil, nil, err
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
	output := &printer{lines: []printed{}}
	var failures []topdown.Error
	prepared, err := r.prepare(able, compiler, store, output, &failures)
	if err != nil {
		return nil, err
	}
	options, err := r.options()
	if err != nil {
		return nil, err
	}
	return r.observed(context.Background(), prepared, options, parsed, output, &failures)
}

func (r *evalRequest) prepare(
	able *ast.Capabilities, compiler *ast.Compiler, store storage.Store, output *printer, failures *[]topdown.Error,
) (rego.PreparedEvalQuery, error) {
	version, err := r.version()
	if err != nil {
		return rego.PreparedEvalQuery{}, err
	}
	settings := append(hostFunctions(able),
		rego.Query(r.Query),
		rego.Compiler(compiler),
		rego.Capabilities(able),
		rego.SetRegoVersion(version),
		rego.Store(store),
		rego.EnablePrintStatements(true),
		rego.PrintHook(output),
		rego.StrictBuiltinErrors(r.StrictErrors),
		rego.BuiltinErrorList(failures),
		rego.Imports(r.Imports),
	)
	if r.Package != "" {
		settings = append(settings, rego.Package(r.Package))
	}
	return rego.New(settings...).PrepareForEval(context.Background())
}

func (r *evalRequest) options() ([]rego.EvalOption, error) {
	options := []rego.EvalOption{rego.EvalSortSets(true)}
	if r.Now != 0 {
		options = append(options, rego.EvalTime(time.Unix(0, r.Now)))
	}
	if r.Defined {
		value, err := ast.ValueFromReader(bytes.NewReader(r.Input))
		if err != nil {
			return nil, err
		}
		options = append(options, rego.EvalParsedInput(value))
	}
	return options, nil
}

func (r *evalRequest) observed(
	ctx context.Context, prepared rego.PreparedEvalQuery, options []rego.EvalOption,
	parsed map[string]*ast.Module, output *printer, failures *[]topdown.Error,
) (any, error) {
	answer := map[string]any{}
	var tracer *boundedTracer
	switch r.Trace {
	case "", "off":
	case "notes", "fails", "full":
		tracer = &boundedTracer{most: r.TraceLimit}
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
	if !r.TextOnly {
		answer["result"] = results
	}
	answer["print"] = output.lines
	answer["errors"] = builtinFailures(*failures)
	if tracer != nil {
		events := chosen(tracer.BufferTracer, r.Trace)
		if !r.TextOnly {
			answer["trace"] = described(events)
		}
		text, whole := written(events, r.TraceLimit > 0)
		answer["trace_text"], answer["trace_cut"] = text, tracer.cut || !whole
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
