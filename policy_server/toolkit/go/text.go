package main

import (
	"encoding/json"
	"runtime"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/util"
	opa "github.com/open-policy-agent/opa/v1/version"
)

type textRequest struct {
	sources
	Text string `json:"text"`
	Name string `json:"name"`
}

func (r *textRequest) read(raw json.RawMessage) (*ast.Module, ast.ParserOptions, error) {
	options := ast.ParserOptions{}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, options, err
	}
	able, err := r.abilities()
	if err != nil {
		return nil, options, err
	}
	version, err := r.version()
	if err != nil {
		return nil, options, err
	}
	options = ast.ParserOptions{Capabilities: able, ProcessAnnotation: true, RegoVersion: version}
	r.Modules = map[string]string{r.Name: r.Text}
	parsed, err := r.sources.parse(able)
	if err != nil {
		return nil, options, err
	}
	return parsed[r.Name], options, nil
}

func formatSource(raw json.RawMessage) (any, []byte, error) {
	var request textRequest
	_, options, err := request.read(raw)
	if err != nil {
		return nil, nil, err
	}
	formatted, err := format.SourceWithOpts(request.Name, []byte(request.Text), format.Opts{
		RegoVersion:   options.RegoVersion,
		ParserOptions: &options,
		Capabilities:  options.Capabilities,
	})
	return string(formatted), nil, err
}

func parse(raw json.RawMessage) (any, []byte, error) {
	var request textRequest
	module, _, err := request.read(raw)
	return module, nil, err
}

type inspectedRule struct {
	Path     []string `json:"path"`
	Function bool     `json:"function"`
	Default  bool     `json:"default"`
	Row      int      `json:"row"`
	Col      int      `json:"col"`
}

type inspectedFile struct {
	Package []string        `json:"package"`
	Row     int             `json:"row"`
	Col     int             `json:"col"`
	Imports []string        `json:"imports"`
	Rules   []inspectedRule `json:"rules"`
}

// inspect tells what modules hold without compiling them.
func inspect(raw json.RawMessage) (any, []byte, error) {
	var request sources
	_, parsed, err := opened(raw, &request)
	if err != nil {
		return nil, nil, err
	}
	files := map[string]inspectedFile{}
	modules := make([]*ast.Module, 0, len(parsed))
	for _, name := range util.KeysSorted(parsed) {
		files[name] = inspected(parsed[name])
		modules = append(modules, parsed[name])
	}
	set, wrong := ast.BuildAnnotationSet(modules)
	if len(wrong) > 0 {
		return nil, nil, wrong
	}
	annotations := set.Flatten()
	return map[string]any{
		"files":       files,
		"annotations": annotations,
		"entrypoints": annotatedEntrypoints(annotations),
	}, nil, nil
}

func inspected(module *ast.Module) inspectedFile {
	file := inspectedFile{
		Package: names(module.Package.Path[1:]),
		Imports: []string{},
		Rules:   []inspectedRule{},
	}
	if at := module.Package.Location; at != nil {
		file.Row, file.Col = at.Row, at.Col
	}
	for _, imported := range module.Imports {
		file.Imports = append(file.Imports, imported.Path.String())
	}
	for _, rule := range module.Rules {
		one := inspectedRule{
			Path:     names(rule.Head.Ref().GroundPrefix()),
			Function: len(rule.Head.Args) > 0,
			Default:  rule.Default,
		}
		if rule.Location != nil {
			one.Row, one.Col = rule.Location.Row, rule.Location.Col
		}
		file.Rules = append(file.Rules, one)
	}
	return file
}

func names(path ast.Ref) []string {
	parts := make([]string, 0, len(path))
	for _, term := range path {
		switch value := term.Value.(type) {
		case ast.Var:
			parts = append(parts, string(value))
		case ast.String:
			parts = append(parts, string(value))
		default:
			parts = append(parts, value.String())
		}
	}
	return parts
}

func annotatedEntrypoints(annotations []*ast.AnnotationsRef) []string {
	found := []string{}
	for _, each := range annotations {
		if each.Annotations == nil || !each.Annotations.Entrypoint {
			continue
		}
		if path, err := storage.NewPathForRef(each.Path); err == nil {
			found = append(found, strings.TrimPrefix(path.String(), "/"))
		}
	}
	return found
}

func capabilities(raw json.RawMessage) (any, []byte, error) {
	return ast.CapabilitiesForThisVersion(), nil, nil
}

func version(json.RawMessage) (any, []byte, error) {
	return map[string]string{"opa": opa.Version, "go": runtime.Version(), "toolkit": "1"}, nil, nil
}
