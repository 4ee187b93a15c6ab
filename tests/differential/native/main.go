// Command native evaluates queries with OPA's library as a native program: one JSON line in, one out.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/util"
)

type question struct {
	Modules map[string]string `json:"modules"`
	Query   string            `json:"query"`
	Data    json.RawMessage   `json:"data"`
	Input   json.RawMessage   `json:"input"`
}

func evaluate(asked question) map[string]any {
	var data map[string]any
	var input any
	if err := errors.Join(util.UnmarshalJSON(asked.Data, &data), util.UnmarshalJSON(asked.Input, &input)); err != nil {
		return map[string]any{"error": err.Error()}
	}
	options := []func(*rego.Rego){rego.Query(asked.Query), rego.Store(inmem.NewFromObject(data)), rego.Input(input)}
	for name, text := range asked.Modules {
		options = append(options, rego.Module(name, text))
	}
	results, err := rego.New(options...).Eval(context.Background())
	var failed *topdown.Error
	if errors.As(err, &failed) {
		return map[string]any{"error": failed.Code}
	}
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	if len(results) == 0 {
		return map[string]any{}
	}
	return map[string]any{"value": results[0].Expressions[0].Value}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		if err := out.Encode(evaluate(asked)); err != nil {
			panic(err)
		}
	}
}
