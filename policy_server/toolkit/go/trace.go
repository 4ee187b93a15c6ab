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

// boundedTracer keeps the first events only, so that a trace costs no more memory than was meant.
type boundedTracer struct {
	topdown.BufferTracer
	most int // 0 is no bound
	cut  bool
}

func (t *boundedTracer) TraceEvent(each topdown.Event) {
	if t.most > 0 && len(t.BufferTracer) >= t.most {
		t.cut = true
		return
	}
	t.BufferTracer.TraceEvent(each)
}

// chosen picks the events that a level shows.
func chosen(events []*topdown.Event, level string) []*topdown.Event {
	switch level {
	case "notes":
		return lineage.Notes(events)
	case "fails":
		return lineage.Fails(events)
	}
	return lineage.Full(events)
}

// maxText is how long the text of a bounded trace gets, in bytes: expressions can be of any length.
const maxText = 4 << 20

type boundedText struct {
	bytes.Buffer
	full bool
}

func (t *boundedText) Write(more []byte) (int, error) {
	if t.full || t.Len()+len(more) > maxText {
		t.full = true
		return len(more), nil
	}
	return t.Buffer.Write(more)
}

// written answers the text that `opa eval --explain` prints, and whether that is all of it.
func written(events []*topdown.Event, bounded bool) (string, bool) {
	if !bounded {
		var text bytes.Buffer
		topdown.PrettyTraceWithLocation(&text, events)
		return text.String(), true
	}
	var text boundedText
	topdown.PrettyTraceWithLocation(&text, events)
	return text.String(), !text.full
}

func described(events []*topdown.Event) []event {
	found := make([]event, 0, len(events))
	for _, each := range events {
		found = append(found, describedOne(each))
	}
	return found
}

func describedOne(from *topdown.Event) event {
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
