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

	differs string // what the WebAssembly does differently, for docs/rego.md
}

// guarding is a guard being written: its parameters and the local of the answer.
type guarding struct {
	*exact
	args   []ir.Local
	answer ir.Local
}

// Functions that are neither here nor in `certain` never differ where they have an answer; where
// they have none, the host is asked why, in case somebody wants to know (`strict.` and the name).
var guards = map[string]guardOf{
	ast.Base64Decode.Name:    {host: true, differs: "accepts what is not base64 or not padded; an empty text is undefined"},
	ast.Base64IsValid.Name:   {host: true, differs: "says yes to what is not padded, no to an empty text"},
	ast.Base64UrlDecode.Name: {host: true, differs: "accepts what is not base64; an empty text is undefined"},
	ast.GlobMatch.Name:       {host: true, differs: "takes ( and ^ for operators, unbalanced braces for text"},
	ast.JSONIsValid.Name:     {host: true, differs: "says yes to 01, 1., [1,] and more"},
	ast.JSONMarshal.Name:     {host: true, differs: "writes sets and keys in hash order, and <, >, & as they are"},
	ast.JSONUnmarshal.Name:   {host: true, differs: "accepts 01, 1., [1,] and more; lone surrogates abort"},
	ast.Intersection.Name:    {host: true, differs: "keeps another spelling of equal numbers"},
	ast.Union.Name:           {host: true, differs: "keeps another spelling of equal numbers"},
	ast.RegexIsValid.Name:    {host: true, differs: "NUL ends the pattern; tables of another Unicode"},
	ast.RegexFindAllStringSubmatch.Name: {
		host: true, differs: "a negative count finds less; a count of 1.0 is undefined; NUL ends the pattern",
	},
	ast.RegexMatch.Name:             {host: true, differs: matching},
	ast.RegexMatchDeprecated.Name:   {host: true, differs: matching},
	ast.InternalTemplateString.Name: {when: onlyStrings, differs: "writes sets in hash order"},

	ast.Abs.Name:            {when: allIntegers, differs: decimals},
	ast.Ceil.Name:           {when: allIntegers, differs: decimals + "; ceil(-0.5) is 0"},
	ast.Floor.Name:          {when: allIntegers, differs: decimals + "; floor(-0.5) is -1"},
	ast.Round.Name:          {when: allIntegers, differs: decimals},
	ast.Minus.Name:          {when: integersOrSets, differs: decimals},
	ast.Multiply.Name:       {when: allIntegers, differs: decimals},
	ast.Plus.Name:           {when: allIntegers, differs: decimals},
	ast.Rem.Name:            {when: allIntegers, differs: decimals},
	ast.Divide.Name:         {when: integersButZero, then: dividesEvenly, differs: "rounds to 18 digits"},
	ast.Max.Name:            {when: membersHaveOneSpelling, differs: "keeps another spelling of equal numbers"},
	ast.Min.Name:            {when: membersHaveOneSpelling, differs: "keeps another spelling of equal numbers"},
	ast.Sum.Name:            {when: membersAreIntegers, then: answerIsInteger, differs: decimals},
	ast.Product.Name:        {when: membersAreFewIntegers, then: answerIsInteger, differs: decimals + "; aborts beyond 500 digits"},
	ast.BitsAnd.Name:        {when: allIntegers, differs: spelled1},
	ast.BitsNegate.Name:     {when: allIntegers, differs: spelled1},
	ast.BitsOr.Name:         {when: allIntegers, differs: spelled1},
	ast.BitsXOr.Name:        {when: allIntegers, differs: spelled1},
	ast.BitsShiftLeft.Name:  {when: smallShift, differs: spelled1 + "; keeps 32 bits of the distance"},
	ast.BitsShiftRight.Name: {when: smallShift, differs: spelled1 + "; keeps 32 bits of the distance"},
	ast.ArraySlice.Name:     {when: lastTwoIntegers, differs: spelled1},
	ast.Substring.Name:      {when: lastTwoIntegers, differs: spelled1},
	ast.FormatInt.Name:      {when: smallInteger, differs: "aborts beyond 32 bits"},
	ast.NumbersRange.Name:   {when: allIntegers, differs: spelled1},
	ast.ToNumber.Name:       {when: firstIsNoString, differs: "takes 1_000 and . for numbers, +5 for none"},

	ast.Concat.Name:            {when: secondIsArray, differs: "joins a set in hash order"},
	ast.IndexOf.Name:           {when: secondIsNotEmpty, differs: "finds an empty text at 0"},
	ast.Replace.Name:           {when: secondIsNotEmpty, differs: "never ends when an empty text is to be replaced"},
	ast.JSONFilter.Name:        {when: secondHasOnlyPaths, differs: "traps on empty paths"},
	ast.JSONRemove.Name:        {when: secondHasOnlyPaths, differs: "traps on empty paths"},
	ast.ObjectUnionN.Name:      {when: firstIsFullArray, differs: "takes sets and objects; an empty array is undefined"},
	ast.Sort.Name:              {when: firstIsShortAndPlain, differs: "takes quadratic time; leaves 1 and 1.0 in another order"},
	ast.NetCIDRContains.Name:   {when: noColons, differs: "takes ::ffff:10.0.0.0 for another address than 10.0.0.0"},
	ast.NetCIDRIntersects.Name: {when: noColons, differs: "takes ::ffff:10.0.0.0 for another address than 10.0.0.0"},
	ast.NetCIDROverlap.Name:    {when: noColons, differs: "takes ::ffff:10.0.0.0 for another address than 10.0.0.0"},
	ast.WalkBuiltin.Name:       {differs: "goes in hash order"},
}

// Differences that several functions have.
const (
	decimals = "computes fractions and large numbers in decimals"
	spelled1 = "is undefined for integers spelled as 1.0"
	matching = "NUL ends the pattern; compiles it in each evaluation; may abort after 100 patterns"
)

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
	// Keys, members and paths are there once: no two of them are equal.
	short := guardOf{when: firstIsShort}
	sorted := e.made(ast.Sort.Name, "keys", short, "exact."+ast.Sort.Name)
	sort := &ir.CallStmt{Func: sorted, Args: operands(ir.Input, ir.Data, value), Result: answer}
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
