// Command toolkit is OPA as a WASI reactor: requests in, answers out, nothing else.
//
// The host writes a request into the buffer that `buffer` gives it, calls `call`
// (JSON) or `builtin` (the compact form, see builtin.go) and reads the answer at
// the packed pointer and length. There is no file, no socket and no environment;
// the only way back to the host is `host_call` (host.go).
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"unsafe"
)

// Both buffers live as long as the instance, so that their addresses stay valid between calls.
var (
	requestBuffer []byte
	answerBuffer  []byte
)

func main() {}

//go:wasmexport buffer
func buffer(size uint32) unsafe.Pointer {
	if uint32(cap(requestBuffer)) < size || requestBuffer == nil {
		requestBuffer = make([]byte, size, max(size, 4096))
	}
	return unsafe.Pointer(unsafe.SliceData(requestBuffer[:1]))
}

//go:wasmexport tune
func tune(softLimit uint64, percent uint32) {
	// The collector works harder near the limit instead of running into it.
	debug.SetMemoryLimit(int64(softLimit))
	debug.SetGCPercent(int(percent))
}

//go:wasmexport call
func call(size uint32) uint64 {
	document, attachment := answer(requestBuffer[:size])
	answerBuffer = binary.LittleEndian.AppendUint32(answerBuffer[:0], uint32(len(document)))
	answerBuffer = append(answerBuffer, document...)
	answerBuffer = append(answerBuffer, attachment...)
	return packed(answerBuffer)
}

func packed(data []byte) uint64 {
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(data))))<<32 | uint64(len(data))
}

type operation func(json.RawMessage) (result any, attachment []byte, err error)

var operations = map[string]operation{
	"build":        build,
	"build_tests":  buildTests,
	"bench":        bench,
	"check":        check,
	"fmt":          formatSource,
	"parse":        parse,
	"inspect":      inspect,
	"test":         test,
	"eval":         evaluate,
	"capabilities": capabilities,
	"functions":    functions,
	"version":      version,
}

func answer(request []byte) (document, attachment []byte) {
	var result any
	err := guarded(func() error {
		var head struct {
			Op string `json:"op"`
		}
		if err := json.Unmarshal(request, &head); err != nil {
			return err
		}
		run, found := operations[head.Op]
		if !found {
			return fmt.Errorf("unknown operation %q", head.Op)
		}
		var err error
		result, attachment, err = run(request)
		return err
	})
	if err != nil {
		return failure(err), nil
	}
	document, err = json.Marshal(map[string]any{"result": result})
	if err != nil {
		return failure(err), nil
	}
	return document, attachment
}

// guarded turns a panic anywhere in OPA into an error, so that it costs one answer.
func guarded(work func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = panicked{cause}
		}
	}()
	return work()
}
