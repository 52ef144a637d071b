package ingest

import (
	"cmp"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// The most bytes that are told of a path and of what is wrong there.
const maxWords = 160

// words puts what the library found into words that name paths, rules and what the schema wants, and never the event's
// own values, which privacy rules may be about. Of alternatives that all fail, only that is told. It keeps the first
// maxViolations by path and rule, so that equal events get equal ones.
type words struct {
	root  string
	names map[string]bool // that may be told; nil: all
	found []violation     // sorted
}

func (w *words) of(err error) []violation {
	if top, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		w.collect(top)
	}
	return w.found
}

func (w *words) add(path, rule, message string) {
	v := violation{clip(path), rule, clip(message)}
	i, same := slices.BinarySearchFunc(w.found, v, func(a, b violation) int {
		return cmp.Or(strings.Compare(a.path, b.path), strings.Compare(a.rule, b.rule), strings.Compare(a.message, b.message))
	})
	if same || i == maxViolations {
		return
	}
	w.found = slices.Insert(w.found[:min(len(w.found), maxViolations-1)], i, v)
}

// clip cuts s at maxWords bytes.
func clip(s string) string {
	if len(s) <= maxWords {
		return s
	}
	return string(cutText([]byte(s), maxWords))
}

// collect adds e, or what e is made of.
func (w *words) collect(e *jsonschema.ValidationError) {
	path := w.root + w.pointer(e.InstanceLocation...)
	each := func(rule, message string, names []string) {
		for _, name := range names {
			w.add(path+w.pointer(name), rule, message)
		}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, cause := range e.Causes {
			w.collect(cause)
		}
	case *kind.Required:
		each("required", "is missing", k.Missing)
	case *kind.Dependency:
		each("dependencies", "is missing beside "+strconv.Quote(k.Prop), k.Missing)
	case *kind.DependentRequired:
		each("dependentRequired", "is missing beside "+strconv.Quote(k.Prop), k.Missing)
	case *kind.AdditionalProperties:
		each("additionalProperties", "is not in the plan", k.Properties)
	case *kind.PropertyNames: // the library does not tell where the member is
		message := "a member has a name that the plan does not allow"
		if w.names == nil {
			message += ": " + strconv.Quote(k.Property)
		}
		w.add(w.root, "propertyNames", message)
	default:
		rule, message := wordsFor(k)
		w.add(path, rule, message)
	}
}

// wordsFor are the rule and what it wants. Texts and numbers in it are the schema's.
func wordsFor(k jsonschema.ErrorKind) (rule, message string) {
	count := strconv.Itoa
	switch k := k.(type) {
	case *kind.Type:
		return "type", "must be " + strings.Join(k.Want, " or ") + ", not " + k.Got
	case *kind.Enum:
		return "enum", "must be one of " + literal(k.Want)
	case *kind.Const:
		return "const", "must be " + literal(k.Want)
	case *kind.Format:
		return "format", "must be in the format " + k.Want
	case *kind.Pattern:
		return "pattern", "must match " + k.Want
	case *kind.MinLength:
		return "minLength", "must have at least " + count(k.Want) + " characters"
	case *kind.MaxLength:
		return "maxLength", "must have at most " + count(k.Want) + " characters"
	case *kind.Minimum:
		return "minimum", "must be >= " + ratText(k.Want)
	case *kind.Maximum:
		return "maximum", "must be <= " + ratText(k.Want)
	case *kind.ExclusiveMinimum:
		return "exclusiveMinimum", "must be > " + ratText(k.Want)
	case *kind.ExclusiveMaximum:
		return "exclusiveMaximum", "must be < " + ratText(k.Want)
	case *kind.MultipleOf:
		return "multipleOf", "must be a multiple of " + ratText(k.Want)
	case *kind.MinItems:
		return "minItems", "must have at least " + count(k.Want) + " items"
	case *kind.MaxItems:
		return "maxItems", "must have at most " + count(k.Want) + " items"
	case *kind.UniqueItems:
		return "uniqueItems", "items " + count(k.Duplicates[0]) + " and " + count(k.Duplicates[1]) + " must not be equal"
	case *kind.MinProperties:
		return "minProperties", "must have at least " + count(k.Want) + " members"
	case *kind.MaxProperties:
		return "maxProperties", "must have at most " + count(k.Want) + " members"
	case *kind.FalseSchema:
		return "false", "is not in the plan"
	case *kind.AnyOf:
		return "anyOf", "fits none of the alternatives"
	case *kind.OneOf:
		if len(k.Subschemas) == 0 {
			return "oneOf", "fits none of the alternatives"
		}
		return "oneOf", "fits more than one of the alternatives"
	case *kind.Not:
		return "not", "fits what the plan excludes"
	}
	rule = "schema"
	if path := k.KeywordPath(); len(path) > 0 {
		rule = path[0]
	}
	return rule, "does not fit the plan"
}

// literal is a value of the schema as JSON.
func literal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "what the plan says"
	}
	return string(b)
}

func ratText(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// pointer leaves out what may not be told. Elements of arrays may, whose numbers are short.
func (w *words) pointer(tokens ...string) string {
	if w.names == nil {
		return pointer(tokens...)
	}
	out := slices.Clone(tokens)
	for i, token := range out {
		if _, err := strconv.Atoi(token); (err != nil || len(token) > len("99999")) && !w.names[token] {
			out[i] = "*"
		}
	}
	return pointer(out...)
}

// pointer is a JSON Pointer (RFC 6901), or a part of one.
func pointer(tokens ...string) string {
	var b strings.Builder
	for _, token := range tokens {
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1"))
	}
	return b.String()
}
