package main

import (
	"bytes"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/lineage"
)

type event struct {
	Op      string            `json:"op"`
	Query   uint64            `json:"query"`
	Parent  uint64            `json:"parent"`
	File    string            `json:"file"`
	Row     int               `json:"row"`
	Col     int               `json:"col"`
	Text    string            `json:"text"`
	Message string            `json:"message,omitempty"`
	Locals  map[string]string `json:"locals,omitempty"`
}

// traced answers the events as data and as the text that `opa eval --explain` prints.
func traced(events []*topdown.Event, level string) ([]event, string) {
	switch level {
	case "notes":
		events = lineage.Notes(events)
	case "fails":
		events = lineage.Fails(events)
	default:
		events = lineage.Full(events)
	}
	found := make([]event, 0, len(events))
	for _, each := range events {
		found = append(found, described(each))
	}
	var text bytes.Buffer
	topdown.PrettyTraceWithLocation(&text, events)
	return found, text.String()
}

func described(from *topdown.Event) event {
	to := event{Op: string(from.Op), Query: from.QueryID, Parent: from.ParentID, Message: from.Message}
	if at := from.Location; at != nil {
		to.File, to.Row, to.Col, to.Text = at.File, at.Row, at.Col, string(at.Text)
	}
	if from.Locals == nil {
		return to
	}
	to.Locals = map[string]string{}
	from.Locals.Iter(func(name, value ast.Value) bool {
		variable, ok := name.(ast.Var)
		if !ok {
			return false
		}
		// Generated variables have no name that their author would know.
		if known, ok := from.LocalMetadata[variable]; ok && !known.Name.IsGenerated() && !known.Name.IsWildcard() {
			to.Locals[string(known.Name)] = value.String()
		}
		return false
	})
	return to
}
