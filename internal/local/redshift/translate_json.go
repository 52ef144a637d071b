package redshift

import (
	"fmt"
	"strings"
)

// jsonTranslator covers SUPER and JSON.
func jsonTranslator(name string) translator {
	switch name {
	case "json_parse":
		return template(1, 1, `"_rt".main.parse($1)`)
	case "can_json_parse":
		return template(1, 1, "json_valid($1)")
	case "is_valid_json":
		return template(1, 1, "(json_valid($1) AND json_type($1) = 'OBJECT')")
	case "is_valid_json_array":
		return template(1, 1, "(json_valid($1) AND json_type($1) = 'ARRAY')")
	case "json_serialize":
		return template(1, 1, "CAST($1 AS VARCHAR)")
	case "json_extract_path_text":
		return jsonPath
	case "json_extract_array_element_text":
		return jsonElement
	case "json_array_length":
		return jsonLength
	case "get_array_length":
		return template(1, 1, "CASE json_type($1) WHEN 'ARRAY' THEN json_array_length($1) END")
	case "json_typeof":
		return template(1, 1, `"_rs".json_typeof($1)`)
	case "json_size", "size":
		return template(1, 1, "strlen(CAST($1 AS VARCHAR))")
	}
	return superTranslator(name)
}

// superTranslator covers what asks and builds SUPER values.
func superTranslator(name string) translator {
	const integers, floats = "['BIGINT', 'UBIGINT']", "['DOUBLE']"
	switch name {
	case "is_array":
		return template(1, 1, `"_rt".main.is_type($1, ['ARRAY'])`)
	case "is_object":
		return template(1, 1, `"_rt".main.is_type($1, ['OBJECT'])`)
	case "is_varchar", "is_char":
		return template(1, 1, `"_rt".main.is_type($1, ['VARCHAR'])`)
	case "is_boolean":
		return template(1, 1, `"_rt".main.is_type($1, ['BOOLEAN'])`)
	case "is_scalar":
		return template(1, 1, `"_rt".main.is_type($1, ['VARCHAR', 'BOOLEAN', 'BIGINT', 'UBIGINT', 'DOUBLE'])`)
	case "is_bigint":
		return template(1, 1, `"_rt".main.is_type($1, `+integers+`)`)
	case "is_integer":
		return template(1, 1, `("_rt".main.is_type($1, `+integers+`) AND TRY_CAST($1 AS INTEGER) IS NOT NULL)`)
	case "is_smallint":
		return template(1, 1, `("_rt".main.is_type($1, `+integers+`) AND TRY_CAST($1 AS SMALLINT) IS NOT NULL)`)
	case "is_float", "is_decimal":
		return template(1, 1, `"_rt".main.is_type($1, `+floats+`)`)
	case "array":
		return template(0, 1000, "json_array($*)")
	case "object":
		return template(0, 1000, "json_object($*)")
	case "array_concat":
		return template(2, 2, `to_json(list_concat("_rt".main.elements($1), "_rt".main.elements($2)))`)
	case "split_to_array":
		return splitToArray
	case "subarray":
		return template(3, 3, `to_json(list_slice("_rt".main.elements($1), $2 + 1, $2 + $3))`)
	case "array_contains":
		return template(2, 2, `list_contains("_rt".main.elements($1), to_json($2))`)
	case "array_position":
		return template(2, 2, `(coalesce(list_position("_rt".main.elements($1), to_json($2)), 0) - 1)`)
	}
	return nil
}

func splitToArray(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil || len(args) == 0 || len(args) > 2 {
		return "", wrongArguments(c)
	}
	return "to_json(string_split(" + args[0] + ", " + append(args, "','")[1] + "))", nil
}

// quietly splits the argument null_if_invalid off the end.
func quietly(args []string, least int) (rest []string, quiet bool) {
	last := args[len(args)-1]
	if len(args) > least && (last == "true" || last == "false") {
		return args[:len(args)-1], last == "true"
	}
	return args, false
}

// jsonPath is JSON_EXTRACT_PATH_TEXT: NULL where there is nothing.
func jsonPath(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil || len(args) < 2 {
		return "", wrongArguments(c)
	}
	args, quiet := quietly(args, 2)
	var path strings.Builder
	path.WriteString("'$'")
	for _, a := range args[1:] {
		path.WriteString(` || '."' || replace(` + a + `, '"', '\"') || '"'`)
	}
	return jsonText(args[0], path.String(), quiet), nil
}

// jsonText is the text at a path.
func jsonText(doc, path string, quiet bool) string {
	found := fmt.Sprintf("json_extract_string(%s, %s)", doc, path)
	if quiet {
		return fmt.Sprintf("CASE WHEN json_valid(%s) THEN %s END", doc, found)
	}
	return found
}

func jsonElement(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil || len(args) < 2 || len(args) > 3 {
		return "", wrongArguments(c)
	}
	args, quiet := quietly(args, 2)
	return jsonText(args[0], "'$[' || ("+args[1]+") || ']'", quiet), nil
}

func jsonLength(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil || len(args) < 1 || len(args) > 2 {
		return "", wrongArguments(c)
	}
	args, quiet := quietly(args, 1)
	found := "CASE json_type(" + args[0] + ") WHEN 'ARRAY' THEN json_array_length(" + args[0] + ") ELSE " +
		raise("XX000", "JSON array object expected", "") + " END"
	if quiet {
		return "CASE WHEN json_valid(" + args[0] + ") THEN CASE json_type(" + args[0] + ") WHEN 'ARRAY' THEN json_array_length(" + args[0] + ") END END", nil
	}
	return found, nil
}
