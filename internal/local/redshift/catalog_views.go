//go:build cgo

package redshift

import (
	"fmt"
	"maps"
	"sort"
	"strings"
)

// catalogViews are the statements that create them.
func (s *Server) catalogViews() []string {
	var out []string
	for name, query := range catalogQueries(quoteString(s.cfg.Database), quoteString(s.cfg.User), s.cfg.Isolation) {
		out = append(out, fmt.Sprintf("CREATE OR REPLACE VIEW _rs.%s AS %s", quoteIdent("v_"+name), query))
	}
	sort.Strings(out) // is_columns before pg_class and so on: none refers to another, the order is for logs
	return out
}

// catalogQueries are the tables of the catalogue over the registry, with the columns that psql asks servers before 9.4
// for. database and user are literals.
func catalogQueries(database, user, isolation string) map[string]string {
	var types []string
	for _, t := range catalogTypes() {
		types = append(types, fmt.Sprintf("(%d, %s, %d, %s)", t.oid, quoteString(t.name), t.length, quoteString(t.category)))
	}
	level := "Snapshot Isolation"
	if isolation == IsolationSerializable {
		level = "Serializable"
	}
	queries := map[string]string{
		"pg_namespace": `SELECT oid, name AS nspname, 100 AS nspowner, a.acl AS nspacl FROM _rs.schemas LEFT JOIN ` + acl(classSchema, user) + ` ON a.object = oid
			UNION ALL SELECT 11, 'pg_catalog', 1, NULL UNION ALL SELECT 12, 'information_schema', 1, NULL`,
		"pg_class": `SELECT t.oid, t.table_name AS relname, s.oid AS relnamespace, 0 AS reltype, 100 AS relowner, 0 AS relam, t.oid AS relfilenode, 0 AS reltablespace, 0 AS relpages,
			CAST(0 AS REAL) AS reltuples, 0 AS reltoastrelid, EXISTS (SELECT 1 FROM _rs.constraints k WHERE k.table_oid = t.oid AND k.kind <> 'f') AS relhasindex, false AS relisshared, t.kind AS relkind, CAST((SELECT count(*) FROM _rs.columns c WHERE c.table_oid = t.oid) AS SMALLINT) AS relnatts,
			CAST(0 AS SMALLINT) AS relchecks, CAST((SELECT count(*) FROM _rs.constraints k WHERE t.oid IN (k.table_oid, k.ref_table) AND k.kind = 'f') AS INTEGER) AS reltriggers, false AS relhasoids,
			EXISTS (SELECT 1 FROM _rs.constraints k WHERE k.table_oid = t.oid AND k.kind = 'p') AS relhaspkey, false AS relhasrules,
			EXISTS (SELECT 1 FROM _rs.constraints k WHERE t.oid IN (k.table_oid, k.ref_table) AND k.kind = 'f') AS relhastriggers, false AS relhassubclass, 0 AS reloftype,
			'p' AS relpersistence, false AS relrowsecurity, false AS relforcerowsecurity, false AS relispartition, a.acl AS relacl, CAST(NULL AS VARCHAR[]) AS reloptions,
			CASE WHEN t.diststyle LIKE 'KEY%' THEN 1 WHEN t.diststyle = 'ALL' THEN 8 ELSE 0 END AS reldiststyle
			FROM _rs.tables t JOIN _rs.schemas s ON s.name = t.schema_name LEFT JOIN ` + acl(classRelation, user) + ` ON a.object = t.oid
			UNION ALL BY NAME SELECT index_oid AS oid, name AS relname, schema_oid AS relnamespace, 100 AS relowner, 403 AS relam, 'i' AS relkind, 'p' AS relpersistence, CAST(0 AS REAL) AS reltuples, 0 AS relpages,
			index_oid AS relfilenode, CAST(len(columns) AS SMALLINT) AS relnatts, 0 AS reltablespace FROM _rs.keys WHERE kind <> 'f'`,
		"pg_attribute": `SELECT c.table_oid AS attrelid, c.name AS attname, c.type_oid AS atttypid, -1 AS attstattarget, CAST(-1 AS SMALLINT) AS attlen, CAST(c.ordinal AS SMALLINT) AS attnum, 0 AS attndims,
			c.typmod AS atttypmod, c.not_null AS attnotnull, c.deflt <> '' AS atthasdef, false AS attisdropped, true AS attislocal, 0 AS attinhcount, 0 AS attcollation, '' AS attidentity, '' AS attgenerated,
			'p' AS attstorage, CAST(NULL AS VARCHAR) AS attacl, c.distkey AS attisdistkey, c.sortkey AS attsortkeyord FROM _rs.columns c
			UNION ALL BY NAME SELECT k.index_oid AS attrelid, c.name AS attname, c.type_oid AS atttypid, CAST(k.n AS SMALLINT) AS attnum, c.typmod AS atttypmod, false AS attisdropped, c.not_null AS attnotnull
			FROM (SELECT index_oid, table_oid, columns, unnest(range(1, len(columns) + 1)) AS n FROM _rs.keys WHERE kind <> 'f') k JOIN _rs.columns c ON c.table_oid = k.table_oid AND c.ordinal = k.columns[k.n]`,
		"pg_attrdef": `SELECT c.table_oid AS adrelid, CAST(c.ordinal AS SMALLINT) AS adnum, c.deflt AS adbin, c.deflt AS adsrc FROM _rs.columns c WHERE c.deflt <> ''`,
		"pg_type": `SELECT oid, typname, 11 AS typnamespace, 1 AS typowner, CAST(typlen AS SMALLINT) AS typlen, 'b' AS typtype, typcategory, true AS typisdefined, ',' AS typdelim, 0 AS typrelid, 0 AS typelem,
			0 AS typarray, 0 AS typbasetype, -1 AS typtypmod, false AS typnotnull, '' AS typinput, '' AS typoutput, 0 AS typcollation, CAST(NULL AS VARCHAR) AS typdefault, CAST(NULL AS VARCHAR) AS typacl
			FROM (VALUES ` + strings.Join(types, ", ") + `) AS v(oid, typname, typlen, typcategory)`,
		"pg_database": `SELECT 16384 AS oid, ` + database + ` AS datname, 100 AS datdba, 6 AS encoding, false AS datistemplate, true AS datallowconn, CAST(NULL AS VARCHAR) AS datacl, 'C' AS datcollate, 'C' AS datctype, 1663 AS dattablespace`,
		"pg_user":     `SELECT ` + user + ` AS usename, 100 AS usesysid, true AS usecreatedb, true AS usesuper, false AS usecatupd, '********' AS passwd, CAST(NULL AS TIMESTAMP) AS valuntil, CAST(NULL AS VARCHAR) AS useconfig`,
		"pg_roles": `SELECT 100 AS oid, ` + user + ` AS rolname, true AS rolsuper, true AS rolinherit, true AS rolcreaterole, true AS rolcreatedb, true AS rolcanlogin, false AS rolreplication,
			false AS rolbypassrls, -1 AS rolconnlimit, CAST(NULL AS TIMESTAMP) AS rolvaliduntil`,
		"pg_group": `SELECT '' AS groname, 0 AS grosysid, '' AS grolist WHERE false`,
		"pg_tables": `SELECT t.schema_name AS schemaname, t.table_name AS tablename, ` + user + ` AS tableowner, CAST(NULL AS VARCHAR) AS tablespace, false AS hasindexes, false AS hasrules, false AS hastriggers
			FROM _rs.tables t WHERE t.kind = 'r'`,
		"pg_views": `SELECT t.schema_name AS schemaname, t.table_name AS viewname, ` + user + ` AS viewowner, t.definition FROM _rs.tables t WHERE t.kind = 'v'`,
		"pg_table_def": `SELECT t.schema_name AS schemaname, t.table_name AS tablename, c.name AS "column", c.type AS "type", CASE WHEN c.encoding = '' THEN 'none' ELSE c.encoding END AS encoding,
			c.distkey, c.sortkey, c.not_null AS "notnull" FROM _rs.tables t JOIN _rs.columns c ON c.table_oid = t.oid
			WHERE t.kind = 'r' AND (t.schema_name IN (SELECT unnest(current_schemas(false))) OR t.schema_name LIKE 'pg_temp_%')`,
		"svv_table_info": svvTableInfo(database, "SELECT t.oid, d.estimated_size AS n FROM _rs.tables t JOIN duckdb_tables() d ON d.schema_name = t.schema_name AND d.table_name = t.table_name AND NOT d.temporary"),
		"pg_class_info": `SELECT t.oid AS reloid, t.table_name AS relname, s.oid AS relnamespace, 100 AS relowner, t.kind AS relkind, t.created AS relcreationtime,
			CASE WHEN t.diststyle LIKE 'KEY%' THEN 1 WHEN t.diststyle = 'ALL' THEN 8 ELSE 0 END AS releffectivediststyle FROM _rs.tables t JOIN _rs.schemas s ON s.name = t.schema_name`,
		"stv_slices":           `SELECT 0 AS node, slice, slice AS localslice, 'D' AS type FROM (VALUES (0), (1)) AS v(slice)`,
		"svv_columns":          svvColumns(database),
		"svv_redshift_columns": svvColumns(database),
		"svv_tables":           `SELECT ` + database + ` AS table_catalog, schema_name AS table_schema, table_name, CASE kind WHEN 'v' THEN 'VIEW' ELSE 'BASE TABLE' END AS table_type, CAST(NULL AS VARCHAR) AS remarks FROM _rs.tables`,
		"is_tables":            `SELECT ` + database + ` AS table_catalog, schema_name AS table_schema, table_name, CASE kind WHEN 'v' THEN 'VIEW' ELSE 'BASE TABLE' END AS table_type FROM _rs.tables`,
		"is_columns":           svvColumns(database),
		"is_schemata":          `SELECT ` + database + ` AS catalog_name, name AS schema_name, ` + user + ` AS schema_owner FROM _rs.schemas`,
		"is_views":             `SELECT ` + database + ` AS table_catalog, schema_name AS table_schema, table_name, definition AS view_definition FROM _rs.tables WHERE kind = 'v'`,
		"sys_load_error_detail": `SELECT 100 AS user_id, CAST(0 AS BIGINT) AS query_id, e.session_id, ` + database + ` AS database_name, e.occurred_at AS start_time, e.table_name, e.file_name,
			CAST(0 AS BIGINT) AS line_number, e.column_name, e.column_type, CAST(0 AS BIGINT) AS column_length, '' AS raw_line, '' AS raw_field_value,
			CAST(coalesce(nullif(e.error_code, ''), '0') AS INTEGER) AS error_code, e.error_message FROM _rs.load_errors e`,
		"stl_load_errors": `SELECT 100 AS userid, e.session_id AS session, 0 AS tbl, e.occurred_at AS starttime, e.file_name AS filename, CAST(0 AS BIGINT) AS line_number, e.column_name AS colname, e.column_type AS "type",
			'' AS raw_line, '' AS raw_field_value, CAST(coalesce(nullif(e.error_code, ''), '0') AS INTEGER) AS err_code, e.error_message AS err_reason, CAST(0 AS BIGINT) AS query FROM _rs.load_errors e`,
		"stv_db_isolation_level": `SELECT ` + database + ` AS db_name, '` + level + `' AS isolation_level`,
		"pg_inherits":            empty("inhrelid BIGINT, inhparent BIGINT, inhseqno INTEGER"),
		"pg_auth_members":        empty("roleid BIGINT, member BIGINT, grantor BIGINT, admin_option BOOLEAN"),
		"pg_proc":                empty("oid BIGINT, proname VARCHAR, pronamespace BIGINT, proowner BIGINT, prolang BIGINT, prorettype BIGINT, proargtypes VARCHAR, proisagg BOOLEAN, proiswindow BOOLEAN, proretset BOOLEAN, provolatile VARCHAR, prosrc VARCHAR, proargnames VARCHAR, proallargtypes VARCHAR, proargmodes VARCHAR, prosecdef BOOLEAN, pronargs SMALLINT, proacl VARCHAR"),
		"pg_language":            empty("oid BIGINT, tableoid BIGINT, lanname VARCHAR, lanowner BIGINT, lanispl BOOLEAN, lanpltrusted BOOLEAN, lanplcallfoid BIGINT"),
		"pg_collation":           empty("oid BIGINT, collname VARCHAR, collnamespace BIGINT"),
		"pg_trigger":             empty("oid BIGINT, tgname VARCHAR, tgrelid BIGINT, tgenabled VARCHAR, tgisinternal BOOLEAN, tgconstraint BIGINT"),
		"pg_rewrite":             empty("oid BIGINT, rulename VARCHAR, ev_class BIGINT, ev_enabled VARCHAR, ev_type VARCHAR"),
		"pg_policy":              empty("polname VARCHAR, polrelid BIGINT"),
		"pg_tablespace":          `SELECT 1663 AS oid, 'pg_default' AS spcname, 1 AS spcowner, '' AS spclocation, CAST(NULL AS VARCHAR) AS spcacl, CAST(NULL AS VARCHAR) AS spcoptions`,
		"pg_cast":                empty("oid BIGINT, tableoid BIGINT, castsource BIGINT, casttarget BIGINT, castfunc BIGINT, castcontext VARCHAR, castmethod VARCHAR"),
		"pg_operator":            empty("oid BIGINT, oprname VARCHAR, oprnamespace BIGINT, oprowner BIGINT, oprkind VARCHAR, oprcanhash BOOLEAN, oprleft BIGINT, oprright BIGINT, oprresult BIGINT, oprcode BIGINT"),
		"pg_conversion":          empty("oid BIGINT, tableoid BIGINT, conname VARCHAR, connamespace BIGINT, conowner BIGINT, conforencoding INTEGER, contoencoding INTEGER, conproc BIGINT, condefault BOOLEAN"),
		"pg_default_acl":         empty("oid BIGINT, defaclrole BIGINT, defaclnamespace BIGINT, defaclobjtype VARCHAR, defaclacl VARCHAR"),
		"pg_enum":                empty("oid BIGINT, enumtypid BIGINT, enumsortorder REAL, enumlabel VARCHAR"),
		"pg_range":               empty("rngtypid BIGINT, rngsubtype BIGINT"),
		"svl_s3log":              empty("pid INTEGER, query INTEGER, segment INTEGER, step INTEGER, node INTEGER, slice INTEGER, eventtime TIMESTAMP, message VARCHAR"),
		"pg_external_schema":     empty("esoid BIGINT, eskind INTEGER, esdbname VARCHAR, esoptions VARCHAR"),
		"svv_external_schemas":   empty("esoid BIGINT, schemaname VARCHAR, databasename VARCHAR"),
	}
	maps.Copy(queries, keyQueries(database, user))
	return queries
}

func svvColumns(database string) string {
	return `SELECT ` + database + ` AS table_catalog, ` + database + ` AS database_name, t.schema_name AS table_schema, t.schema_name AS schema_name, t.table_name, c.name AS column_name, c.ordinal AS ordinal_position,
		nullif(c.deflt, '') AS column_default, CASE WHEN c.not_null THEN 'NO' ELSE 'YES' END AS is_nullable, regexp_replace(c.type, '\(.*\)', '') AS data_type,
		CASE WHEN c.type_oid IN (1043, 1042) AND c.typmod > 4 THEN c.typmod - 4 END AS character_maximum_length,
		CASE WHEN c.type_oid = 1700 THEN (c.typmod - 4) >> 16 WHEN c.type_oid = 20 THEN 64 WHEN c.type_oid = 23 THEN 32 WHEN c.type_oid = 21 THEN 16 END AS numeric_precision,
		CASE WHEN c.type_oid = 1700 THEN (c.typmod - 4) & 65535 WHEN c.type_oid IN (20, 21, 23) THEN 0 END AS numeric_scale, nullif(c.encoding, '') AS encoding, c.distkey, c.sortkey,
		regexp_replace(c.type, '\(.*\)', '') AS udt_name, CAST(NULL AS VARCHAR) AS remarks
		FROM _rs.tables t JOIN _rs.columns c ON c.table_oid = t.oid`
}

// empty is a query of no rows with these columns.
func empty(columns string) string {
	var items []string
	for c := range strings.SplitSeq(columns, ", ") {
		name, typ, _ := strings.Cut(c, " ")
		items = append(items, fmt.Sprintf("CAST(NULL AS %s) AS %s", typ, quoteIdent(name)))
	}
	return "SELECT " + strings.Join(items, ", ") + " WHERE false"
}
