package main

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/ir"
)

// A guard is a function of the plan that stands between a policy and a function of OPA's
// WebAssembly. It answers, in this order, with
//
//   - the WebAssembly's own answer, where `when` holds for the arguments and `then` for the answer;
//   - else the host's, asked for `exact.` and the name.
//
// Which guard a function needs was found by running both sides on the same arguments, millions of
// times (tests/conformance, docs/rego.md).
type guardOf struct {
	when func(g *guarding) []ir.Stmt
	then func(g *guarding) []ir.Stmt
	host bool // never ask the WebAssembly
}

// guarding is a guard being written: its parameters and the local of the answer.
type guarding struct {
	*exact
	args   []ir.Local
	answer ir.Local
}

var (
	always   = guardOf{host: true}
	integers = guardOf{when: allIntegers}
)

// Functions that are neither here nor in `certain` never differ where they have an answer; where
// they have none, the host is asked why, in case somebody wants to know (`strict.` and the name).
var guards = map[string]guardOf{
	ast.Base64Decode.Name:               always, // "YWJj!!", "YWI", ""
	ast.Base64IsValid.Name:              always,
	ast.Base64UrlDecode.Name:            always,
	ast.GlobMatch.Name:                  always, // unbalanced braces, "(", "^"
	ast.JSONIsValid.Name:                always, // "01", "1.", "[1,]"
	ast.JSONMarshal.Name:                always, // hash order, "<>&"
	ast.JSONUnmarshal.Name:              always,
	ast.RegexFindAllStringSubmatch.Name: always, // negative counts, NUL
	ast.RegexIsValid.Name:               always,
	ast.RegexMatch.Name:                 always, // NUL, Unicode; but see plain.go
	ast.RegexMatchDeprecated.Name:       always,
	ast.Intersection.Name:               always, // which of 1 and 1.0 stays
	ast.Union.Name:                      always,
	ast.InternalTemplateString.Name:     {when: onlyStrings},

	ast.Abs.Name:            integers,
	ast.Ceil.Name:           integers,
	ast.Floor.Name:          integers,
	ast.Round.Name:          integers,
	ast.Minus.Name:          {when: integersOrSets},
	ast.Multiply.Name:       integers,
	ast.Plus.Name:           integers,
	ast.Rem.Name:            integers,
	ast.Divide.Name:         {when: integersButZero, then: dividesEvenly},
	ast.Max.Name:            {when: membersHaveOneSpelling},
	ast.Min.Name:            {when: membersHaveOneSpelling},
	ast.Sum.Name:            {when: membersAreIntegers, then: answerIsInteger},
	ast.Product.Name:        {when: membersAreIntegers, then: answerIsInteger},
	ast.BitsAnd.Name:        integers,
	ast.BitsNegate.Name:     integers,
	ast.BitsOr.Name:         integers,
	ast.BitsShiftLeft.Name:  {when: smallShift},
	ast.BitsShiftRight.Name: {when: smallShift},
	ast.BitsXOr.Name:        integers,
	ast.ArraySlice.Name:     {when: lastTwoIntegers},
	ast.Substring.Name:      {when: lastTwoIntegers},
	ast.FormatInt.Name:      {when: smallInteger},
	ast.NumbersRange.Name:   integers,
	ast.ToNumber.Name:       {when: firstIsNoString},

	ast.Concat.Name:            {when: secondIsArray},
	ast.IndexOf.Name:           {when: secondIsNotEmpty},
	ast.Replace.Name:           {when: secondIsNotEmpty}, // the WebAssembly's never ends
	ast.JSONFilter.Name:        {when: secondHasOnlyPaths},
	ast.JSONRemove.Name:        {when: secondHasOnlyPaths}, // [[]] and [""] trap
	ast.ObjectUnionN.Name:      {when: firstIsFullArray},
	ast.Sort.Name:              {when: firstIsShort}, // quadratic
	ast.NetCIDRContains.Name:   {when: noColons},     // ::ffff:10.0.0.0/104
	ast.NetCIDRIntersects.Name: {when: noColons},
	ast.NetCIDROverlap.Name:    {when: noColons},
}

// certain never fail and never differ.
var certain = map[string]bool{
	ast.Equal.Name: true, ast.NotEqual.Name: true, ast.GreaterThan.Name: true, ast.GreaterThanEq.Name: true,
	ast.LessThan.Name: true, ast.LessThanEq.Name: true, ast.Member.Name: true, ast.MemberWithKey.Name: true,
	ast.IsArray.Name: true, ast.IsBoolean.Name: true, ast.IsNull.Name: true, ast.IsNumber.Name: true,
	ast.IsObject.Name: true, ast.IsSet.Name: true, ast.IsString.Name: true, ast.TypeNameBuiltin.Name: true,
	ast.WalkBuiltin.Name: true,
}

// guard answers the name of the guard of a function; "" where none is needed.
func (e *exact) guard(name string) string {
	if !native(name) || certain[name] {
		return ""
	}
	if needed, different := guards[name]; different {
		return e.made(name, "guard", needed, "exact."+name)
	}
	return e.made(name, "guard", guardOf{}, "strict."+name)
}

// made answers the name of a guard, which is written at its first use; question is what the host is asked.
func (e *exact) made(name, kind string, needed guardOf, question string) string {
	made := "exact." + name + "." + kind
	if e.written[made] {
		return made
	}
	e.written[made] = true
	g := &guarding{exact: e, answer: e.local()}
	for range ast.BuiltinMap[name].Decl.Arity() {
		g.args = append(g.args, e.local())
	}
	blocks := [][]ir.Stmt{}
	if !needed.host {
		blocks = append(blocks, g.own(name, needed))
	}
	host := &ir.CallStmt{Func: e.external(question, name), Args: operands(g.args...), Result: g.answer}
	e.function(made, g.args, g.answer, append(blocks, []ir.Stmt{host})...)
	return made
}

func (g *guarding) own(name string, needed guardOf) (stmts []ir.Stmt) {
	if needed.when != nil {
		stmts = needed.when(g)
	}
	own := g.local()
	stmts = append(stmts, &ir.CallStmt{Func: name, Args: operands(g.args...), Result: own})
	if needed.then != nil {
		checked := *g
		checked.answer = own
		stmts = append(stmts, needed.then(&checked)...)
	}
	return append(stmts, &ir.ReturnLocalStmt{Source: own})
}

// external declares a function that the host answers with OPA's own of the given name.
func (e *exact) external(question, name string) string {
	for _, each := range e.plan.Static.BuiltinFuncs {
		if each.Name == question {
			return question
		}
	}
	e.plan.Static.BuiltinFuncs = append(e.plan.Static.BuiltinFuncs, &ir.BuiltinFunc{
		Name: question, Decl: ast.BuiltinMap[name].Decl,
	})
	return question
}

// function adds a function to the plan. Its blocks are tried one after the other.
func (e *exact) function(name string, params []ir.Local, answer ir.Local, blocks ...[]ir.Stmt) {
	function := &ir.Func{
		Name:   name,
		Params: append([]ir.Local{ir.Input, ir.Data}, params...),
		Return: answer,
		Path:   []string{"exact", name},
	}
	for _, stmts := range append(blocks, []ir.Stmt{&ir.ReturnLocalStmt{Source: answer}}) {
		function.Blocks = append(function.Blocks, &ir.Block{Stmts: stmts})
	}
	e.plan.Funcs.Funcs = append(e.plan.Funcs.Funcs, function)
}

// helper answers the name of a function for `ordered`, made at its first use.
func (e *exact) helper(kind string) string {
	name := "exact." + kind
	if e.written[name] {
		return name
	}
	e.written[name] = true
	value, answer := e.local(), e.local()
	sort := &ir.CallStmt{Func: e.guard(ast.Sort.Name), Args: operands(ir.Input, ir.Data, value), Result: answer}
	if kind == "sorted" {
		e.function(name, []ir.Local{value}, answer, []ir.Stmt{sort})
		return name
	}
	keys := e.local()
	e.function(name, []ir.Local{value}, answer,
		[]ir.Stmt{&ir.IsArrayStmt{Source: of(value)}, &ir.ReturnLocalStmt{Source: value}},
		[]ir.Stmt{&ir.IsSetStmt{Source: of(value)}, sort, &ir.ReturnLocalStmt{Source: answer}},
		[]ir.Stmt{
			&ir.IsObjectStmt{Source: of(value)},
			&ir.CallStmt{Func: ast.ObjectKeys.Name, Args: operands(value), Result: keys},
			&ir.CallStmt{Func: sort.Func, Args: operands(ir.Input, ir.Data, keys), Result: answer},
			&ir.ReturnLocalStmt{Source: answer},
		},
		// Nothing else has members.
		[]ir.Stmt{&ir.MakeArrayStmt{Target: answer}},
	)
	return name
}
