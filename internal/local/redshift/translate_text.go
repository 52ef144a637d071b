package redshift

import (
	"strconv"
	"strings"
)

// mathTranslator covers numbers.
func mathTranslator(name string) translator {
	switch name {
	case "ceiling":
		return renamed("ceil")
	case "cbrt":
		return template(1, 1, "rs_cbrt($1)")
	case "pow":
		return template(2, 2, "power($1, $2)")
	case "log", "dlog10":
		return template(1, 1, "log10($1)")
	case "dlog1":
		return template(1, 1, "ln($1)")
	case "dexp":
		return template(1, 1, "exp($1)")
	case "mod":
		return template(2, 2, `($1 % "_rt".main.nonzero($2))`)
	case "sign":
		return template(1, 1, "CAST(sign($1) AS INTEGER)")
	case "round":
		return template(1, 2, "round($*)")
	case "trunc":
		return trunc
	case "to_hex":
		return template(1, 1, "lower(to_hex($1))")
	case "to_number":
		return toNumber
	}
	return nil
}

// trunc cuts numbers, or moments to their day.
func trunc(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil {
		return "", err
	}
	switch {
	case len(args) == 2:
		return "trunc(" + args[0] + ", " + args[1] + ")", nil
	case len(args) != 1:
		return "", wrongArguments(c)
	}
	like, err := rw.witness(c.args[0])
	if rw.env.untyped && like == args[0] {
		return "trunc(" + args[0] + ")", err
	}
	return `"_rt".main.trunc_of(` + args[0] + ", " + like + ")", err
}

// witness is an expression of an argument's type that holds no aggregate, if the argument shows one: that of max(x) is
// x. Macros choose by it.
func (rw *rewriter) witness(arg []node) (string, error) {
	if len(arg) >= 2 && arg[0].is("max", "min", "any_value", "first_value", "last_value", "lag", "lead", "nth_value") && arg[1].open == '(' {
		if inner := splitNodes(arg[1].kids); len(inner) > 0 {
			return rw.witness(inner[0])
		}
	}
	return rw.expr(arg)
}

// toNumber gives the result the precision of its format.
func toNumber(rw *rewriter, c call) (string, error) {
	if len(c.args) != 2 {
		return "", wrongArguments(c)
	}
	pattern, ok := literalOf(c.args[1])
	if !ok {
		return "", unsupported("TO_NUMBER with a computed format")
	}
	f, err := readNumberFormat(pattern)
	if err != nil {
		return "", err
	}
	text, err := rw.expr(c.args[0])
	precision := max(1, min(38, f.digits+f.fraction))
	return "CAST(rs_to_number(" + text + ", " + quoteString(pattern) + ") AS DECIMAL(" + strconv.Itoa(precision) + "," + strconv.Itoa(f.fraction) + "))", err
}

// textTranslator covers strings.
func textTranslator(name string) translator {
	switch name {
	case "len", "length", "char_length", "character_length", "textlen":
		return template(1, 1, `length("_rs".text_of($1))`)
	case "octet_length":
		return template(1, 1, `strlen("_rs".text_of($1))`)
	case "charindex":
		return template(2, 2, "instr($2, $1)")
	case "strpos":
		return template(2, 2, "instr($1, $2)")
	case "concat":
		return template(2, 2, `("_rs".text_of($1) || "_rs".text_of($2))`)
	case "btrim":
		return template(1, 2, "trim($*)")
	case "substr", "substring":
		return substring
	case "replicate":
		return template(2, 2, "repeat($1, $2)")
	case "lpad", "rpad":
		return pad
	case "initcap":
		return template(1, 1, "rs_initcap($1)")
	case "soundex":
		return template(1, 1, "rs_soundex($1)")
	case "difference":
		return template(2, 2, "(4 - hamming(rs_soundex($1), rs_soundex($2)))")
	case "quote_ident":
		return template(1, 1, "rs_quote_ident($1)")
	case "quote_literal":
		return template(1, 1, "('''' || replace($1, '''', '''''') || '''')")
	case "sha", "func_sha1":
		return template(1, 1, "sha1($1)")
	case "sha2":
		return template(2, 2, "rs_sha2($1, $2)")
	case "strtol":
		return template(2, 2, "rs_strtol($1, $2)")
	case "octetindex":
		return template(2, 2, "CASE WHEN instr($2, $1) = 0 THEN 0 ELSE strlen(left($2, CAST(instr($2, $1) AS BIGINT) - 1)) + 1 END")
	case "to_varbyte":
		return template(2, 2, "CASE lower($2) WHEN 'hex' THEN from_hex($1) WHEN 'base64' THEN from_base64($1) ELSE encode($1) END")
	case "from_varbyte":
		return template(2, 2, "CASE lower($2) WHEN 'hex' THEN lower(hex($1)) WHEN 'base64' THEN base64($1) ELSE decode($1) END")
	case "from_hex":
		return template(1, 1, "from_hex($1)")
	}
	return nil
}

// pad is LPAD and RPAD, which fill with blanks unless told otherwise.
func pad(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil || len(args) < 2 || len(args) > 3 {
		return "", wrongArguments(c)
	}
	if len(args) == 2 {
		args = append(args, "' '")
	}
	return c.name + "(" + args[0] + ", CAST(" + args[1] + " AS INTEGER), " + args[2] + ")", nil
}

// substring counts positions before the first character, which DuckDB counts from the end.
func substring(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil {
		return "", err
	}
	switch n, err := strconv.Atoi(strings.TrimSpace(args[min(1, len(args)-1)])); {
	case len(args) == 1 || err == nil && n > 0: // FROM … FOR … is one argument
		return "substring(" + strings.Join(args, ", ") + ")", nil
	case len(args) == 2:
		return "substring(" + args[0] + ", greatest(" + args[1] + ", 1))", nil
	case len(args) == 3:
		return "substring(" + args[0] + ", greatest(" + args[1] + ", 1), greatest((" + args[2] + ") + least((" + args[1] + "), 1) - 1, 0))", nil
	}
	return "", wrongArguments(c)
}

// regexpTranslator covers regular expressions.
func regexpTranslator(name string) translator {
	switch name {
	case "regexp_substr":
		return withDefaults("rs_regexp_substr", "1", "1", "'c'")
	case "regexp_count":
		return withDefaults("rs_regexp_count", "1", "'c'")
	case "regexp_instr":
		return withDefaults("rs_regexp_instr", "1", "1", "0", "'c'")
	case "regexp_replace":
		return withDefaults("rs_regexp_replace", "''", "1", "'c'")
	}
	return nil
}

// withDefaults calls a function of text and pattern; the arguments behind them may be left out.
func withDefaults(name string, defaults ...string) translator {
	return func(rw *rewriter, c call) (string, error) {
		args, err := rw.args(c)
		if err != nil {
			return "", err
		}
		if len(args) < 2 || len(args) > 2+len(defaults) {
			return "", wrongArguments(c)
		}
		args = append(args, defaults[len(args)-2:]...)
		args[0] = `"_rs".text_of(` + args[0] + ")"
		return name + "(" + strings.Join(args, ", ") + ")", nil
	}
}
