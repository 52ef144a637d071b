package redshift

import (
	"fmt"
	"strings"
)

// cast rewrites operand::type, with the operand taken off the end of out and the type at in[i].
func (rw *rewriter) cast(out, in []node, i int) ([]node, int, error) {
	start := operandStart(out)
	if start == len(out) {
		return nil, i, syntaxError(`syntax error at or near "::"`)
	}
	operand := render(out[start:])
	pre := out[start].pre
	sql, next, err := castTo(operand, in, i)
	if err != nil {
		return nil, i, err
	}
	n := rawNode(sql)
	n.pre = pre
	return append(out[:start], n), next, nil
}

// castTo writes the cast of a finished operand to the type at in[i].
func castTo(operand string, in []node, i int) (string, int, error) {
	if parts, next := nameAt(in, i); len(parts) > 0 && parts[len(parts)-1] == "regclass" {
		if strings.HasPrefix(strings.TrimLeft(operand, "( "), "'") {
			return `"_rs".regclass(` + operand + ")", next, nil
		}
		return `"_rs".regclass_name(` + operand + ")", next, nil
	}
	t, next, err := typeAt(in, i)
	if err != nil {
		return "", i, err
	}
	switch {
	case t.oid == oidSuper:
		return "to_json(" + operand + ")", next, nil
	case t.duck == "VARCHAR" && in[next-1].open == '(':
		return fmt.Sprintf(`"_rs".cut("_rs".text_of(%s), %d)`, operand, t.limit), next, nil
	case t.duck == "VARCHAR":
		return `"_rs".text_of(` + operand + ")", next, nil
	}
	return "CAST(" + operand + " AS " + t.duck + ")", next, nil
}
