package main

import (
	"regexp/syntax"
	"strings"

	"github.com/open-policy-agent/opa/v1/ir"
)

// mostInstructions is up to which size a pattern is matched sooner by WebAssembly, which compiles it in each
// evaluation, than asked of the host. Measured: `^\d{3,12}$` 10 µs, two alternatives of domains 31 µs, the host 19 µs.
const mostInstructions = 64

// mostPatterns is how many different patterns of a module WebAssembly matches: it keeps 100 compiled ones, and
// sometimes aborts when it has to forget one to make room. All others are matched by the host, also in fast policies.
const mostPatterns = 64

// matchesPlainly tells whether a call matches a pattern that is known now and means the same in both
// libraries for regular expressions: ASCII, without the classes of Unicode, without NUL.
func (e *exact) matchesPlainly(call *ir.CallStmt) bool {
	index, constant := call.Args[0].Value.(ir.StringIndex)
	if !constant || !plainPattern(e.plan.Static.Strings[index].Value) {
		return false
	}
	if !e.patterns[index] && len(e.patterns) == mostPatterns {
		return false
	}
	e.patterns[index] = true
	return true
}

func plainPattern(pattern string) bool {
	for i := range len(pattern) {
		if pattern[i] < ' ' || pattern[i] > '~' {
			return false
		}
	}
	for _, unsure := range []string{`\p`, `\P`, `\C`, `\x`, `\0`, `(?P`, `(?<`, `(?i`, `(?s`, `(?m`, `(?U`} {
		if strings.Contains(pattern, unsure) {
			return false
		}
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return false
	}
	program, err := syntax.Compile(parsed.Simplify())
	return err == nil && len(program.Inst) <= mostInstructions
}
