package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Value text is JSON plus sets ("set()", "{1, 2}") and keys of any type, as OPA's WebAssembly
// modules write and read it. Strings may hold bytes that are not UTF-8 on the way in (a policy
// can decode them from base64) and never do on the way out (a module would abort).

const maxDepth = 5000

var errValue = errors.New("argument is not a value")

type valueParser struct {
	text  []byte
	at    int
	depth int
}

func parseValue(text []byte) (ast.Value, error) {
	p := &valueParser{text: text}
	value, err := p.value()
	if err != nil {
		return nil, err
	}
	p.space()
	if p.at != len(p.text) {
		return nil, p.wrong()
	}
	return value, nil
}

func (p *valueParser) wrong() error { return fmt.Errorf("%w, at byte %d", errValue, p.at) }

func (p *valueParser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// peek skips space and answers the next byte, 0 at the end.
func (p *valueParser) peek() byte {
	p.space()
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *valueParser) take(b byte) bool {
	if p.peek() == b {
		p.at++
		return true
	}
	return false
}

func (p *valueParser) word(word string) bool {
	if len(p.text)-p.at >= len(word) && string(p.text[p.at:p.at+len(word)]) == word {
		p.at += len(word)
		return true
	}
	return false
}

func (p *valueParser) value() (ast.Value, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("%w: nested too deeply", errValue)
	}
	defer func() { p.depth-- }()
	switch first := p.peek(); {
	case first == '"':
		text, err := p.str()
		return ast.String(text), err
	case first == '[':
		return p.array()
	case first == '{':
		return p.braces()
	case first == '-' || first == '.' || first >= '0' && first <= '9':
		return p.number(), nil
	case p.word("null"):
		return ast.Null{}, nil
	case p.word("true"):
		return ast.Boolean(true), nil
	case p.word("false"):
		return ast.Boolean(false), nil
	case p.word("set()"):
		return ast.NewSet(), nil
	}
	return nil, p.wrong()
}

// number keeps the spelling, except for what JSON (and with it OPA) could not read again.
func (p *valueParser) number() ast.Value {
	start := p.at
	for p.at < len(p.text) {
		switch b := p.text[p.at]; {
		case b >= '0' && b <= '9', b == '-', b == '+', b == '.', b == 'e', b == 'E':
			p.at++
			continue
		}
		break
	}
	return ast.Number(json.Number(plainNumber(string(p.text[start:p.at]))))
}

func plainNumber(text string) string {
	sign := ""
	if len(text) > 0 && text[0] == '-' {
		sign, text = "-", text[1:]
	}
	for len(text) > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9' {
		text = text[1:]
	}
	if len(text) > 0 && text[0] == '.' {
		text = "0" + text
	}
	for i := range len(text) {
		if text[i] == '.' && (i+1 == len(text) || text[i+1] < '0' || text[i+1] > '9') {
			return sign + text[:i] + ".0" + text[i+1:]
		}
	}
	return sign + text
}

func (p *valueParser) array() (ast.Value, error) {
	p.at++
	items := []*ast.Term{}
	if p.take(']') {
		return ast.NewArray(), nil
	}
	for {
		item, err := p.value()
		if err != nil {
			return nil, err
		}
		items = append(items, ast.NewTerm(item))
		if p.take(']') {
			return ast.NewArray(items...), nil
		}
		if !p.take(',') {
			return nil, p.wrong()
		}
	}
}

// braces reads an object or a set; the first separator tells which.
func (p *valueParser) braces() (ast.Value, error) {
	p.at++
	if p.take('}') {
		return ast.NewObject(), nil
	}
	first, err := p.value()
	if err != nil {
		return nil, err
	}
	if p.peek() == ':' {
		return p.object(first)
	}
	members := []*ast.Term{ast.NewTerm(first)}
	for !p.take('}') {
		if !p.take(',') {
			return nil, p.wrong()
		}
		member, err := p.value()
		if err != nil {
			return nil, err
		}
		members = append(members, ast.NewTerm(member))
	}
	return ast.NewSet(members...), nil
}

func (p *valueParser) object(key ast.Value) (ast.Value, error) {
	pairs := [][2]*ast.Term{}
	for {
		if !p.take(':') {
			return nil, p.wrong()
		}
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, [2]*ast.Term{ast.NewTerm(key), ast.NewTerm(value)})
		if p.take('}') {
			return ast.NewObject(pairs...), nil
		}
		if !p.take(',') {
			return nil, p.wrong()
		}
		if key, err = p.value(); err != nil {
			return nil, err
		}
	}
}

func (p *valueParser) str() (string, error) {
	p.at++
	start := p.at
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case '"':
			p.at++
			return string(p.text[start : p.at-1]), nil
		case '\\':
			return p.escaped(append([]byte(nil), p.text[start:p.at]...))
		}
		p.at++
	}
	return "", p.wrong()
}

var escapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (p *valueParser) escaped(text []byte) (string, error) {
	for p.at < len(p.text) {
		b := p.text[p.at]
		p.at++
		if b == '"' {
			return string(text), nil
		}
		if b != '\\' {
			text = append(text, b)
			continue
		}
		if p.at == len(p.text) {
			break
		}
		kind := p.text[p.at]
		p.at++
		if plain, known := escapes[kind]; known {
			text = append(text, plain)
			continue
		}
		if kind != 'u' {
			break
		}
		char, ok := p.unicode()
		if !ok {
			break
		}
		text = utf8.AppendRune(text, char)
	}
	return "", p.wrong()
}

func (p *valueParser) unicode() (rune, bool) {
	first, ok := p.hex()
	if !ok || !utf16.IsSurrogate(first) {
		return first, ok
	}
	if p.at+6 <= len(p.text) && p.text[p.at] == '\\' && p.text[p.at+1] == 'u' {
		back := p.at
		p.at += 2
		if second, ok := p.hex(); ok {
			if char := utf16.DecodeRune(first, second); char != utf8.RuneError {
				return char, true
			}
		}
		p.at = back
	}
	return utf8.RuneError, true
}

func (p *valueParser) hex() (rune, bool) {
	if p.at+4 > len(p.text) {
		return 0, false
	}
	var char rune
	for _, b := range p.text[p.at : p.at+4] {
		char <<= 4
		switch {
		case b >= '0' && b <= '9':
			char |= rune(b - '0')
		case b >= 'a' && b <= 'f':
			char |= rune(b-'a') + 10
		case b >= 'A' && b <= 'F':
			char |= rune(b-'A') + 10
		default:
			return 0, false
		}
	}
	p.at += 4
	return char, true
}

// appendValue writes value text; sets and keys sorted, as OPA prints them.
func appendValue(text []byte, value ast.Value) []byte {
	switch value := value.(type) {
	case ast.Null:
		return append(text, "null"...)
	case ast.Boolean:
		if value {
			return append(text, "true"...)
		}
		return append(text, "false"...)
	case ast.Number:
		return append(text, spelled(string(value))...)
	case ast.String:
		return appendString(text, string(value))
	case *ast.Array:
		text = append(text, '[')
		for i := range value.Len() {
			text = appendValue(separated(text, i), value.Elem(i).Value)
		}
		return append(text, ']')
	case ast.Set:
		if value.Len() == 0 {
			return append(text, "set()"...)
		}
		text = append(text, '{')
		for i, member := range value.Slice() {
			text = appendValue(separated(text, i), member.Value)
		}
		return append(text, '}')
	case ast.Object:
		text = append(text, '{')
		for i, key := range value.Keys() {
			text = appendValue(separated(text, i), key.Value)
			text = append(text, ':')
			text = appendValue(text, value.Get(key).Value)
		}
		return append(text, '}')
	}
	panic(fmt.Errorf("a function answered %T", value))
}

// spelled answers a number as JSON has it; functions of OPA leave some as they found them in a string.
func spelled(text string) string {
	plain := plainNumber(strings.TrimPrefix(text, "+"))
	if json.Valid([]byte(plain)) {
		return plain
	}
	value, _, err := big.ParseFloat(text, 0, 64, big.ToNearestEven)
	if err != nil || value.IsInf() {
		panic(fmt.Errorf("%q is not a number that JSON could have", text))
	}
	return value.Text('g', -1)
}

func separated(text []byte, index int) []byte {
	if index > 0 {
		return append(text, ',')
	}
	return text
}

const hexDigits = "0123456789abcdef"

func appendString(text []byte, value string) []byte {
	text = append(text, '"')
	for at := 0; at < len(value); {
		b := value[at]
		if b < utf8.RuneSelf {
			at++
			switch {
			case b == '"' || b == '\\':
				text = append(text, '\\', b)
			case b == '\n':
				text = append(text, '\\', 'n')
			case b == '\r':
				text = append(text, '\\', 'r')
			case b == '\t':
				text = append(text, '\\', 't')
			case b < 0x20:
				text = append(text, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
			default:
				text = append(text, b)
			}
			continue
		}
		// A byte that is not UTF-8 becomes U+FFFD, one for each, as in Go's own JSON.
		char, size := utf8.DecodeRuneInString(value[at:])
		text = utf8.AppendRune(text, char)
		at += size
	}
	return append(text, '"')
}
