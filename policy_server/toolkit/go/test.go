package main

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/tester"
)

type testRequest struct {
	sources
	Data     json.RawMessage `json:"data"`
	Coverage bool            `json:"coverage"`
	Run      string          `json:"run"`
}

type testResult struct {
	Package  string     `json:"package"`
	Name     string     `json:"name"`
	Status   string     `json:"status"`
	File     string     `json:"file"`
	Row      int        `json:"row"`
	Col      int        `json:"col"`
	Duration int64      `json:"duration_ns"`
	Output   string     `json:"output,omitempty"`
	Failed   *place     `json:"failed_at,omitempty"`
	Problems []problem  `json:"problems,omitempty"`
	Cases    []testCase `json:"cases,omitempty"`
}

type testCase struct {
	Path []string `json:"path"`
	Fail bool     `json:"fail"`
}

type place struct {
	File string `json:"file"`
	Row  int    `json:"row"`
	Col  int    `json:"col"`
	Text string `json:"text"`
}

// test runs all test rules; the host's deadline limits them, not a time-out a test.
func test(raw json.RawMessage) (any, []byte, error) {
	var request testRequest
	able, parsed, err := opened(raw, &request)
	if err != nil {
		return nil, nil, err
	}
	store, err := dataStore(request.Data)
	if err != nil {
		return nil, nil, err
	}
	ctx := context.Background()
	transaction, err := store.NewTransaction(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer store.Abort(ctx, transaction)
	runner := tester.NewRunner().
		SetCompiler(request.compiler(able)).
		SetStore(store).
		SetModules(parsed).
		AddCustomBuiltins(hostBuiltins(able)).
		SetParallel(1).
		SetTimeout(24 * time.Hour).
		Filter(request.Run)
	var covered *cover.Cover
	if request.Coverage {
		covered = cover.New()
		runner = runner.SetCoverageQueryTracer(covered).SetCoverageRuns(nil)
	}
	results, err := runner.RunTests(ctx, transaction)
	if err != nil {
		return nil, nil, err
	}
	answer := summary(results)
	if covered != nil {
		answer["coverage"] = covered.Report(parsed)
	}
	return answer, nil, nil
}

func summary(results chan *tester.Result) map[string]any {
	counts := map[string]int{"pass": 0, "fail": 0, "error": 0, "skip": 0}
	all := []testResult{}
	for result := range results {
		one := tested(result)
		counts[one.Status]++
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b testResult) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Row, b.Row), cmp.Compare(a.Name, b.Name))
	})
	return map[string]any{
		"results": all,
		"passed":  counts["pass"], "failed": counts["fail"], "errored": counts["error"], "skipped": counts["skip"],
	}
}

func tested(from *tester.Result) testResult {
	to := testResult{
		Package: from.Package, Name: from.Name, Status: "pass",
		Duration: int64(from.Duration), Output: string(from.Output),
	}
	if at := from.Location; at != nil {
		to.File, to.Row, to.Col = at.File, at.Row, at.Col
	}
	switch {
	case from.Error != nil:
		to.Status, to.Problems = "error", problems(from.Error)
		if len(to.Problems) == 0 {
			to.Problems = []problem{{Code: "test_error", Message: from.Error.Error()}}
		}
	case from.Skip:
		to.Status = "skip"
	case from.Fail:
		to.Status = "fail"
	}
	if expression := from.FailedAt; expression != nil && expression.Location != nil {
		at := expression.Location
		to.Failed = &place{File: at.File, Row: at.Row, Col: at.Col, Text: string(at.Text)}
	}
	for name, sub := range from.SubResults.Iter {
		if len(sub.SubResults) == 0 {
			to.Cases = append(to.Cases, testCase{Path: name, Fail: sub.Fail})
		}
	}
	return to
}
