package main

import (
	"encoding/json"

	"github.com/open-policy-agent/opa/v1/ast"
)

type function struct {
	Name    string `json:"name"`
	Runs    string `json:"runs"`
	Differs string `json:"differs,omitempty"`
}

// functions tells of each of OPA's functions where a policy with exact semantics has it answered:
// by the module, by the module where it is known to be right (guarded), or by the host.
func functions(json.RawMessage) (any, []byte, error) {
	found := []function{}
	for _, each := range ast.CapabilitiesForThisVersion().Builtins {
		guard := guards[each.Name]
		one := function{Name: each.Name, Runs: "module", Differs: guard.differs}
		switch {
		case !native(each.Name) || guard.host:
			one.Runs = "host"
		case guard.when != nil:
			one.Runs = "guarded"
		}
		found = append(found, one)
	}
	return found, nil, nil
}
