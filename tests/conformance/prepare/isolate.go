package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/test/cases"
)

// isolated returns the modules and, last, the query with everything under data moved into data.<id>.
//
// The text is edited where the parser found "data", and parsed again: unless that gives what the same
// change to the syntax tree gives, the case is not moved. The error says why.
func (s suite) isolated(each cases.TestCase, id string) ([]string, error) {
	options := ast.ParserOptions{
		RegoVersion:       s.version,
		ProcessAnnotation: true,
		Capabilities:      ast.CapabilitiesForThisVersion(ast.CapabilitiesRegoVersion(s.version)),
	}
	result := make([]string, 0, len(each.Modules)+1)
	for _, source := range each.Modules {
		if strings.Contains(source, "rego.metadata") {
			return nil, errors.New("its answer tells the path of its package")
		}
		moved, err := movedModule(source, id, options)
		if err != nil {
			return nil, err
		}
		result = append(result, moved)
	}
	moved, err := movedQuery(each.Query, id, options)
	return append(result, moved), err
}

func movedModule(source, id string, options ast.ParserOptions) (string, error) {
	parsed, err := ast.ParseModuleWithOpts("", source, options)
	if err != nil {
		return "", fmt.Errorf("a module does not parse: %w", err)
	}
	for _, each := range parsed.Imports {
		if path, ok := each.Path.Value.(ast.Ref); ok && len(path) == 1 && each.Alias == "" {
			return "", errors.New("it imports a whole document")
		}
	}
	edits := map[int]string{parsed.Package.Path[0].Location.Offset: id + "."}
	for _, each := range parsed.Imports {
		if err := places(each, id, edits); err != nil {
			return "", err
		}
	}
	for _, each := range parsed.Rules {
		if err := places(each, id, edits); err != nil {
			return "", err
		}
	}
	edited := applied(source, edits)
	again, err := ast.ParseModuleWithOpts("", edited, options)
	if err != nil {
		return "", fmt.Errorf("a module cannot be moved: %w", err)
	}
	wanted, err := ast.TransformRefs(parsed, under(id))
	if err != nil {
		return "", err
	}
	if !wanted.(*ast.Module).Equal(again) {
		return "", errors.New("a module cannot be moved by changing its text")
	}
	return edited, nil
}

func movedQuery(source, id string, options ast.ParserOptions) (string, error) {
	parsed, err := ast.ParseBodyWithOpts(source, options)
	if err != nil {
		return "", fmt.Errorf("the query does not parse: %w", err)
	}
	edits := map[int]string{}
	if err := places(parsed, id, edits); err != nil {
		return "", err
	}
	edited := applied(source, edits)
	again, err := ast.ParseBodyWithOpts(edited, options)
	if err != nil {
		return "", fmt.Errorf("the query cannot be moved: %w", err)
	}
	wanted, err := ast.TransformRefs(parsed, under(id))
	if err != nil {
		return "", err
	}
	if !wanted.(ast.Body).Equal(again) {
		return "", errors.New("the query cannot be moved by changing its text")
	}
	return edited, nil
}

// places notes what goes behind every "data" that begins a reference, by offset.
func places(node any, id string, edits map[int]string) error {
	var wrong error
	ast.WalkTerms(node, func(term *ast.Term) bool {
		if term.Value.Compare(ast.DefaultRootDocument.Value) == 0 {
			wrong = errors.New("it has a variable called data")
		}
		ref, ok := term.Value.(ast.Ref)
		if !ok || !ref[0].Equal(ast.DefaultRootDocument) {
			return false
		}
		if ref[0].Location == nil {
			wrong = errors.New("a reference has no place")
			return true
		}
		edits[ref[0].Location.Offset+len("data")] = "." + id
		for _, each := range ref[1:] {
			if err := places(each, id, edits); err != nil {
				wrong = err
			}
		}
		return true
	})
	return wrong
}

func applied(source string, edits map[int]string) string {
	var result strings.Builder
	from := 0
	for _, at := range slices.Sorted(maps.Keys(edits)) {
		at = min(at, len(source))
		result.WriteString(source[from:at])
		result.WriteString(edits[at])
		from = at
	}
	result.WriteString(source[from:])
	return result.String()
}

func under(id string) func(ast.Ref) (ast.Value, error) {
	return func(ref ast.Ref) (ast.Value, error) {
		if !ref[0].Equal(ast.DefaultRootDocument) {
			return ref, nil
		}
		return slices.Insert(slices.Clone(ref), 1, ast.StringTerm(id)), nil
	}
}
