// Evaluates one policy with OPA's Go library in a plain loop, JSON bytes in and out, and times every call.
// Speaks like contender.py: one JSON line in ({"count", "warm", "seconds"}), one with microseconds out.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/util"
)

type order struct {
	Count   int     `json:"count"`
	Warm    int     `json:"warm"`
	Seconds float64 `json:"seconds"`
}

func read(directory, name string) []byte {
	text, err := os.ReadFile(filepath.Join(directory, name))
	if err != nil {
		fail(err)
	}
	return text
}

func fail(err error) {
	answer(map[string]any{"error": err.Error()})
	os.Exit(1)
}

func answer(figures map[string]any) {
	line, _ := json.Marshal(figures)
	fmt.Println(string(line))
}

// evaluation returns what is timed: parse the input, evaluate, write the answer.
func evaluation(directory, query string) func() ([]byte, error) {
	var data map[string]any
	if err := util.UnmarshalJSON(read(directory, "data.json"), &data); err != nil {
		fail(err)
	}
	ctx, input := context.Background(), read(directory, "input.json")
	options := []func(*rego.Rego){rego.Query(query), rego.Store(inmem.NewFromObject(data))}
	modules, _ := filepath.Glob(filepath.Join(directory, "*.rego"))
	for _, module := range modules {
		options = append(options, rego.Module(module, string(read(directory, filepath.Base(module)))))
	}
	prepared, err := rego.New(options...).PrepareForEval(ctx)
	if err != nil {
		fail(err)
	}
	return func() ([]byte, error) {
		var value any
		if err := util.UnmarshalJSON(input, &value); err != nil {
			return nil, err
		}
		results, err := prepared.Eval(ctx, rego.EvalInput(value))
		if err != nil || len(results) == 0 {
			return nil, err
		}
		return json.Marshal(results[0].Expressions[0].Value)
	}
}

func check(call func() ([]byte, error), expected []byte) {
	text, err := call()
	if err != nil {
		fail(err)
	}
	var is, should any
	if json.Unmarshal(text, &is) != nil || json.Unmarshal(expected, &should) != nil || !reflect.DeepEqual(is, should) {
		fail(fmt.Errorf("it answered %.80s", text))
	}
}

func measure(call func() ([]byte, error), todo order) map[string]any {
	for range todo.Warm {
		_, _ = call()
	}
	taken := make([]float64, 0, todo.Count)
	began := time.Now()
	limit := time.Duration(todo.Seconds * float64(time.Second))
	for len(taken) < todo.Count && time.Since(began) < limit {
		start := time.Now()
		_, _ = call()
		taken = append(taken, float64(time.Since(start).Nanoseconds())/1000)
	}
	whole := float64(time.Since(began).Nanoseconds()) / 1000
	slices.Sort(taken)
	count := len(taken)
	return map[string]any{
		"median": taken[count/2], "p99": taken[count*99/100], "mean": whole / float64(count), "calls": count,
	}
}

func main() {
	directory, query := os.Args[1], os.Args[2]
	call := evaluation(directory, query)
	check(call, read(directory, "expected.json"))
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var todo order
		if err := json.Unmarshal(lines.Bytes(), &todo); err != nil {
			fail(err)
		}
		answer(measure(call, todo))
	}
}
