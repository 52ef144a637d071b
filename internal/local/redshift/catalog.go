//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"strings"
)

// databaseFile holds everything; its stem is DuckDB's name for the database and must not collide with a schema's.
const databaseFile = databaseName + ".duckdb"

// bootstrap creates the registry, brings views and macros up to this build's, and locks DuckDB up. What the file holds
// is one transaction: a sync for each of its hundred statements would take most of a start.
func (s *Server) bootstrap() error {
	if err := s.registerFunctions(); err != nil {
		return err
	}
	ctx := context.Background()
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	lockUp := []string{
		"SET GLOBAL allowed_directories = [" + quoteString(s.scratch+"/") + "]",
		"SET GLOBAL enable_external_access = false",
	}
	for _, statements := range [][]string{
		engineSettings(), dialectMacros(), {"BEGIN TRANSACTION"}, registryTables(), macros(), keyMacros(), s.catalogViews(), {"COMMIT"}, lockUp,
	} {
		for _, text := range statements {
			if _, err := conn.ExecContext(ctx, text); err != nil {
				return fmt.Errorf("%s: %w", strings.Join(strings.Fields(text)[:min(2, len(strings.Fields(text)))], " "), err)
			}
		}
	}
	return nil
}

func engineSettings() []string {
	return []string{
		"PRAGMA disable_checkpoint_on_shutdown", // Close does that, where memory is to be trusted
		"SET GLOBAL TimeZone = 'UTC'",
		"SET GLOBAL integer_division = true",
		"SET GLOBAL default_null_order = 'nulls_last_on_asc_first_on_desc'",
		"SET GLOBAL checkpoint_threshold = '64MiB'",
		"SET GLOBAL preserve_insertion_order = false",
		// Ids do not repeat: FSST makes files a third smaller at a fifth of an INSERT's time.
		"SET GLOBAL disabled_compression_methods = 'fsst'",
		"SET GLOBAL autoinstall_known_extensions = false",
		"SET GLOBAL autoload_known_extensions = false",
		// DuckDB 1.5.1 fails where statistics rule out all that a MIN or MAX would read of a transaction's own rows
		// (its issue 22713).
		"SET GLOBAL disabled_optimizers = 'statistics_propagation'",
	}
}

// registryTables are what the front knows of schemas and tables beyond DuckDB.
func registryTables() []string {
	return []string{
		"CREATE SCHEMA IF NOT EXISTS public",
		"CREATE SCHEMA IF NOT EXISTS _rs",
		"CREATE SEQUENCE IF NOT EXISTS _rs.oids START 100000",
		"CREATE TABLE IF NOT EXISTS _rs.schemas (oid BIGINT, name VARCHAR)",
		"INSERT INTO _rs.schemas SELECT 2200, 'public' WHERE NOT EXISTS (SELECT 1 FROM _rs.schemas WHERE name = 'public')",
		"CREATE TABLE IF NOT EXISTS _rs.tables (oid BIGINT, schema_name VARCHAR, table_name VARCHAR, kind VARCHAR, diststyle VARCHAR, definition VARCHAR, created TIMESTAMP)",
		`CREATE TABLE IF NOT EXISTS _rs.columns (table_oid BIGINT, ordinal INTEGER, name VARCHAR, type VARCHAR, encoding VARCHAR, deflt VARCHAR, not_null BOOLEAN,
			distkey BOOLEAN, sortkey INTEGER, type_oid BIGINT, typmod INTEGER)`,
		`CREATE TABLE IF NOT EXISTS _rs.load_errors (session_id BIGINT, occurred_at TIMESTAMP, table_name VARCHAR, file_name VARCHAR, column_name VARCHAR, column_type VARCHAR,
			error_message VARCHAR, error_code VARCHAR)`,
		"CREATE TABLE IF NOT EXISTS _rs.constraints (oid BIGINT, index_oid BIGINT, table_oid BIGINT, name VARCHAR, kind VARCHAR, columns SMALLINT[], ref_table BIGINT, ref_columns SMALLINT[])",
		"CREATE TABLE IF NOT EXISTS _rs.grants (object BIGINT, class INTEGER, privilege VARCHAR, grantee VARCHAR, kind VARCHAR, option BOOLEAN)",
		"CREATE TABLE IF NOT EXISTS _rs.comments (object BIGINT, class INTEGER, sub INTEGER, comment VARCHAR)",
		keysView,
		fmt.Sprintf("DELETE FROM _rs.load_errors WHERE occurred_at < %s::TIMESTAMP - INTERVAL %d SECONDS", stamp(), int(loadErrorsKept.Seconds())),
	}
}

// macros are what rewritten statements call.
func macros() []string {
	var types strings.Builder
	for _, t := range catalogTypes() {
		fmt.Fprintf(&types, " WHEN %d THEN %s", t.oid, quoteString(t.declared))
	}
	return []string{
		// The branch is chosen when the statement is bound: typeof of a column is constant.
		`CREATE OR REPLACE MACRO _rs.text_of(x) AS CASE WHEN typeof(x) = 'JSON' THEN json_extract_string(to_json(x), '$') ELSE CAST(x AS VARCHAR) END`,
		// A prefix of at most n bytes that ends between characters; a character has at most four.
		`CREATE OR REPLACE MACRO _rs.cut(x, n) AS CASE WHEN strlen(x) <= n THEN x ELSE coalesce(
			CASE WHEN strlen(left(x, n)) <= n THEN left(x, n) END,
			list_last(list_filter(list_transform(range(0, n + 1), k -> left(x, CAST(k AS BIGINT))), p -> strlen(p) <= n))) END`,
		`CREATE OR REPLACE MACRO _rs.json_typeof(x) AS CASE json_type(x) WHEN 'VARCHAR' THEN 'string' WHEN 'UBIGINT' THEN 'number' WHEN 'BIGINT' THEN 'number'
			WHEN 'DOUBLE' THEN 'number' ELSE lower(json_type(x)) END`,
		`CREATE OR REPLACE MACRO _rs.format_type(o, m) AS CASE
			WHEN o = 1043 AND m > 4 THEN 'character varying(' || (m - 4) || ')' WHEN o = 1042 AND m > 4 THEN 'character(' || (m - 4) || ')'
			WHEN o = 1700 AND m > 4 THEN 'numeric(' || ((m - 4) >> 16) || ',' || ((m - 4) & 65535) || ')' WHEN o = 6551 AND m > 4 THEN 'binary varying(' || (m - 4) || ')'
			ELSE CASE o` + types.String() + ` END END`,
		`CREATE OR REPLACE MACRO _rs.setting(x) AS CASE x WHEN 'server_version' THEN '8.0.2' WHEN 'server_version_num' THEN '80002' WHEN 'TimeZone' THEN 'UTC' ELSE '' END`,
		`CREATE OR REPLACE MACRO _rs.table_is_visible(o) AS EXISTS (SELECT 1 FROM (SELECT oid, schema_name FROM _rs.tables UNION ALL SELECT index_oid, schema_name FROM _rs.keys) v
			WHERE v.oid = o AND v.schema_name IN (SELECT unnest(current_schemas(false))))`,
		`CREATE OR REPLACE MACRO _rs.regclass_name(o) AS (SELECT any_value(CASE WHEN v.schema_name IN (SELECT unnest(current_schemas(false))) THEN '' ELSE v.schema_name || '.' END || v.table_name)
			FROM _rs.tables v WHERE v.oid = CAST(o AS BIGINT))`,
		`CREATE OR REPLACE MACRO _rs.viewdef(o) AS (SELECT any_value(v.definition) FROM _rs.tables v WHERE v.oid = o)`,
		`CREATE OR REPLACE MACRO _rs.regclass(x) AS CASE replace(CAST(x AS VARCHAR), 'pg_catalog.', '') WHEN 'pg_class' THEN 1259 WHEN 'pg_constraint' THEN 2606 WHEN 'pg_namespace' THEN 2615
			WHEN 'pg_database' THEN 1262 WHEN 'pg_proc' THEN 1255 WHEN 'pg_type' THEN 1247 ELSE (SELECT any_value(v.oid) FROM _rs.tables v
			WHERE v.schema_name || '.' || v.table_name = replace(CAST(x AS VARCHAR), '"', '') OR v.schema_name IN (SELECT unnest(current_schemas(false))) AND v.table_name = replace(CAST(x AS VARCHAR), '"', '')) END`,
	}
}

// catalogType is a row of pg_type.
type catalogType struct {
	oid      uint32
	name     string
	declared string
	length   int
	category string
}

func catalogTypes() []catalogType {
	return []catalogType{
		{oidBool, "bool", "boolean", 1, "B"},
		{oidInt8, "int8", "bigint", 8, "N"},
		{oidInt2, "int2", "smallint", 2, "N"},
		{oidInt4, "int4", "integer", 4, "N"},
		{oidText, "text", "text", -1, "S"},
		{oidOID, "oid", "oid", 4, "N"},
		{oidFloat4, "float4", "real", 4, "N"},
		{oidFloat8, "float8", "double precision", 8, "N"},
		{oidBPChar, "bpchar", "character", -1, "S"},
		{oidVarchar, "varchar", "character varying", -1, "S"},
		{oidDate, "date", "date", 4, "D"},
		{oidTime, "time", "time without time zone", 8, "D"},
		{oidTimestamp, "timestamp", "timestamp without time zone", 8, "D"},
		{oidTimestamptz, "timestamptz", "timestamp with time zone", 8, "D"},
		{oidInterval, "interval", "interval", 16, "T"},
		{oidTimetz, "timetz", "time with time zone", 12, "D"},
		{oidNumeric, "numeric", "numeric", -1, "N"},
		{oidSuper, "super", "super", -1, "U"},
		{oidVarbyte, "varbyte", "binary varying", -1, "U"},
		{oidName, "name", "name", 64, "S"},
		{oidChar, "char", "\"char\"", 1, "S"},
		{oidUnknown, "unknown", "unknown", -2, "X"},
		{oidBytea, "bytea", "bytea", -1, "U"},
	}
}
