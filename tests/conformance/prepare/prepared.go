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
	"github.com/open-policy-agent/opa/v1/test/cases"
)

// prepared is one case as the runner reads it. Data and input are JSON texts, so that no number is touched.
type prepared struct {
	Suite    string            `json:"suite"`
	Category string            `json:"category"`
	File     string            `json:"file"`
	Note     string            `json:"note"`
	Dialect  string            `json:"dialect"`
	Modules  map[string]string `json:"modules"`
	// Entrypoint's value is the array of bindings.
	Entrypoint string  `json:"entrypoint"`
	Data       string  `json:"data"`
	Input      *string `json:"input"`
	Want       want    `json:"want"`
	// Alone says why the case must not share a module with others; empty when it may.
	Alone string `json:"alone"`
	// Term says that the input is a Rego term with no JSON, and is given by "with input as".
	Term bool `json:"term"`
}

type want struct {
	Defined *bool             `json:"defined"`
	Result  *[]map[string]any `json:"result"`
	Error   string            `json:"error"`
	Code    string            `json:"code"`
	Strict  bool              `json:"strict"`
	Sort    bool              `json:"sort"`
}

const answer, bindings = "conformance_answer", "conformance_bindings"

func (s suite) one(each cases.TestCase, id string) (prepared, error) {
	if len(each.Env) > 0 {
		return prepared{}, errors.New("it sets environment variables, which this runner cannot")
	}
	made := prepared{
		Note:    each.Note,
		Dialect: s.dialect(each),
		Want: want{
			Defined: each.WantDefined, Result: each.WantResult, Error: deref(each.WantError),
			Code: deref(each.WantErrorCode), Strict: each.StrictError, Sort: each.SortBindings,
		},
	}
	data := map[string]any{}
	if each.Data != nil {
		data = *each.Data
	}
	term, err := made.takeInput(each)
	if err != nil {
		return prepared{}, err
	}
	texts := slices.Concat(each.Modules, []string{each.Query})
	moved, err := s.isolated(each, id)
	if s.unmoved {
		err = errors.New("it is wanted so")
	}
	if err != nil {
		made.Alone, id = err.Error(), ""
	} else {
		texts = moved
		data = map[string]any{id: data}
	}
	made.Modules = map[string]string{}
	last := len(texts) - 1
	for i, text := range texts[:last] {
		made.Modules[fmt.Sprintf("%s/module%d.rego", id, i)] = text
	}
	made.Modules[id+"/query.rego"] = asked(id, texts[last], names(each), term)
	made.Entrypoint = strings.Join(slices.DeleteFunc([]string{"conformance", id, answer}, empty), "/")
	made.Data, err = text(data)
	return made, err
}

// dialect is the suite's, except that OPA lets queries call functions that are deprecated in modules.
func (s suite) dialect(each cases.TestCase) string {
	deprecated := false
	if query, err := ast.ParseBodyWithOpts(each.Query, ast.ParserOptions{RegoVersion: s.version}); err == nil {
		ast.WalkTerms(query, func(term *ast.Term) bool {
			builtin, ok := ast.BuiltinMap[term.Value.String()]
			deprecated = deprecated || ok && builtin.IsDeprecated()
			return false
		})
	}
	if deprecated && len(each.Modules) == 0 {
		return ast.RegoV0.String()
	}
	return s.version.String()
}

// takeInput sets the input where JSON can say it, and returns the term where it cannot.
func (p *prepared) takeInput(each cases.TestCase) (string, error) {
	if each.InputTerm == nil {
		if each.Input == nil {
			return "", nil
		}
		input, err := text(*each.Input)
		p.Input = &input
		return "", err
	}
	term, err := ast.ParseTerm(*each.InputTerm)
	if err != nil {
		return "", err
	}
	value, err := ast.JSON(term.Value)
	if err == nil {
		if back, err := ast.InterfaceToValue(value); err == nil && ast.Compare(back, term.Value) == 0 {
			input, err := text(value)
			p.Input = &input
			return "", err
		}
	}
	p.Term = true
	return *each.InputTerm, nil
}

// asked is the module that asks the query.
func asked(id, query string, names []string, term string) string {
	pairs := make([]string, len(names))
	for i, name := range names {
		pairs[i] = fmt.Sprintf("%q: %s", name, name)
	}
	array := fmt.Sprintf(":= [{%s} |\n%s\n]\n", strings.Join(pairs, ", "), query)
	head := "package " + strings.Join(slices.DeleteFunc([]string{"conformance", id}, empty), ".") + "\n\n"
	if term == "" {
		return head + answer + " " + array
	}
	return head + bindings + " " + array +
		"\n" + answer + " := [each | each := " + bindings + "[_] with input as " + term + "]\n"
}

// names are the variables that the wanted bindings have.
func names(each cases.TestCase) []string {
	if each.WantResult == nil || len(*each.WantResult) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys((*each.WantResult)[0]))
}

func text(value any) (string, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return strings.TrimSpace(buffer.String()), err
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func empty(text string) bool { return text == "" }
