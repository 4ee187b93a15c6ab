// Command prepare turns OPA's test cases into cases that can be compiled together.
//
// Every case gets a corner of the data document for itself: what it calls data.x becomes
// data.case_00001.x, in its modules, its query and its base data. Its query becomes a rule whose
// value is the array of the query's bindings. Nothing else of its text changes.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/test/cases"
)

// suite is one part of OPA's tests: where it is, how its Rego is written, and what names its categories.
type suite struct {
	name     string
	path     string
	version  ast.RegoVersion
	category func(relative string) string
	unmoved  bool
}

var numbered = regexp.MustCompile(`^\d+_(.*)\.yaml$`)

var suites = []suite{
	{name: "v1", path: "v1/test/cases/testdata/v1", version: ast.RegoV1, category: filepath.Dir},
	{name: "v0", path: "v1/test/cases/testdata/v0", version: ast.RegoV0, category: filepath.Dir},
	{name: "wasm", path: "v1/test/wasm/assets", version: ast.RegoV1, category: func(relative string) string {
		return numbered.ReplaceAllString(relative, "$1")
	}},
}

func main() {
	source := flag.String("opa", "", "directory of OPA's source")
	target := flag.String("out", "", "file to write")
	unmoved := flag.Bool("unmoved", false, "leave every case as it is, to be compiled alone")
	flag.Parse()
	if err := run(*source, *target, *unmoved); err != nil {
		fmt.Fprintln(os.Stderr, "prepare:", err)
		os.Exit(1)
	}
}

func run(source, target string, unmoved bool) error {
	all := []prepared{}
	for _, each := range suites {
		each.unmoved = unmoved
		found, err := each.prepare(source, len(all))
		if err != nil {
			return fmt.Errorf("suite %s: %w", each.name, err)
		}
		all = append(all, found...)
	}
	file, err := os.Create(target)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(file)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(all); err != nil {
		return err
	}
	return file.Close()
}

func (s suite) prepare(source string, first int) ([]prepared, error) {
	root := filepath.Join(source, s.path)
	paths, err := yamls(root)
	if err != nil {
		return nil, err
	}
	result := []prepared{}
	for _, path := range paths {
		set, err := cases.Load(path)
		if err != nil {
			return nil, err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return nil, err
		}
		seen := map[string]int{}
		for _, each := range set.Cases {
			made, err := s.one(each, fmt.Sprintf("case_%05d", first+len(result)))
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", relative, each.Note, err)
			}
			made.Suite, made.File, made.Category = s.name, filepath.ToSlash(relative), s.category(relative)
			// Notes repeat; the second of a name in a file is "name #2".
			if seen[each.Note]++; seen[each.Note] > 1 {
				made.Note = fmt.Sprintf("%s #%d", each.Note, seen[each.Note])
			}
			result = append(result, made)
		}
	}
	return result, nil
}

func yamls(root string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".yaml") {
			paths = append(paths, path)
		}
		return err
	})
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("no cases in %s", root)
	}
	return paths, err
}
