package ingest

import (
	"fmt"
	"strings"
	"testing"
)

// hostilePairs are schemas and properties that would each take a long time, or much memory, if nobody counted steps.
func hostilePairs() map[string][2]string {
	const size = 250 << 10
	fill := func(one string) string { return strings.TrimSuffix(strings.Repeat(one, size/len(one)), ",") }
	collide := func() string { // arrays whose hashes, as the library takes them, are the same
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			b.WriteString(`["x`)
			for bit := range 14 {
				if i>>bit&1 == 1 {
					b.WriteString("\",\"x")
				} else {
					b.WriteString("\\u0004x")
				}
			}
			b.WriteString(`"],`)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	nest := func(open, mid, close string, n int) string {
		return strings.Repeat(open, n) + mid + strings.Repeat(close, n)
	}
	return map[string][2]string{
		"plain array":          {`{"properties":{"a":{"items":{"type":"integer"}}}}`, `{"a":[` + fill("1,") + `]}`},
		"wrong items":          {`{"properties":{"a":{"items":{"type":"string"}}}}`, `{"a":[` + fill("1,") + `]}`},
		"objects":              {`{"properties":{"a":{"items":{"properties":{"b":{"type":"string"}}}}}}`, `{"a":[` + fill(`{"b":1},`) + `]}`},
		"empty objects":        {`{"properties":{"a":{"items":{"required":["b"]}}}}`, `{"a":[` + fill(`{},`) + `]}`},
		"additional":           {`{"additionalProperties":false}`, manyNames(size)},
		"unique collide":       {`{"properties":{"a":{"uniqueItems":true}}}`, `{"a":[` + collide() + `]}`},
		"unique 600":           {`{"properties":{"a":{"uniqueItems":true}}}`, `{"a":[` + strings.Join(strings.SplitAfter(collide(), "],")[:600], "") + `[]]}`},
		"unique numbers":       {`{"properties":{"a":{"uniqueItems":true}}}`, `{"a":[` + manyNumbers(size) + `]}`},
		"exponents":            {`{"properties":{"a":{"items":{"type":"integer"}}}}`, `{"a":[` + fill("1e512,") + `]}`},
		"small exponents":      {`{"properties":{"a":{"items":{"type":"integer"}}}}`, `{"a":[` + fill("1e-512,") + `]}`},
		"digits":               {`{"properties":{"a":{"items":{"type":"integer","multipleOf":0.1}}}}`, `{"a":[` + fill(strings.Repeat("7", 250)+"."+strings.Repeat("3", 250)+",") + `]}`},
		"multiple":             {`{"properties":{"a":{"items":{"multipleOf":0.01}}}}`, `{"a":[` + fill("1.37e-512,") + `]}`},
		"enum":                 {`{"properties":{"a":{"items":{"enum":[` + strings.Repeat("1.5,", 999) + `2]}}}}`, `{"a":[` + fill("3,") + `]}`},
		"pattern nfa":          {`{"properties":{"a":{"pattern":"(x+x+)+y"}}}`, `{"a":"` + strings.Repeat("x", size) + `"}`},
		"pattern repeat":       {`{"properties":{"a":{"pattern":"x.{0,900}y"}}}`, `{"a":"` + strings.Repeat("x", size) + `"}`},
		"pattern repeat short": {`{"properties":{"a":{"pattern":"x.{0,900}y"}}}`, `{"a":"` + strings.Repeat("x", 4500) + `"}`},
		"pattern 100":          {`{"properties":{"a":{"pattern":"x.{0,60}y"}}}`, `{"a":"` + strings.Repeat("x", 100000) + `"}`},
		"recursion":            {`{"$id":"plan:///t.json","anyOf":[{"properties":{"a":{"$ref":"#"}},"required":["b"]},{"properties":{"a":{"$ref":"#"}},"required":["c"]}]}`, nest(`{"a":`, `1`, `}`, 30)},
		"negated recursion":    {`{"not":{"anyOf":[{"properties":{"a":{"$ref":"#"}},"required":["b"]},{"properties":{"a":{"$ref":"#"}},"required":["c"]}]}}`, nest(`{"a":`, `1`, `}`, 30)},
		"deep errors":          {`{"items":{"$ref":"#"},"additionalProperties":{"$ref":"#"},"type":["object","array"]}`, nest(`{"a":`, `[`+fill("1,")+`]`, `}`, 28)},
		"names":                {`{"propertyNames":{"pattern":"^[a-z]{1,60}$"}}`, manyNames(size)},
	}
}

// manyNames is an object of about size bytes with many members.
func manyNames(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `,"%d":1`, i)
	}
	return "{" + b.String()[1:] + "}"
}

func manyNumbers(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `,%d`, i)
	}
	return b.String()[1:]
}

func TestHostileEventsAreJudgedInBoundedSteps(t *testing.T) {
	t.Parallel()
	limited := 0
	for name, pair := range hostilePairs() {
		s, err := compileSchema(t, map[string]string{"s.json": pair[0]})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		left := planStepsRequest
		found := s.check([]byte(pair[1]), "/properties", false, &left)
		if spent := planStepsRequest - left; spent > planStepsEvent {
			t.Errorf("%s took %d steps", name, spent)
		}
		if len(found) > 0 && found[0].rule == "limit" {
			limited++
		}
		left = 3 // of a request that is nearly spent
		s.check([]byte(pair[1]), "/properties", false, &left)
		if left < 0 {
			t.Errorf("%s overdrew its request by %d steps", name, -left)
		}
	}
	if limited < 10 {
		t.Errorf("only %d of them reached the limit", limited)
	}
}

// BenchmarkHostileEvents shows what the worst events cost.
func BenchmarkHostileEvents(b *testing.B) {
	for name, pair := range hostilePairs() {
		b.Run(name, func(b *testing.B) {
			s, err := compileSchema(b, map[string]string{"s.json": pair[0]})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				left := planStepsRequest
				s.check([]byte(pair[1]), "/properties", false, &left)
			}
		})
	}
}
