package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
)

type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	File    string `json:"file"`
	Row     int    `json:"row"`
	Col     int    `json:"col"`
}

type panicked struct{ cause any }

func (p panicked) Error() string { return fmt.Sprintf("panic: %v", p.cause) }

// failure writes an error answer: "rego" when the author can repair it, "toolkit" when not.
func failure(err error) []byte {
	kind := "toolkit"
	found := problems(err)
	if len(found) > 0 {
		kind = "rego"
	}
	document, _ := json.Marshal(map[string]any{
		"error": map[string]any{"kind": kind, "message": err.Error(), "problems": found},
	})
	return document
}

func problems(err error) []problem {
	var many ast.Errors
	if errors.As(err, &many) {
		found := make([]problem, 0, len(many))
		for _, one := range many {
			found = append(found, located(one.Code, one.Message, one.Location))
		}
		return found
	}
	var one *ast.Error
	if errors.As(err, &one) {
		return []problem{located(one.Code, one.Message, one.Location)}
	}
	var evaluation *topdown.Error
	if errors.As(err, &evaluation) {
		return []problem{located(evaluation.Code, evaluation.Message, evaluation.Location)}
	}
	var list rego.Errors
	if errors.As(err, &list) {
		var found []problem
		for _, each := range list {
			found = append(found, problems(each)...)
		}
		return found
	}
	return authored(err)
}

// complaint is an error of the request's author that OPA reports without a place.
type complaint struct {
	code string
	err  error
}

func (c complaint) Error() string { return c.err.Error() }
func (c complaint) Unwrap() error { return c.err }

func authored(err error) []problem {
	var said complaint
	if errors.As(err, &said) {
		return []problem{{Code: said.code, Message: said.Error()}}
	}
	return nil
}

func located(code, message string, at *ast.Location) problem {
	p := problem{Code: code, Message: message}
	if at != nil {
		p.File, p.Row, p.Col = at.File, at.Row, at.Col
	}
	return p
}
