package redshift

import "strings"

// databaseName is DuckDB's name for the database; no schema may have it.
const databaseName = "_redshift"

// catalogNames are the tables that catalogQueries makes.
var catalogNames = map[string]bool{
	"pg_depend": true, "svv_relation_privileges": true, "svv_schema_privileges": true, "is_table_privileges": true, "is_constraint_column_usage": true,
	"is_referential_constraints": true, "is_routines": true, "pg_proc_info": true, "pg_namespace": true, "pg_class": true, "pg_attribute": true, "pg_attrdef": true, "pg_type": true, "pg_database": true,
	"pg_user": true, "pg_roles": true, "pg_group": true, "pg_tables": true, "pg_views": true, "pg_table_def": true,
	"svv_table_info": true, "svv_columns": true, "svv_redshift_columns": true, "svv_tables": true, "is_tables": true,
	"is_columns": true, "is_schemata": true, "is_views": true, "sys_load_error_detail": true, "stl_load_errors": true,
	"stv_db_isolation_level": true, "pg_index": true, "pg_constraint": true, "pg_inherits": true, "pg_description": true,
	"pg_auth_members": true, "pg_proc": true, "pg_language": true, "pg_collation": true, "pg_trigger": true, "pg_rewrite": true,
	"pg_policy": true, "pg_tablespace": true, "pg_settings": true, "pg_am": true, "pg_enum": true, "pg_range": true,
	"pg_cast": true, "pg_operator": true, "pg_conversion": true, "pg_default_acl": true,
	"svl_s3log": true, "pg_external_schema": true,
	"svv_external_schemas": true, "is_table_constraints": true, "is_key_column_usage": true,
	"pg_class_info": true, "stv_slices": true,
}

// catalogRelation returns the view that stands for a table of the catalogue. What the engine itself keeps is hidden.
func catalogRelation(name tableName) (sql string, found bool, err error) {
	switch name.schema {
	case "", "pg_catalog":
		if catalogNames[name.table] {
			return `"_rs".` + quoteIdent("v_"+name.table), true, nil
		}
		if name.schema == "pg_catalog" || strings.HasPrefix(name.table, "duckdb_") || strings.HasPrefix(name.table, "sqlite_") || strings.HasPrefix(name.table, "pragma_") {
			return "", false, errNoRelation(name.String())
		}
	case "information_schema":
		if catalogNames["is_"+name.table] {
			return `"_rs".` + quoteIdent("v_is_"+name.table), true, nil
		}
		return "", false, errNoRelation(name.String())
	default:
		if forbiddenSchema(name.schema) {
			return "", false, errNoRelation(name.String())
		}
	}
	return "", false, nil
}

// forbiddenSchema tells the schemas that belong to the engine.
func forbiddenSchema(name string) bool {
	switch name {
	case "_rs", "_rt", "main", "temp", "system", "pg_catalog", "information_schema", "millstream_local", databaseName:
		return true
	}
	return false
}
