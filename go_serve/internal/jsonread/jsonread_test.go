package jsonread

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// FuzzObject compares this reader with encoding/json: the same texts are refused, and what is accepted has the same values,
// whatever type a member is read as.
func FuzzObject(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o := Parse(data)
		var want map[string]json.RawMessage
		err := json.Unmarshal(data, &want)
		if (o.Err() == nil) != (err == nil && want != nil) {
			t.Fatalf("%q: %v, encoding/json: %v", data, o.Err(), err)
		}
		if o.Err() != nil {
			if wantErr := map[bool]string{false: "it is not valid JSON", true: "it does not hold a JSON object"}[json.Valid(data)]; o.Err().Error() != wantErr {
				t.Fatalf("%q: %v, want %s", data, o.Err(), wantErr)
			}
			return
		}
		if got, want := slices.Sorted(maps.Keys(o.members)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
			t.Fatalf("%q: the members %q, encoding/json: %q", data, got, want)
		}
		for key, raw := range want {
			// Each read starts without an earlier failure.
			fresh := func() Object { return Object{members: o.members, failed: new(error)} }
			a := fresh()
			same(t, key, raw, a.Strings(key, 1<<20), truthOfList[string](raw), a.Err())
			a = fresh()
			same(t, key, raw, a.Integers(key, 1<<20), truthOfList[int](raw), a.Err())
			a = fresh()
			same(t, key, raw, bits(a.Floats(key, 1<<20)), bits(truthOfList[float32](raw)), a.Err())
			a = fresh()
			same(t, key, raw, a.Text(key), truth[string](raw), a.Err())
			a = fresh()
			same(t, key, raw, a.Flag(key), truth[bool](raw), a.Err())
			a = fresh()
			same(t, key, raw, a.Integer(key, math.MinInt64, math.MaxInt64), truth[int64](raw), a.Err())
			a = fresh()
			same(t, key, raw, a.Number(key, math.Inf(-1), math.Inf(1)), truth[float64](raw), a.Err())
			a = fresh()
			same(t, key, raw, keysOf(a.Object(key).members), keysOf(truthOfObject(raw)), a.Err())
			a = fresh()
			var all [][]string
			for inner := range a.Objects(key) {
				all = append(all, keysOf(inner.members))
			}
			var wantAll [][]string
			list := truthOfList[map[string]json.RawMessage](raw)
			for _, inner := range list {
				wantAll = append(wantAll, keysOf(inner))
			}
			same(t, key, raw, all, map[bool]*[][]string{true: &wantAll}[list != nil], a.Err())
		}
	})
}

// truth is what encoding/json reads, nil where that is refused or null.
func truth[T any](raw []byte) *T {
	var v *T
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	return v
}

// truthOfList is truth of a list without null.
func truthOfList[T any](raw []byte) []T {
	pointers := truth[[]*T](raw)
	if pointers == nil {
		return nil
	}
	values := []T{}
	for _, p := range *pointers {
		if p == nil {
			return nil
		}
		values = append(values, *p)
	}
	return values
}

func truthOfObject(raw []byte) (members map[string]json.RawMessage) {
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	return members
}

// keysOf returns the names of a map, in order; nil of nil only.
func keysOf[V any](m map[string]V) []string {
	if m == nil {
		return nil
	}
	return append([]string{}, slices.Sorted(maps.Keys(m))...)
}

// same compares a value that was read with the truth: a pointer to it, or a list; nil where reading must fail.
func same(t *testing.T, key string, raw []byte, got, want any, err error) {
	t.Helper()
	v := reflect.ValueOf(want)
	if refused := v.IsNil(); refused != (err != nil) {
		t.Fatalf("%q of %q as %T: %v, encoding/json refuses it: %v", raw, key, got, err, refused)
	}
	if err != nil {
		if !strings.HasPrefix(err.Error(), fmt.Sprintf("%q is not ", key)) {
			t.Fatalf("%q: %v", raw, err)
		}
		return
	}
	if v.Kind() == reflect.Pointer {
		want = v.Elem().Interface()
	}
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		t.Fatalf("%q: %#v, encoding/json: %#v", raw, got, want)
	}
}

// bits tells -0 from 0.
func bits(values []float32) []uint32 {
	if values == nil {
		return nil
	}
	all := make([]uint32, len(values))
	for i, v := range values {
		all[i] = math.Float32bits(v)
	}
	return all
}

func seeds(t testing.TB) []string {
	good, err := os.ReadFile("../model/testdata/llama/vocab.json")
	if err != nil {
		t.Fatal(err)
	}
	all := []string{string(good), "", " ", "{}", " {} ", "[]", "null", "7", `"x"`, "{", "}", "{}{}", "{} x", "\ufeff{}",
		`{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`, `{"a":1,"a":[]}`, `{"a":1,"\u0061":2}`, `{1:2}`, `{"a" : 1 }`,
		"{\"a\":\"\t\"}", `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12G4"}`, `{"a":"`, `{"a":"\`, `{"a":"\"`, "{\"\xff\":1,\"\xfe\":2}"}
	for _, value := range []string{
		`[]`, `[ ]`, `[,]`, `["a",]`, `["a" "b"]`, `["a","b"]`, ` [ "a" , "b" ] `, `["a",null]`, `["a",1]`, `[["a"]]`, `["▁а","ё"]`,
		`["\u2581\n\"\\\/\b\f\r\t","\ud83d\ude00","\ud83d","\ude00x","\uD83Dx"]`, "[\"\xff\",\"a\xe2\x96\"]", "[\"a\x7f\"]", "[\"\x1f\"]",
		`[1.0,-7.0,-0.0,0.0,9999999.0,99999999.0,-16777217.0,12]`, `[12345678901.0]`, `[-.0]`, `[0,-0,-0.0,1.5,1e3,1E+3,1e-3]`, `[1e39]`, `[-3.4028235e38,3.4028236e38]`, `[1e-60]`, `[01]`, `[+1]`, `[.5]`, `[1.]`, `[1e]`, `[-]`,
		`[NaN]`, `[Infinity]`, `[0x1p3]`, `[1_0]`, `[123456789012345678901234567890]`, `[true]`, `[null]`, `[{}]`,
		`"text"`, `"\u00e9"`, `{"a":{"b":[1,{"c":null}]}}`, `{}`, `null`, `true`, `false`, `nul`, `truex`, `-`, `-0`, `1.50`, "\x00", `"` + "\u2028" + `"`,
	} {
		all = append(all, `{"a":`+value+`}`)
	}
	return all
}

// TestDepth nests as deep as encoding/json allows, and once more.
func TestDepth(t *testing.T) {
	for depth, want := range map[int]bool{1: true, maxDepth: true, maxDepth + 1: false, 1 << 20: false} {
		for _, brackets := range []string{"[]", `{"a":` + "}"} {
			open, end := brackets[:len(brackets)-1], brackets[len(brackets)-1:]
			inner := map[byte]string{'[': "", '{': "1"}[brackets[0]]
			text := `{"x":` + strings.Repeat(open, depth-1) + inner + strings.Repeat(end, depth-1) + "}"
			if depth == 1 {
				text = "{}"
			}
			if got := Parse([]byte(text)).Err() == nil; got != want || got != json.Valid([]byte(text)) {
				t.Errorf("depth %d of %s: %v, encoding/json says %v", depth, brackets, got, json.Valid([]byte(text)))
			}
		}
	}
}

// TestSentences says what is wrong with what, and only the first of it.
func TestSentences(t *testing.T) {
	tests := []struct {
		text string
		read func(o Object)
		want string
	}{
		{`{}`, func(o Object) { o.Text("a") }, `"a" is missing`},
		{`{"a":1}`, func(o Object) { o.Text("a"); o.Flag("a") }, `"a" is not a string`},
		{`{"a":{"b":7}}`, func(o Object) { o.Object("a").Integer("b", 1, 5) }, `"a.b" is 7, it must be within 1..5`},
		{`{"a":0.5}`, func(o Object) { o.Number("a", 1, 2) }, `"a" is 0.5, it must be within 1..2`},
		{`{"a":[{"b":1},{}]}`, func(o Object) {
			for inner := range o.Objects("a") {
				inner.Integer("b", 0, 9)
			}
		}, `"a[1].b" is missing`},
		{`{"a":[{},1]}`, func(o Object) {
			for range o.Objects("a") {
			}
		}, `"a" is not a list of objects`},
		{`{"a":[{},1]}`, func(o Object) {
			for range o.Objects("a") {
				break // what follows is not looked at
			}
		}, ""},
		{`{"a":[1,2,3]}`, func(o Object) { o.Integers("a", 2) }, `"a" has more than 2 elements`},
		{`{"a":"%d"}`, func(o Object) { o.Fail("a%", "is %q", o.Text("a")) }, `"a%" is "%d"`},
	}
	for _, test := range tests {
		o := Parse([]byte(test.text))
		test.read(o)
		if err := o.Err(); (err == nil) != (test.want == "") || err != nil && err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.text, err, test.want)
		}
	}
	if o := Parse([]byte(`{"a":null}`)); !o.Has("a") || o.Has("b") {
		t.Errorf("has: %v, %v", o.Has("a"), o.Has("b"))
	}
	if err := Parse([]byte("[")).Err(); err.Error() != "it is not valid JSON" {
		t.Errorf("%v", err)
	}
}
