//go:build cgo

package redshift

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The oids that PostgreSQL gives to what every database has.
const (
	databaseOID = 16384
	btreeOID    = 403
)

// keysView joins the declared keys to the names that they are about; the catalogue's own tables are made of it.
const keysView = `CREATE OR REPLACE VIEW _rs.keys AS SELECT k.oid, k.index_oid, k.table_oid, k.name, k.kind, k.columns, k.ref_table, k.ref_columns, t.schema_name, t.table_name, s.oid AS schema_oid,
	(SELECT list(c.name ORDER BY list_position(k.columns, CAST(c.ordinal AS SMALLINT))) FROM _rs.columns c WHERE c.table_oid = k.table_oid AND list_contains(k.columns, CAST(c.ordinal AS SMALLINT))) AS names,
	r.schema_name AS ref_schema, r.table_name AS ref_name,
	(SELECT list(c.name ORDER BY list_position(k.ref_columns, CAST(c.ordinal AS SMALLINT))) FROM _rs.columns c WHERE c.table_oid = k.ref_table AND list_contains(k.ref_columns, CAST(c.ordinal AS SMALLINT))) AS ref_names,
	(SELECT any_value(u.index_oid) FROM _rs.constraints u WHERE u.table_oid = k.ref_table AND u.kind <> 'f' AND list_sort(u.columns) = list_sort(k.ref_columns)) AS ref_index,
	(SELECT any_value(u.name) FROM _rs.constraints u WHERE u.table_oid = k.ref_table AND u.kind <> 'f' AND list_sort(u.columns) = list_sort(k.ref_columns)) AS ref_key
	FROM _rs.constraints k JOIN _rs.tables t ON t.oid = k.table_oid JOIN _rs.schemas s ON s.name = t.schema_name LEFT JOIN _rs.tables r ON r.oid = k.ref_table`

// keyMacros write keys and comments as PostgreSQL's functions do.
func keyMacros() []string {
	return []string{
		`CREATE OR REPLACE MACRO _rs.indexdef(o, n) AS (SELECT CASE WHEN n > 0 THEN k.names[n] ELSE 'CREATE UNIQUE INDEX ' || k.name || ' ON ' || k.schema_name || '.' || k.table_name ||
			' USING btree (' || array_to_string(k.names, ', ') || ')' END FROM _rs.keys k WHERE k.index_oid = o)`,
		`CREATE OR REPLACE MACRO _rs.constraintdef(o) AS (SELECT CASE k.kind WHEN 'p' THEN 'PRIMARY KEY (' WHEN 'u' THEN 'UNIQUE (' ELSE 'FOREIGN KEY (' END || array_to_string(k.names, ', ') || ')' ||
			CASE WHEN k.kind = 'f' THEN ' REFERENCES ' || CASE WHEN k.ref_schema = 'public' THEN '' ELSE k.ref_schema || '.' END || k.ref_name || '(' || array_to_string(k.ref_names, ', ') || ')' ELSE '' END
			FROM _rs.keys k WHERE k.oid = o)`,
		`CREATE OR REPLACE MACRO _rs.comment_on(o, n) AS (SELECT any_value(c.comment) FROM _rs.comments c WHERE c.object = o AND c.sub = n)`,
		`CREATE OR REPLACE MACRO _rs.expandarray(a) AS list_transform(range(1, len(a) + 1), i -> {'x': a[i], 'n': i})`,
		`CREATE OR REPLACE MACRO _rs.array_text(a) AS '{' || array_to_string(a, ',') || '}'`,
		// The elements of an array, or of the text of one as relacl has it.
		`CREATE OR REPLACE MACRO _rs.array_join(x, s) AS replace(replace(regexp_replace(CAST(x AS VARCHAR), '^[\[{]|[\]}]$', '', 'g'), ', ', s), ',', s)`,
	}
}

// acl joins the privileges on objects of a class, in the form of aclitem[]; its alias is a and its key a.object.
func acl(class int, owner string) string {
	letters := "WHEN 'SELECT' THEN 'r' WHEN 'INSERT' THEN 'a' WHEN 'UPDATE' THEN 'w' WHEN 'DELETE' THEN 'd' WHEN 'REFERENCES' THEN 'x' WHEN 'TRIGGER' THEN 't' " +
		"WHEN 'RULE' THEN 'R' WHEN 'DROP' THEN 'D' WHEN 'ALTER' THEN 'A' WHEN 'USAGE' THEN 'U' WHEN 'CREATE' THEN 'C' WHEN 'TRUNCATE' THEN 'T' WHEN 'TEMPORARY' THEN 'T'"
	all := "arwdRxtD"
	if class != classRelation {
		all = "UC"
	}
	who := strings.Trim(owner, "'")
	return fmt.Sprintf(`(SELECT i.object, '{%[3]s=%[4]s/%[3]s,' || string_agg(i.item, ',' ORDER BY i.item) || '}' AS acl FROM (
		SELECT g.object, CASE g.kind WHEN 'public' THEN '' WHEN 'user' THEN g.grantee ELSE '"' || g.kind || ' ' || g.grantee || '"' END || '=' ||
			string_agg(CASE g.privilege %[2]s ELSE '' END || CASE WHEN g.option THEN '*' ELSE '' END, '' ORDER BY g.privilege) || '/%[3]s' AS item
		FROM _rs.grants g WHERE g.class = %[1]d GROUP BY g.object, g.kind, g.grantee) i GROUP BY i.object) a`, class, letters, who, all)
}

// keyQueries are the tables of the catalogue about keys, privileges and comments.
func keyQueries(database, user string) map[string]string {
	return map[string]string{
		"pg_index": `SELECT index_oid AS indexrelid, table_oid AS indrelid, columns AS indkey, CAST(len(columns) AS SMALLINT) AS indnatts, CAST(len(columns) AS SMALLINT) AS indnkeyatts,
			true AS indisunique, kind = 'p' AS indisprimary, true AS indimmediate, false AS indisclustered, true AS indisvalid, false AS indisreplident, CAST(NULL AS VARCHAR) AS indexprs, CAST(NULL AS VARCHAR) AS indpred,
			CAST(NULL AS VARCHAR) AS indoption, CAST(NULL AS VARCHAR) AS indclass FROM _rs.constraints WHERE kind <> 'f'`,
		"pg_constraint": `SELECT oid, name AS conname, schema_oid AS connamespace, kind AS contype, false AS condeferrable, false AS condeferred, false AS convalidated, table_oid AS conrelid, CAST(0 AS BIGINT) AS contypid,
			coalesce(ref_index, CASE WHEN kind <> 'f' THEN index_oid ELSE 0 END) AS conindid, coalesce(ref_table, 0) AS confrelid, CASE WHEN kind = 'f' THEN 'a' ELSE '' END AS confupdtype,
			CASE WHEN kind = 'f' THEN 'a' ELSE '' END AS confdeltype, CASE WHEN kind = 'f' THEN 'u' ELSE '' END AS confmatchtype, columns AS conkey, ref_columns AS confkey,
			CAST(NULL AS VARCHAR) AS conbin, CAST(NULL AS VARCHAR) AS consrc, CAST(0 AS BIGINT) AS conparentid FROM _rs.keys`,
		"pg_depend":      fmt.Sprintf(`SELECT 2606 AS classid, oid AS objid, 0 AS objsubid, %d AS refclassid, ref_index AS refobjid, 0 AS refobjsubid, 'n' AS deptype FROM _rs.keys WHERE ref_index IS NOT NULL`, classRelation),
		"pg_am":          fmt.Sprintf(`SELECT %d AS oid, 'btree' AS amname, 'i' AS amtype`, btreeOID),
		"pg_description": `SELECT object AS objoid, class AS classoid, sub AS objsubid, comment AS description FROM _rs.comments`,
		"svv_relation_privileges": `SELECT t.schema_name AS namespace_name, t.table_name AS relation_name, g.privilege AS privilege_type, CASE WHEN g.kind = 'public' THEN 0 ELSE 100 END AS identity_id,
			g.grantee AS identity_name, g.kind AS identity_type, g.option AS admin_option FROM _rs.grants g JOIN _rs.tables t ON t.oid = g.object`,
		"svv_schema_privileges": `SELECT s.name AS namespace_name, g.privilege AS privilege_type, CASE WHEN g.kind = 'public' THEN 0 ELSE 100 END AS identity_id,
			g.grantee AS identity_name, g.kind AS identity_type, g.option AS admin_option FROM _rs.grants g JOIN _rs.schemas s ON s.oid = g.object`,
		"is_table_privileges": `SELECT ` + user + ` AS grantor, g.grantee, ` + database + ` AS table_catalog, t.schema_name AS table_schema, t.table_name, g.privilege AS privilege_type,
			CASE WHEN g.option THEN 'YES' ELSE 'NO' END AS is_grantable, 'NO' AS with_hierarchy FROM _rs.grants g JOIN _rs.tables t ON t.oid = g.object`,
		"is_table_constraints": `SELECT ` + database + ` AS constraint_catalog, schema_name AS constraint_schema, name AS constraint_name, ` + database + ` AS table_catalog, schema_name AS table_schema, table_name,
			CASE kind WHEN 'p' THEN 'PRIMARY KEY' WHEN 'u' THEN 'UNIQUE' ELSE 'FOREIGN KEY' END AS constraint_type, 'NO' AS is_deferrable, 'NO' AS initially_deferred FROM _rs.keys`,
		"is_key_column_usage": `SELECT ` + database + ` AS constraint_catalog, schema_name AS constraint_schema, name AS constraint_name, ` + database + ` AS table_catalog, schema_name AS table_schema, table_name,
			names[n] AS column_name, n AS ordinal_position FROM (SELECT *, unnest(range(1, len(names) + 1)) AS n FROM _rs.keys)`,
		"is_constraint_column_usage": `SELECT ` + database + ` AS table_catalog, coalesce(ref_schema, schema_name) AS table_schema, coalesce(ref_name, table_name) AS table_name,
			CASE WHEN kind = 'f' THEN ref_names[n] ELSE names[n] END AS column_name, ` + database + ` AS constraint_catalog, schema_name AS constraint_schema, name AS constraint_name
			FROM (SELECT *, unnest(range(1, len(names) + 1)) AS n FROM _rs.keys)`,
		"is_referential_constraints": `SELECT ` + database + ` AS constraint_catalog, schema_name AS constraint_schema, name AS constraint_name, ` + database + ` AS unique_constraint_catalog,
			ref_schema AS unique_constraint_schema, ref_key AS unique_constraint_name, 'NONE' AS match_option, 'NO ACTION' AS update_rule, 'NO ACTION' AS delete_rule FROM _rs.keys WHERE kind = 'f'`,
		"is_routines": empty("specific_catalog VARCHAR, specific_schema VARCHAR, specific_name VARCHAR, routine_catalog VARCHAR, routine_schema VARCHAR, routine_name VARCHAR, routine_type VARCHAR, data_type VARCHAR"),
		"pg_proc_info": empty("prooid BIGINT, proname VARCHAR, pronamespace BIGINT, proowner BIGINT, prolang BIGINT, prokind VARCHAR, prorettype BIGINT, proargtypes VARCHAR, prosrc VARCHAR, " +
			"proargnames VARCHAR, proallargtypes VARCHAR, proargmodes VARCHAR, pronargs SMALLINT, proretset BOOLEAN"),
		"pg_settings": settingsQuery(),
	}
}

// settingsQuery is pg_settings with the defaults, and what JDBC asks PostgreSQL's for.
func settingsQuery() string {
	rows := [][]any{{"max_index_keys", "32", "Preset Options"}}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		rows = append(rows, []any{name, parameters[name], "Session"})
	}
	return rowsQuery("name VARCHAR, setting VARCHAR, category VARCHAR", rows)
}
