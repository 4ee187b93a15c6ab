package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/open-policy-agent/opa/v1/topdown"
)

type benchRequest struct {
	evalRequest
	Count   int     `json:"count"`
	Seconds float64 `json:"seconds"`
}

// bench evaluates a prepared query again and again, until it was often or long enough.
func bench(raw json.RawMessage) (any, []byte, error) {
	var request benchRequest
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
	var failures []topdown.Error
	output := &printer{}
	prepared, err := request.prepare(able, compiler, store, output, &failures)
	if err != nil {
		return nil, nil, err
	}
	options, err := request.options()
	if err != nil {
		return nil, nil, err
	}
	durations := []int64{}
	start := time.Now()
	for len(durations) < request.Count && time.Since(start).Seconds() < request.Seconds {
		failures, output.lines = failures[:0], output.lines[:0]
		before := time.Now()
		if _, err := prepared.Eval(context.Background(), options...); err != nil {
			return nil, nil, err
		}
		durations = append(durations, time.Since(before).Nanoseconds())
	}
	return map[string]any{"durations_ns": durations}, nil, nil
}
