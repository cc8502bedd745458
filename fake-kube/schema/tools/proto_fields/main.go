// Writes the protobuf field tables of the built-in kinds, one line per message, from the published Go types:
//
//	go run . > ../../data/proto.tsv
//
// A line is `message TAB number SP json-name SP type [SP go-name] TAB ...`; the Go name is left out where it is the JSON name
// with a capital. A type is one of s(tring) b(ytes) i(nt32) l(int64) t(rue/false) d(ouble) or `m:message`, after any of:
// `?` pointer (present on the wire means set), `-` omitempty, `[` repeated, `{` map with string keys, `^` inline (its
// members are those of the parent). Alpha and beta versions are left out: no server serves them unasked.
//
// `go run . samples` writes `../../data/proto-samples.tsv` instead: objects as JSON and as the Go libraries encode them.
package main

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

var lines = map[string]string{}

func name(t reflect.Type) string {
	p := t.PkgPath()
	for _, prefix := range []string{"k8s.io/apiextensions-apiserver/pkg/apis/", "k8s.io/apimachinery/pkg/apis/", "k8s.io/apimachinery/pkg/api/",
		"k8s.io/apimachinery/pkg/util/", "k8s.io/apimachinery/pkg/", "k8s.io/api/"} {
		p = strings.TrimPrefix(p, prefix)
	}
	return strings.ReplaceAll(p, "/", ".") + "." + t.Name()
}

func visit(t reflect.Type) {
	if t.Kind() != reflect.Struct {
		return
	}
	n := name(t)
	if _, done := lines[n]; done {
		return
	}
	lines[n] = ""
	type field struct {
		number int
		text   string
	}
	var fields []field
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("protobuf")
		if !ok {
			continue
		}
		parts := strings.Split(tag, ",")
		if len(parts) < 2 {
			continue
		}
		number, err := strconv.Atoi(parts[1])
		if err != nil {
			panic(n + "." + f.Name + ": " + tag)
		}
		json := strings.Split(f.Tag.Get("json"), ",")
		key, flags := json[0], ""
		for _, o := range json[1:] {
			switch o {
			case "omitempty", "omitzero":
				if !strings.Contains(flags, "-") {
					flags += "-"
				}
			case "inline":
				flags += "^"
			}
		}
		if key == "" {
			key = "."
			if f.Anonymous && !strings.Contains(flags, "^") {
				flags += "^"
			}
		}
		text := fmt.Sprintf("%d %s %s", number, key, flags+kind(f.Type, slices.Contains(parts, "rep"), n+"."+f.Name))
		if f.Name != strings.ToUpper(key[:1])+key[1:] {
			text += " " + f.Name
		}
		fields = append(fields, field{number, text})
	}
	sort.Slice(fields, func(a, b int) bool { return fields[a].number < fields[b].number })
	var all []string
	for _, f := range fields {
		all = append(all, f.text)
	}
	lines[n] = strings.Join(all, "\t")
}

func kind(t reflect.Type, repeated bool, at string) string {
	switch t.Kind() {
	case reflect.Pointer:
		return "?" + kind(t.Elem(), repeated, at)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "b"
		}
		// A named list is a message with `repeated items = 1` (ExtraValue, Verbs).
		if t.Name() != "" && t.PkgPath() != "" && !repeated {
			n := name(t)
			lines[n] = "1 items [" + kind(t.Elem(), false, at)
			return "m:" + n
		}
		return "[" + kind(t.Elem(), false, at)
	case reflect.Map:
		return "{" + kind(t.Elem(), false, at)
	case reflect.Struct:
		visit(t)
		return "m:" + name(t)
	case reflect.String:
		return "s"
	case reflect.Bool:
		return "t"
	case reflect.Int32, reflect.Uint8, reflect.Int16:
		return "i"
	case reflect.Int64, reflect.Int:
		return "l"
	case reflect.Float64:
		return "d"
	}
	panic(at + ": " + t.String())
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "samples" {
		samples()
		return
	}
	for gvk, t := range scheme.Scheme.AllKnownTypes() {
		if !strings.Contains(gvk.Version, "alpha") && !strings.Contains(gvk.Version, "beta") && gvk.Version != runtime.APIVersionInternal {
			visit(t)
		}
	}
	for _, t := range []any{apiextensions.CustomResourceDefinition{}, apiextensions.CustomResourceDefinitionList{}, metav1.PartialObjectMetadata{},
		metav1.PartialObjectMetadataList{}, metav1.Status{}, metav1.WatchEvent{}, runtime.Unknown{}} {
		visit(reflect.TypeOf(t))
	}
	var names []string
	for n, l := range lines {
		// Types that encode themselves have no tags; their readers know them by name.
		if l != "" || strings.Contains(n, ".v1.") || strings.Contains(n, ".v2.") {
			names = append(names, n)
		}
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Fprintln(os.Stdout, n+"\t"+lines[n])
	}
}
