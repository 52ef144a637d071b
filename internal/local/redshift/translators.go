package redshift

import (
	"fmt"
	"strings"
)

// translatorOf returns how a function is written for DuckDB if its name or meaning differs there, else nil. It asks
// switches and not a table because the translators call back into the rewriter, which asks it.
func translatorOf(name string) translator {
	for _, of := range [...]func(string) translator{
		generalTranslator, timeTranslator, textTranslator, jsonTranslator, sessionTranslator, catalogTranslator,
	} {
		if t := of(name); t != nil {
			return t
		}
	}
	return nil
}

// generalTranslator covers conversions, conditions and aggregates.
func generalTranslator(name string) translator {
	switch name {
	case "cast":
		return castCall
	case "convert":
		return convertCall
	case "nvl", "isnull", "ifnull":
		return renamed("coalesce")
	case "nvl2":
		return template(3, 3, "CASE WHEN $1 IS NOT NULL THEN $2 ELSE $3 END")
	case "decode":
		return decode
	case "listagg":
		return listAgg
	case "count":
		return count
	case "ratio_to_report":
		return ratioToReport
	case "trunc":
		return trunc
	}
	return nil
}

// timeTranslator covers dates and times.
func timeTranslator(name string) translator {
	switch name {
	case "getdate":
		return func(rw *rewriter, _ call) (string, error) {
			return "date_trunc('second', " + rw.timestamp(rw.env.now) + ")", nil
		}
	case "now":
		return func(rw *rewriter, _ call) (string, error) {
			return "CAST(" + rw.timestamp(rw.env.now) + " AS TIMESTAMPTZ)", nil
		}
	case "extract":
		return extractCall
	case "dateadd", "date_add":
		return dateAdd
	case "datediff", "date_diff":
		return dateDiff
	case "date_part", "pgdate_part":
		return datePart
	case "date_trunc":
		return dateTrunc
	case "add_months":
		return template(2, 2, "($1 + to_months(CAST($2 AS INTEGER)))")
	case "convert_timezone":
		return convertTimezone
	case "to_char":
		return toChar
	case "to_date":
		return parseDate
	case "to_timestamp":
		return parseTime
	}
	return nil
}

// textTranslator covers strings.
func textTranslator(name string) translator {
	switch name {
	case "len", "length":
		return template(1, 1, `length("_rs".text_of($1))`)
	case "char_length", "character_length":
		return renamed("length")
	case "octet_length":
		return renamed("strlen")
	case "charindex":
		return template(2, 2, "instr($2, $1)")
	case "concat":
		return template(2, 2, "($1 || $2)")
	case "btrim":
		return renamed("trim")
	case "strpos":
		return template(2, 2, "instr($1, $2)")
	case "regexp_substr":
		return template(2, 2, "regexp_extract($1, $2)")
	case "regexp_count":
		return template(2, 2, "length(regexp_extract_all($1, $2))")
	case "regexp_replace":
		return regexpReplace
	case "sha", "func_sha1":
		return renamed("sha1")
	case "strtol":
		return strtol
	}
	return nil
}

// jsonTranslator covers SUPER and JSON.
func jsonTranslator(name string) translator {
	switch name {
	case "json_parse":
		return template(1, 1, "json($1)")
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
		return template(2, 3, `coalesce(json_extract_string($1, '$[' || $2 || ']'), '')`)
	case "get_array_length":
		return renamed("json_array_length")
	case "json_typeof":
		return template(1, 1, `"_rs".json_typeof($1)`)
	case "json_size":
		return template(1, 1, "strlen(CAST($1 AS VARCHAR))")
	}
	return nil
}

// sessionTranslator covers the session and its server.
func sessionTranslator(name string) translator {
	switch name {
	case "pg_backend_pid":
		return func(rw *rewriter, _ call) (string, error) { return fmt.Sprint(rw.env.pid), nil }
	case "pg_last_copy_count":
		return func(rw *rewriter, _ call) (string, error) {
			return fmt.Sprintf("CAST(%d AS BIGINT)", rw.env.copyCount), nil
		}
	case "pg_last_copy_id":
		return func(rw *rewriter, _ call) (string, error) {
			return fmt.Sprintf("CAST(%d AS BIGINT)", rw.env.copyID), nil
		}
	case "current_database":
		return func(rw *rewriter, _ call) (string, error) { return quoteString(rw.env.database), nil }
	case "current_schema":
		return func(rw *rewriter, _ call) (string, error) { return quoteString(rw.env.schema), nil }
	case "current_schemas":
		return func(rw *rewriter, _ call) (string, error) {
			return quoteString("{pg_catalog," + rw.env.schema + "}"), nil
		}
	case "current_user", "pg_get_userbyid":
		return func(rw *rewriter, _ call) (string, error) { return quoteString(rw.env.user), nil }
	case "version":
		return template(0, 0, quoteString(versionText))
	case "has_schema_privilege", "has_table_privilege", "has_database_privilege":
		return template(2, 3, "true")
	case "current_setting":
		return template(1, 1, `"_rs".setting($1)`)
	case "pg_is_in_recovery":
		return template(0, 0, "false")
	}
	return nil
}

// catalogTranslator covers what psql and drivers ask the catalogue with.
func catalogTranslator(name string) translator {
	switch name {
	case "format_type":
		return template(2, 2, `"_rs".format_type($1, $2)`)
	case "pg_table_is_visible":
		return template(1, 1, `"_rs".table_is_visible($1)`)
	case "pg_function_is_visible", "pg_type_is_visible", "pg_operator_is_visible", "pg_conversion_is_visible":
		return template(1, 1, "true")
	case "pg_get_expr":
		return template(2, 3, "CAST($1 AS VARCHAR)")
	case "pg_get_viewdef":
		return template(1, 2, `"_rs".viewdef($1)`)
	case "pg_get_function_result", "pg_get_function_arguments":
		return template(1, 1, "CAST(NULL AS VARCHAR)")
	case "pg_table_size", "pg_relation_size", "pg_total_relation_size", "pg_database_size", "pg_tablespace_size":
		return template(1, 2, "CAST(0 AS BIGINT)")
	case "pg_size_pretty":
		return template(1, 1, "($1 || ' bytes')")
	case "pg_get_indexdef":
		return template(1, 3, "CAST(NULL AS VARCHAR)")
	case "pg_get_constraintdef", "obj_description":
		return template(1, 2, "CAST(NULL AS VARCHAR)")
	case "col_description", "shobj_description":
		return template(2, 2, "CAST(NULL AS VARCHAR)")
	case "pg_tablespace_location":
		return template(1, 1, "''")
	case "pg_encoding_to_char":
		return template(1, 1, "'UNICODE'")
	case "array_to_string":
		return template(2, 2, "CASE CAST($1 AS VARCHAR) WHEN '[]' THEN '' ELSE CAST($1 AS VARCHAR) END")
	}
	return nil
}

// versionText is what drivers read to learn whom they talk to.
const versionText = "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), Redshift 1.0.0 (Millstream's local Redshift)"

func castCall(rw *rewriter, c call) (string, error) {
	arg := c.args[0]
	for _, more := range c.args[1:] { // a comma inside, as in numeric(18,2), is bracketed; this is a stray one
		return "", syntaxError("syntax error at or near " + quoteIdent(render(more)))
	}
	at := -1
	for i := range arg {
		if arg[i].is("as") {
			at = i
		}
	}
	if at < 0 {
		return "", syntaxError("syntax error in CAST")
	}
	operand, err := rw.expr(arg[:at])
	if err != nil {
		return "", err
	}
	sql, _, err := castTo("("+operand+")", arg, at+1)
	return sql, err
}

func convertCall(rw *rewriter, c call) (string, error) {
	if len(c.args) != 2 {
		return "", syntaxError("syntax error in CONVERT")
	}
	operand, err := rw.expr(c.args[1])
	if err != nil {
		return "", err
	}
	sql, _, err := castTo("("+operand+")", c.args[0], 0)
	return sql, err
}

func decode(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil || len(args) < 3 {
		return "", pgError("42883", "function decode with %d arguments does not exist", len(args))
	}
	var b strings.Builder
	b.WriteString("CASE")
	i := 1
	for ; i+1 < len(args); i += 2 {
		fmt.Fprintf(&b, " WHEN (%s) IS NOT DISTINCT FROM (%s) THEN %s", args[0], args[i], args[i+1])
	}
	if i < len(args) {
		b.WriteString(" ELSE " + args[i])
	}
	return b.String() + " END", nil
}

func count(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil {
		return "", err
	}
	if c.approximate && c.distinct {
		return "approx_count_distinct(" + strings.Join(args, ", ") + ")", nil
	}
	return rw.plain(c, "count", args)
}

func listAgg(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil {
		return "", err
	}
	if len(args) == 1 {
		args = append(args, "''")
	}
	args[0] = `"_rs".text_of(` + args[0] + ")"
	order := ""
	if c.within != nil {
		if order, err = rw.expr(c.within); err != nil {
			return "", err
		}
		order = " " + order
	}
	distinct := ""
	if c.distinct {
		distinct = "DISTINCT "
	}
	return "string_agg(" + distinct + strings.Join(args, ", ") + order + ")", nil
}

func ratioToReport(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil || len(args) != 1 || c.over == nil {
		return "", syntaxError("RATIO_TO_REPORT needs one argument and OVER")
	}
	window, err := rw.expr(c.over.kids)
	return fmt.Sprintf("(CAST(%s AS DOUBLE) / sum(%s) OVER (%s))", args[0], args[0], window), err
}

func regexpReplace(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil {
		return "", err
	}
	if len(args) == 2 {
		args = append(args, "''")
	}
	if len(args) != 3 {
		return "", unsupported("REGEXP_REPLACE with a position")
	}
	return fmt.Sprintf(`regexp_replace(%s, %s, regexp_replace(%s, '\$(\d)', '\\\1', 'g'), 'g')`, args[0], args[1], args[2]), nil
}

func strtol(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil || len(args) != 2 {
		return "", pgError("42883", "function strtol with %d arguments does not exist", len(args))
	}
	switch args[1] {
	case "10":
		return "CAST(" + args[0] + " AS BIGINT)", nil
	case "16":
		return "CAST('0x' || (" + args[0] + ") AS BIGINT)", nil
	}
	return "", unsupported("STRTOL with base " + args[1])
}

// trunc cuts numbers only: which of the two TRUNC means cannot be told from the text.
func trunc(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil {
		return "", err
	}
	if len(args) == 1 && len(c.args[0]) > 0 {
		last := c.args[0][len(c.args[0])-1]
		if strings.Contains(args[0], "TIMESTAMP") || last.name() && strings.HasSuffix(last.val, "_at") {
			return "CAST(" + args[0] + " AS DATE)", nil
		}
	}
	if len(args) == 2 {
		return fmt.Sprintf("(trunc((%s) * power(10, %s)) / power(10, %s))", args[0], args[1], args[1]), nil
	}
	return rw.plain(c, "trunc", args)
}

// jsonPath is JSON_EXTRACT_PATH_TEXT: the empty string where there is nothing, as Redshift has it.
func jsonPath(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil || len(args) < 2 {
		return "", pgError("42883", "function json_extract_path_text with %d arguments does not exist", len(args))
	}
	quiet := false
	if last := args[len(args)-1]; last == "true" || last == "false" {
		quiet = last == "true"
		args = args[:len(args)-1]
	}
	var path strings.Builder
	path.WriteString("'$'")
	for _, a := range args[1:] {
		path.WriteString(` || '."' || ` + a + ` || '"'`)
	}
	found := fmt.Sprintf("coalesce(json_extract_string(%s, %s), '')", args[0], path.String())
	if quiet {
		return fmt.Sprintf("CASE WHEN json_valid(%s) THEN %s END", args[0], found), nil
	}
	return fmt.Sprintf("CASE WHEN (%s) IS NOT NULL THEN %s END", args[0], found), nil
}
