package redshift

import (
	"fmt"
	"strings"
)

// translatorOf returns how a function is written for DuckDB if its name or meaning differs there, else nil. It asks
// switches and not a table because the translators call back into the rewriter, which asks it.
func translatorOf(name string) translator {
	for _, of := range [...]func(string) translator{
		generalTranslator, aggregateTranslator, mathTranslator, timeTranslator, textTranslator, regexpTranslator, jsonTranslator, sessionTranslator, catalogTranslator,
	} {
		if t := of(name); t != nil {
			return t
		}
	}
	return nil
}

// generalTranslator covers conversions and conditions.
func generalTranslator(name string) translator {
	switch name {
	case "cast":
		return castCall
	case "try_cast":
		return tryCastCall
	case "convert":
		return convertCall
	case "nvl":
		return renamed("coalesce")
	case "isnull": // not documented; Amazon's JDBC driver asks for columns by it
		return template(2, 2, "coalesce($1, $2)")
	case "nvl2":
		return template(3, 3, "CASE WHEN $1 IS NOT NULL THEN $2 ELSE $3 END")
	case "decode":
		return decode
	case "generate_series":
		return generateSeries
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
		return func(rw *rewriter, c call) (string, error) {
			visible := `"_rs".table_is_visible($1)`
			if rw.env.temps != "" {
				visible = "($1 IN (" + rw.env.temps + ") OR " + visible + ")"
			}
			return template(1, 1, visible)(rw, c)
		}
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
		return func(rw *rewriter, c call) (string, error) {
			if len(c.args) == 1 {
				return template(1, 1, `"_rs".indexdef($1, 0)`)(rw, c)
			}
			return template(3, 3, `"_rs".indexdef($1, $2)`)(rw, c)
		}
	case "pg_get_constraintdef":
		return template(1, 2, `"_rs".constraintdef($1)`)
	case "pg_get_triggerdef", "pg_get_ruledef":
		return template(1, 2, "CAST(NULL AS VARCHAR)")
	case "obj_description", "shobj_description":
		return template(1, 2, `"_rs".comment_on($1, 0)`)
	case "col_description":
		return template(2, 2, `"_rs".comment_on($1, $2)`)
	case "_pg_expandarray":
		return template(1, 1, `unnest("_rs".expandarray($1))`)
	case "array_upper", "array_length":
		return template(2, 2, "len($1)")
	case "unnest":
		return leaderOnly(renamed("unnest"))
	case "pg_get_late_binding_view_cols": // pg_attribute has their columns here
		return template(0, 0, "(SELECT '' AS view_schema, '' AS view_name, '' AS col_name, '' AS col_type, 0 AS col_num WHERE false)")
	case "current_schemas":
		return leaderOnly(func(rw *rewriter, c call) (string, error) {
			var quoted []string
			if len(c.args) == 1 && render(c.args[0]) == "true" {
				quoted = append(quoted, "'pg_catalog'")
			}
			for _, name := range rw.env.path {
				quoted = append(quoted, quoteString(name))
			}
			return "[" + strings.Join(quoted, ", ") + "]", nil
		})
	case "pg_tablespace_location":
		return template(1, 1, "''")
	case "pg_encoding_to_char":
		return template(1, 1, "'UNICODE'")
	case "array_to_string":
		return template(2, 2, `"_rs".array_join($1, $2)`)
	}
	return nil
}

// leaderOnly marks what runs on the leader node alone; see lockReads.
func leaderOnly(t translator) translator {
	return func(rw *rewriter, c call) (string, error) {
		rw.leader = c.name
		return t(rw, c)
	}
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

// tryCastCall is TRY_CAST: NULL where CAST would fail.
func tryCastCall(rw *rewriter, c call) (string, error) {
	sql, err := castCall(rw, c)
	if err == nil && !strings.HasPrefix(sql, "CAST(") {
		return sql, nil // to text, which takes everything
	}
	return "TRY_" + sql, err
}

// generateSeries is a set of rows also where it is an expression.
func generateSeries(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil || len(args) < 2 || len(args) > 3 {
		return "", wrongArguments(c)
	}
	rw.leader = c.name
	sql := "generate_series(" + strings.Join(args, ", ") + ")"
	if c.table {
		return sql, nil
	}
	return "unnest(" + sql + ")", nil
}
