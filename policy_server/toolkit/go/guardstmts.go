package main

import (
	"math"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/ir"
)

// What guards look at, as statements of a plan. A statement that is undefined ends the attempt.

// shortest is up to how many members OPA's WebAssembly may sort: it takes quadratic time.
const shortest = 128

// integersIn holds for integers of 64 bits that are spelled as integers. PERF: it cuts a slice out of an
// empty array, which OPA's WebAssembly does for exactly these numbers, in less time than a comparison takes.
func (g *guarding) integersIn(locals ...ir.Local) []ir.Stmt {
	empty, slice := g.local(), g.local()
	stmts := []ir.Stmt{&ir.MakeArrayStmt{Target: empty}}
	for i := 0; i < len(locals); i += 2 {
		pair := operands(empty, locals[i], locals[min(i+1, len(locals)-1)])
		stmts = append(stmts, &ir.CallStmt{Func: ast.ArraySlice.Name, Args: pair, Result: slice})
	}
	return stmts
}

func allIntegers(g *guarding) []ir.Stmt     { return g.integersIn(g.args...) }
func lastTwoIntegers(g *guarding) []ir.Stmt { return g.integersIn(g.args[1:]...) }
func answerIsInteger(g *guarding) []ir.Stmt { return g.integersIn(g.answer) }

// says holds when a function answers this boolean.
func (g *guarding) says(wanted bool, name string, args ...ir.Operand) []ir.Stmt {
	answer := g.local()
	return []ir.Stmt{
		&ir.CallStmt{Func: name, Args: args, Result: answer},
		&ir.EqualStmt{A: of(answer), B: of(ir.Bool(wanted))},
	}
}

// either holds when one of both attempts is defined.
func (g *guarding) either(one, other []ir.Stmt) []ir.Stmt {
	passed := g.local()
	attempt := func(stmts []ir.Stmt) *ir.Block {
		return &ir.Block{Stmts: append(stmts, &ir.MakeNullStmt{Target: passed})}
	}
	other = append([]ir.Stmt{&ir.IsUndefinedStmt{Source: passed}}, other...)
	return []ir.Stmt{
		&ir.ResetLocalStmt{Target: passed},
		&ir.BlockStmt{Blocks: []*ir.Block{attempt(one), attempt(other)}},
		&ir.IsDefinedStmt{Source: passed},
	}
}

func integersOrSets(g *guarding) []ir.Stmt {
	return g.either([]ir.Stmt{&ir.IsSetStmt{Source: of(g.args[0])}}, g.integersIn(g.args...))
}

// integersButZero: 0 divided by a negative number is -0.
func integersButZero(g *guarding) []ir.Stmt {
	zero := g.local()
	return append(g.integersIn(g.args...),
		&ir.MakeNumberIntStmt{Value: 0, Target: zero},
		&ir.NotEqualStmt{A: of(g.args[0]), B: of(zero)},
	)
}

// smallShift: the WebAssembly keeps 32 bits of the distance.
func smallShift(g *guarding) []ir.Stmt {
	limit := g.local()
	stmts := append(g.integersIn(g.args...), &ir.MakeNumberIntStmt{Value: 1 << 12, Target: limit})
	return append(stmts, g.says(true, ast.LessThan.Name, of(g.args[1]), of(limit))...)
}

// dividesEvenly holds when the answer times the divisor is the dividend: quotients are rounded to 18 digits.
func dividesEvenly(g *guarding) []ir.Stmt {
	product := g.local()
	return append(g.integersIn(g.answer),
		&ir.CallStmt{Func: ast.Multiply.Name, Args: operands(g.answer, g.args[1]), Result: product},
		&ir.EqualStmt{A: of(product), B: of(g.args[0])},
	)
}

// smallInteger: the WebAssembly aborts beyond 32 bits.
func smallInteger(g *guarding) []ir.Stmt {
	limit, negative := g.local(), g.local()
	stmts := append(g.integersIn(g.args...),
		&ir.MakeNumberIntStmt{Value: math.MaxInt32, Target: limit},
		&ir.MakeNumberIntStmt{Value: -math.MaxInt32, Target: negative},
	)
	stmts = append(stmts, g.says(true, ast.LessThan.Name, of(g.args[0]), of(limit))...)
	return append(stmts, g.says(true, ast.GreaterThan.Name, of(g.args[0]), of(negative))...)
}

// each holds when the statements made for a member are defined for every member of an array or set.
func (g *guarding) each(collection ir.Local, made func(member ir.Local) []ir.Stmt) []ir.Stmt {
	key, member, wrong := g.local(), g.local(), g.local()
	return []ir.Stmt{
		&ir.ResetLocalStmt{Target: wrong},
		&ir.ScanStmt{Source: collection, Key: key, Value: member, Block: &ir.Block{Stmts: []ir.Stmt{
			&ir.NotStmt{Block: &ir.Block{Stmts: made(member)}},
			&ir.AssignVarStmt{Source: of(member), Target: wrong},
		}}},
		&ir.IsUndefinedStmt{Source: wrong},
	}
}

func membersAreIntegers(g *guarding) []ir.Stmt {
	return g.each(g.args[0], func(member ir.Local) []ir.Stmt { return g.integersIn(member) })
}

// membersAreFewIntegers: an integer has at most 19 digits here, and the WebAssembly aborts where a product has 500.
func membersAreFewIntegers(g *guarding) []ir.Stmt {
	return append(g.size(g.args[0], ast.LessThanEq.Name, 20), membersAreIntegers(g)...)
}

// membersHaveOneSpelling: of 1 and 1.0, which are equal, and of [1] and [1.0], the interpreter may keep another
// than the WebAssembly.
func membersHaveOneSpelling(g *guarding) []ir.Stmt {
	return g.each(g.args[0], func(member ir.Local) []ir.Stmt {
		return g.either(g.says(true, ast.IsString.Name, of(member)), g.integersIn(member))
	})
}

func (g *guarding) onlyStringsIn(collection ir.Local) []ir.Stmt {
	return g.each(collection, func(member ir.Local) []ir.Stmt {
		return g.says(true, ast.IsString.Name, of(member))
	})
}

func onlyStrings(g *guarding) []ir.Stmt { return g.onlyStringsIn(g.args[0]) }

func secondHasOnlyPaths(g *guarding) []ir.Stmt {
	return g.each(g.args[1], func(member ir.Local) []ir.Stmt {
		stmts := g.says(true, ast.IsString.Name, of(member))
		return append(stmts, &ir.NotEqualStmt{A: of(member), B: of(g.text(""))})
	})
}

func firstIsNoString(g *guarding) []ir.Stmt {
	return g.says(false, ast.IsString.Name, of(g.args[0]))
}

func secondIsArray(g *guarding) []ir.Stmt {
	return []ir.Stmt{&ir.IsArrayStmt{Source: of(g.args[1])}}
}

func secondIsNotEmpty(g *guarding) []ir.Stmt {
	return []ir.Stmt{&ir.NotEqualStmt{A: of(g.args[1]), B: of(g.text(""))}}
}

func (g *guarding) size(collection ir.Local, compare string, than int64) []ir.Stmt {
	size, limit := g.local(), g.local()
	return append([]ir.Stmt{
		&ir.LenStmt{Source: of(collection), Target: size},
		&ir.MakeNumberIntStmt{Value: than, Target: limit},
	}, g.says(true, compare, of(size), of(limit))...)
}

func firstIsFullArray(g *guarding) []ir.Stmt {
	return append([]ir.Stmt{&ir.IsArrayStmt{Source: of(g.args[0])}}, g.size(g.args[0], ast.GreaterThan.Name, 0)...)
}

func firstIsShort(g *guarding) []ir.Stmt { return g.size(g.args[0], ast.LessThanEq.Name, shortest) }

func firstIsShortAndPlain(g *guarding) []ir.Stmt {
	return append(firstIsShort(g), membersHaveOneSpelling(g)...)
}

func noColons(g *guarding) []ir.Stmt {
	stmts := g.says(false, ast.Contains.Name, of(g.args[0]), of(g.text(":")))
	return append(stmts, g.says(false, ast.Contains.Name, of(g.args[1]), of(g.text(":")))...)
}
