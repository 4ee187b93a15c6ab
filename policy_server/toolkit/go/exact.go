package main

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/ir"
)

// WebAssembly made by OPA answers some things differently from OPA's interpreter: it iterates in
// hash order, computes with decimals, and has its own version of 96 functions, of which a third
// differ somewhere (docs/rego.md has the list, found by running both). `exact` changes a plan so
// that the answers are the interpreter's:
//
//   - Iterations that an array comprehension can observe go in Rego's order.
//   - A call of a function that may differ goes to a guard (guards.go): a function of the plan that
//     calls OPA's version where that is known to be right, and else asks the host, where the
//     interpreter's own function answers, under the name `exact.` plus its own.
//   - `with input.x as y` never writes into an input that is not an object.
type exact struct {
	plan    *ir.Policy
	next    ir.Local
	strings map[string]int
	written map[string]bool   // guards and helpers that the plan has already
	walks   map[ir.Local]bool // locals that hold the answer of `walk`

	onlyRegex bool
	patterns  map[ir.StringIndex]bool // regular expressions that WebAssembly matches itself
}

// firstLocal is above every local that OPA's planner uses; they are names, and need not be dense.
const firstLocal = 1 << 24

// makeExact changes a plan; with onlyRegex nothing but calls that match regular expressions.
func makeExact(plan *ir.Policy, onlyRegex bool) {
	e := &exact{
		plan: plan, onlyRegex: onlyRegex, next: firstLocal,
		strings: map[string]int{}, written: map[string]bool{}, patterns: map[ir.StringIndex]bool{},
	}
	for i, each := range plan.Static.Strings {
		e.strings[each.Value] = i
	}
	// Guards are added to the functions meanwhile, and are not to be changed.
	for _, function := range plan.Funcs.Funcs[:len(plan.Funcs.Funcs):len(plan.Funcs.Funcs)] {
		e.walks = map[ir.Local]bool{}
		e.blocks(function.Blocks)
	}
	for _, each := range plan.Plans.Plans {
		e.walks = map[ir.Local]bool{}
		e.blocks(each.Blocks)
	}
}

func (e *exact) local() ir.Local {
	e.next++
	return e.next - 1
}

func (e *exact) text(value string) ir.StringIndex {
	index, known := e.strings[value]
	if !known {
		index = len(e.plan.Static.Strings)
		e.plan.Static.Strings = append(e.plan.Static.Strings, &ir.StringConst{Value: value})
		e.strings[value] = index
	}
	return ir.StringIndex(index)
}

func (e *exact) blocks(blocks []*ir.Block) {
	for _, block := range blocks {
		e.block(block)
	}
}

func (e *exact) block(block *ir.Block) {
	changed := make([]ir.Stmt, 0, len(block.Stmts))
	for _, stmt := range block.Stmts {
		changed = append(changed, e.stmt(stmt)...)
	}
	block.Stmts = changed
}

func (e *exact) stmt(stmt ir.Stmt) []ir.Stmt {
	switch stmt := stmt.(type) {
	case *ir.BlockStmt:
		e.blocks(stmt.Blocks)
	case *ir.NotStmt:
		e.block(stmt.Block)
	case *ir.CallStmt:
		e.call(stmt)
	case *ir.ScanStmt:
		observed := !e.onlyRegex && appendsOutside(stmt.Block)
		e.block(stmt.Block)
		if observed {
			return e.ordered(stmt)
		}
	case *ir.WithStmt:
		e.block(stmt.Block)
		if stmt.Local == ir.Input && len(stmt.Path) > 0 && !e.onlyRegex {
			return e.withInput(stmt)
		}
	}
	return []ir.Stmt{stmt}
}

func (e *exact) call(call *ir.CallStmt) {
	if ast.BuiltinMap[call.Func] == nil {
		return
	}
	if call.Func == ast.WalkBuiltin.Name {
		e.walks[call.Result] = true
	}
	matches := call.Func == ast.RegexMatch.Name || call.Func == ast.RegexMatchDeprecated.Name
	plain := matches && e.matchesPlainly(call)
	if e.onlyRegex && (plain || !matches) {
		return
	}
	guard := e.guard(call.Func)
	if plain {
		guard = e.made(call.Func, "plain", guardOf{}, "strict."+call.Func)
	}
	if guard != "" {
		call.Func = guard
		call.Args = append([]ir.Operand{of(ir.Input), of(ir.Data)}, call.Args...)
	}
}

// ordered makes a scan go in Rego's order. The view of a set or an object is the sorted array of
// its members or keys; an array is its own view.
func (e *exact) ordered(scan *ir.ScanStmt) []ir.Stmt {
	view, index, item := e.local(), e.local(), e.local()
	helper := "view"
	if e.walks[scan.Source] {
		// What `walk` found, sorted by path, is what the interpreter finds one after the other.
		helper = "sorted"
	}
	look := &ir.CallStmt{Func: e.helper(helper), Args: operands(ir.Input, ir.Data, scan.Source), Result: view}
	if helper == "sorted" {
		scan.Source = view
		return []ir.Stmt{look, scan}
	}
	found := []ir.Stmt{
		&ir.ResetLocalStmt{Target: scan.Value},
		&ir.BlockStmt{Blocks: []*ir.Block{
			{Stmts: []ir.Stmt{
				&ir.IsArrayStmt{Source: of(scan.Source)},
				&ir.AssignVarStmt{Source: of(index), Target: scan.Key},
				&ir.AssignVarStmt{Source: of(item), Target: scan.Value},
			}},
			{Stmts: []ir.Stmt{
				&ir.IsUndefinedStmt{Source: scan.Value},
				&ir.AssignVarStmt{Source: of(item), Target: scan.Key},
				&ir.DotStmt{Source: of(scan.Source), Key: of(item), Target: scan.Value},
			}},
		}},
		&ir.IsDefinedStmt{Source: scan.Value},
	}
	scan.Block.Stmts = append(found, scan.Block.Stmts...)
	return []ir.Stmt{look, &ir.ScanStmt{Source: view, Key: index, Value: item, Block: scan.Block, Location: scan.Location}}
}

// withInput puts an empty object in the place of an input that is none, as the interpreter does.
func (e *exact) withInput(with *ir.WithStmt) []ir.Stmt {
	object := e.local()
	return []ir.Stmt{
		&ir.MakeObjectStmt{Target: object},
		&ir.BlockStmt{Blocks: []*ir.Block{{Stmts: []ir.Stmt{
			&ir.IsDefinedStmt{Source: ir.Input},
			&ir.IsObjectStmt{Source: of(ir.Input)},
			&ir.AssignVarStmt{Source: of(ir.Input), Target: object},
		}}}},
		&ir.WithStmt{Local: ir.Input, Value: of(object), Block: &ir.Block{Stmts: []ir.Stmt{with}}},
	}
}

// appendsOutside tells whether the order in which a block runs shows: it appends to an array that it
// did not make, or prints.
func appendsOutside(block *ir.Block) bool {
	appended, made := map[ir.Local]bool{}, map[ir.Local]bool{}
	prints := false
	var look func(*ir.Block)
	look = func(block *ir.Block) {
		for _, stmt := range block.Stmts {
			switch stmt := stmt.(type) {
			case *ir.ArrayAppendStmt:
				appended[stmt.Array] = true
			case *ir.MakeArrayStmt:
				made[stmt.Target] = true
			case *ir.CallStmt:
				prints = prints || stmt.Func == ast.InternalPrint.Name
			case *ir.BlockStmt:
				for _, each := range stmt.Blocks {
					look(each)
				}
			case *ir.NotStmt:
				look(stmt.Block)
			case *ir.ScanStmt:
				look(stmt.Block)
			case *ir.WithStmt:
				look(stmt.Block)
			}
		}
	}
	look(block)
	if prints {
		return true
	}
	for array := range appended {
		if !made[array] {
			return true
		}
	}
	return false
}

func of(value ir.Val) ir.Operand { return ir.Operand{Value: value} }

func operands(locals ...ir.Local) []ir.Operand {
	all := make([]ir.Operand, len(locals))
	for i, each := range locals {
		all[i] = of(each)
	}
	return all
}
