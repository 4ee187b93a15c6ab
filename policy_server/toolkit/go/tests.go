package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/util"
)

type testBuildRequest struct {
	buildRequest
	Places []place `json:"places"` // the tests that are wanted; none means all
}

// testRule tells how a test is asked for in the module.
type testRule struct {
	File       string `json:"file"`
	Row        int    `json:"row"`
	Col        int    `json:"col"`
	Entrypoint string `json:"entrypoint"`
	Cases      bool   `json:"cases"`  // the value is an object of test cases
	Reason     string `json:"reason"` // why no module can answer it
}

// buildTests compiles modules with their test rules as entrypoints; the attachment is the module.
// OPA's test runner takes rules of one name as tests of their own, so here they get names of their own, too.
func buildTests(raw json.RawMessage) (any, []byte, error) {
	var request testBuildRequest
	able, parsed, err := opened(raw, &request)
	if err != nil {
		return nil, nil, err
	}
	tests := renamedTests(parsed)
	request.Entrypoints = nil
	for _, test := range tests {
		if test.Reason == "" && wanted(request.Places, test) {
			request.Entrypoints = append(request.Entrypoints, test.Entrypoint)
		}
	}
	if len(request.Entrypoints) == 0 {
		return map[string]any{"tests": tests, "builtins": []string{}}, nil, nil
	}
	_, wasm, err := compiled(&request.buildRequest, able, parsed)
	if err != nil {
		return nil, nil, err
	}
	builtins, err := requiredBuiltins(wasm)
	return map[string]any{"tests": tests, "builtins": builtins}, wasm, err
}

func wanted(places []place, test testRule) bool {
	for _, each := range places {
		if each.File == test.File && each.Row == test.Row && each.Col == test.Col {
			return true
		}
	}
	return len(places) == 0
}

// renamedTests lists the test rules; of those with one name the second becomes name#01, as in OPA's runner.
func renamedTests(parsed map[string]*ast.Module) []testRule {
	found, count := []testRule{}, map[string]int{}
	for _, name := range util.KeysSorted(parsed) {
		module := parsed[name]
		for _, rule := range module.Rules {
			size := nameSize(rule.Head.Ref())
			if size == 0 {
				continue
			}
			key := module.Package.Path.Extend(rule.Head.Ref()[:size]).String()
			if number := count[key]; number > 0 {
				rename(rule.Head, size, number)
			}
			count[key]++
			path := names(module.Package.Path.Extend(rule.Head.Ref()[:size]))[1:]
			found = append(found, testRule{
				File: rule.Loc().File, Row: rule.Loc().Row, Col: rule.Loc().Col,
				Entrypoint: strings.Join(path, "/"),
				Cases:      rule.Head.DocKind() == ast.PartialObjectDoc,
				Reason:     unaskable(rule, path),
			})
		}
	}
	return found
}

// nameSize tells how many parts of a reference make the name of a test; 0 when it is none.
func nameSize(ref ast.Ref) int {
	for i, part := range names(ref.GroundPrefix()) {
		if strings.HasPrefix(part, tester.TestPrefix) {
			return i + 1
		}
	}
	return 0
}

func rename(head *ast.Head, size, number int) {
	ref := head.Ref().Copy()
	name := fmt.Sprintf("%s#%02d", names(ref[:size])[size-1], number)
	if size == 1 {
		ref[0] = ast.VarTerm(name)
		if head.Name != "" {
			head.Name = ast.Var(name)
		}
	} else {
		ref[size-1] = ast.StringTerm(name)
	}
	head.SetRef(ref)
}

func unaskable(rule *ast.Rule, path []string) string {
	if len(rule.Head.Args) > 0 {
		return "a rule with arguments cannot be an entrypoint"
	}
	for _, part := range path {
		if strings.Contains(part, "/") {
			return "a name with a slash cannot be an entrypoint"
		}
	}
	return ""
}
