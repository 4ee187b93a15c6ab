package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// OPA's compiler does not tell which builtins a module leaves to its host; the module itself
// does, in its function `builtins`, which inserts address and id of each name into an object.
// Reading that function is exact and costs less than running the module.

var errWasm = errors.New("OPA made a module that cannot be read back")

type reader struct {
	data []byte
	at   int
}

func (r *reader) uleb() uint64 {
	value, size := binary.Uvarint(r.data[r.at:])
	if size <= 0 {
		panic(errWasm)
	}
	r.at += size
	return value
}

func (r *reader) sleb() int64 {
	var value int64
	for shift := uint(0); ; shift += 7 {
		b := r.data[r.at]
		r.at++
		value |= int64(b&0x7f) << shift
		if b&0x80 == 0 {
			if b&0x40 != 0 && shift+7 < 64 {
				value |= -1 << (shift + 7)
			}
			return value
		}
	}
}

func (r *reader) bytes() []byte {
	size := int(r.uleb())
	data := r.data[r.at : r.at+size]
	r.at += size
	return data
}

// Numbers of sections, opcodes and kinds are those of the WebAssembly specification.
const (
	sectionImport, sectionExport, sectionCode, sectionData = 2, 7, 10, 11

	opEnd, opCall, opGetLocal, opSetLocal, opI32Const, opI64Const = 0x0b, 0x10, 0x20, 0x21, 0x41, 0x42
)

func sections(wasm []byte) map[byte][]byte {
	found := map[byte][]byte{}
	r := &reader{data: wasm, at: 8}
	for r.at < len(wasm) {
		id := wasm[r.at]
		r.at++
		found[id] = r.bytes()
	}
	return found
}

func requiredBuiltins(wasm []byte) (names []string, err error) {
	err = guarded(func() error {
		parts := sections(wasm)
		index := exportedFunction(parts[sectionExport], "builtins") - importedFunctions(parts[sectionImport])
		for _, address := range nameAddresses(functionBody(parts[sectionCode], index)) {
			names = append(names, textAt(parts[sectionData], address))
		}
		return nil
	})
	if names == nil {
		names = []string{}
	}
	return names, err
}

func importedFunctions(section []byte) int {
	r := &reader{data: section}
	count := 0
	for range r.uleb() {
		r.bytes()
		r.bytes()
		kind := r.data[r.at]
		r.at++
		switch kind {
		case 0:
			r.uleb()
			count++
		case 1:
			r.at++
			limits(r)
		case 2:
			limits(r)
		case 3:
			r.at += 2
		}
	}
	return count
}

func limits(r *reader) {
	if r.uleb()&1 == 1 {
		r.uleb()
	}
	r.uleb()
}

func exportedFunction(section []byte, name string) int {
	r := &reader{data: section}
	for range r.uleb() {
		exported := string(r.bytes())
		kind := r.data[r.at]
		r.at++
		index := int(r.uleb())
		if kind == 0 && exported == name {
			return index
		}
	}
	panic(errWasm)
}

func functionBody(section []byte, index int) []byte {
	r := &reader{data: section}
	r.uleb()
	for range index {
		r.bytes()
	}
	return r.bytes()
}

// nameAddresses collects the i32 constants: in this function they are the names, ids are i64.
func nameAddresses(body []byte) (addresses []int64) {
	r := &reader{data: body}
	for range r.uleb() {
		r.uleb()
		r.at++
	}
	for {
		op := r.data[r.at]
		r.at++
		switch op {
		case opEnd:
			return addresses
		case opCall, opGetLocal, opSetLocal:
			r.uleb()
		case opI32Const:
			addresses = append(addresses, r.sleb())
		case opI64Const:
			r.sleb()
		default:
			panic(fmt.Errorf("%w: opcode %#x", errWasm, op))
		}
	}
}

func textAt(section []byte, address int64) string {
	r := &reader{data: section}
	for range r.uleb() {
		r.uleb()
		r.at++ // i32.const
		start := r.sleb()
		r.at++ // end
		data := r.bytes()
		if address >= start && address < start+int64(len(data)) {
			text, _, found := bytes.Cut(data[address-start:], []byte{0})
			if found {
				return string(text)
			}
		}
	}
	panic(errWasm)
}
