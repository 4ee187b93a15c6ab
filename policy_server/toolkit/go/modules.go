package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// sources is what every operation on modules takes.
type sources struct {
	Modules      map[string]string `json:"modules"`
	Dialect      string            `json:"dialect"`
	Capabilities json.RawMessage   `json:"capabilities"`
	Builtins     []*ast.Builtin    `json:"builtins"`
	Schemas      map[string]any    `json:"schemas"`
	Strict       bool              `json:"strict"`
}

func (s *sources) version() (ast.RegoVersion, error) {
	switch s.Dialect {
	case "v1":
		return ast.RegoV1, nil
	case "v0":
		return ast.RegoV0, nil
	}
	return ast.RegoUndefined, fmt.Errorf("unknown dialect %q", s.Dialect)
}

// opened reads a request about modules, and parses them.
func opened(raw json.RawMessage, request interface {
	abilities() (*ast.Capabilities, error)
	parse(able *ast.Capabilities) (map[string]*ast.Module, error)
}) (*ast.Capabilities, map[string]*ast.Module, error) {
	if err := json.Unmarshal(raw, request); err != nil {
		return nil, nil, err
	}
	able, err := request.abilities()
	if err != nil {
		return nil, nil, err
	}
	parsed, err := request.parse(able)
	return able, parsed, err
}

// abilities are the given capabilities, or OPA's own, plus the host's declarations.
func (s *sources) abilities() (*ast.Capabilities, error) {
	dialect, err := s.version()
	if err != nil {
		return nil, err
	}
	var able *ast.Capabilities
	if given(s.Capabilities) {
		able, err = ast.LoadCapabilitiesJSON(bytes.NewReader(s.Capabilities))
		if err != nil {
			return nil, fmt.Errorf("capabilities: %w", err)
		}
	} else {
		able = ast.CapabilitiesForThisVersion(ast.CapabilitiesRegoVersion(dialect))
	}
	// An own slice: OPA may share the one it hands out.
	able.Builtins = slices.Clone(able.Builtins)
	for _, extra := range s.Builtins {
		if extra == nil || extra.Decl == nil {
			return nil, fmt.Errorf("capabilities: a builtin without a declaration")
		}
		if !able.ContainsBuiltin(extra.Name) {
			able.Builtins = append(able.Builtins, extra)
		}
	}
	// Type checking must never want to fetch a remote schema.
	able.AllowNet = []string{}
	return able, nil
}

func (s *sources) parse(able *ast.Capabilities) (map[string]*ast.Module, error) {
	dialect, err := s.version()
	if err != nil {
		return nil, err
	}
	parsed := make(map[string]*ast.Module, len(s.Modules))
	var wrong ast.Errors
	for _, name := range util.KeysSorted(s.Modules) {
		module, err := ast.ParseModuleWithOpts(name, s.Modules[name], ast.ParserOptions{
			Capabilities:      able,
			ProcessAnnotation: true,
			RegoVersion:       dialect,
		})
		if err != nil {
			wrong = append(wrong, parseErrors(name, err)...)
			continue
		}
		if module == nil {
			wrong = append(wrong, ast.NewError(ast.ParseErr, ast.NewLocation(nil, name, 1, 1), "empty module"))
			continue
		}
		parsed[name] = module
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	return parsed, nil
}

func parseErrors(name string, err error) ast.Errors {
	var many ast.Errors
	if errors.As(err, &many) {
		return many
	}
	var one *ast.Error
	if !errors.As(err, &one) {
		one = ast.NewError(ast.ParseErr, nil, "%s", err.Error())
	}
	if one.Location == nil || one.Location.Row == 0 {
		one.Location = ast.NewLocation(nil, name, 1, 1)
	}
	return ast.Errors{one}
}

func (s *sources) schemaSet() *ast.SchemaSet {
	if len(s.Schemas) == 0 {
		return nil
	}
	set := ast.NewSchemaSet()
	for _, path := range slices.Sorted(maps.Keys(s.Schemas)) {
		ref := ast.Ref{ast.SchemaRootDocument}
		for part := range strings.SplitSeq(path, "/") {
			ref = append(ref, ast.StringTerm(part))
		}
		set.Put(ref, s.Schemas[path])
	}
	return set
}

// checked compiles parsed modules as far as the interpreter needs it.
func (s *sources) checked(able *ast.Capabilities, parsed map[string]*ast.Module) (*ast.Compiler, error) {
	compiler := s.compiler(able)
	if compiler.Compile(parsed); compiler.Failed() {
		return nil, compiler.Errors
	}
	return compiler, nil
}

// compiler prepares OPA's compiler the way all operations want it.
func (s *sources) compiler(able *ast.Capabilities) *ast.Compiler {
	compiler := ast.NewCompiler().
		WithCapabilities(able).
		WithStrict(s.Strict).
		WithEnablePrintStatements(true)
	if schemas := s.schemaSet(); schemas != nil {
		compiler = compiler.WithSchemas(schemas).WithUseTypeCheckAnnotations(true)
	}
	return compiler
}

// given tells whether an optional part of a request is there; null counts as a value only where asked.
func given(raw json.RawMessage) bool {
	return len(raw) > 0 && !bytes.Equal(raw, []byte("null"))
}
