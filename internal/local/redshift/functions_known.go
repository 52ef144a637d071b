package redshift

import (
	"strings"
	"sync"
)

// The functions of Redshift by what this server makes of them, from the index of its SQL reference. What is in none of
// these lists, and has no translator, does not exist.
const (
	// sameFunctions mean to DuckDB what they mean to Redshift.
	sameFunctions = `
		any_value bit_and bit_or bool_and bool_or count max median min stddev_pop stddev_samp var_pop var_samp
		cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
		abs acos asin atan atan2 ceil cos cot degrees exp floor ln pi power radians random sin sqrt tan
		ascii chr left lower ltrim md5 position repeat replace reverse right rtrim sha1 split_part translate trim upper
		coalesce greatest least nullif grouping exists`

	// unsupportedFunctions are Redshift's, and refused here by name.
	unsupportedFunctions = `
		approximate_percentile_disc checksum crc32 farmfingerprint64 fnv_hash murmur3_32_hash
		explain_model external_query get_bit getbit set_bit json_serialize_to_varbyte lower_attribute_names upper_attribute_names
		object_transform bpcharcmp bttext_pattern_cmp collate text_to_int_alt text_to_numeric_alt timezone_name
		change_query_priority change_session_priority change_user_priority get_schema_privileges pg_cancel_backend pg_terminate_backend
		reboot_cluster set_config current_aws_account current_namespace current_session_arn default_iam_role has_assumerole_privilege
		last_user_query_id pg_get_cols pg_get_grantee_by_iam_role pg_get_iam_role_by_user pg_get_late_binding_view_cols
		pg_get_session_roles pg_last_query_id pg_last_unload_count pg_last_unload_id slice_num user_is_member_of
		addbbox dropbbox geometrytype array_flatten array_sort array_union array_intersection array_except arrays_overlap array_positions array_distinct`

	// leaderFunctions run on the leader node alone: Redshift refuses them over a table of its users.
	leaderFunctions = `
		age current_time localtime localtimestamp now generate_series get_byte set_byte encode to_ascii convert_from convert_to
		setseed isfinite justify_days justify_hours quote_nullable current_schemas array_to_string array_upper array_length string_to_array`
)

// functionSets are the lists above as sets.
var functionSets = sync.OnceValue(func() (sets struct{ same, unsupported, leader map[string]bool }) {
	set := func(list string) map[string]bool {
		out := map[string]bool{}
		for name := range strings.FieldsSeq(list) {
			out[name] = true
		}
		return out
	}
	sets.same, sets.unsupported, sets.leader = set(sameFunctions), set(unsupportedFunctions), set(leaderFunctions)
	return sets
})

// refusedFunction says why a function that nothing translates is not run: Redshift has it and this server lacks it, or
// Redshift lacks it too. It is nil for one that DuckDB runs as Redshift does.
func refusedFunction(name string) error {
	sets := functionSets()
	switch {
	case sets.same[name]:
		return nil
	case sets.unsupported[name], sets.leader[name], strings.HasPrefix(name, "st_"), strings.HasPrefix(name, "h3_"), strings.HasPrefix(name, "hll"):
		return pgError("42883", "the local Redshift does not support function %s", name)
	}
	return pgError("42883", "function %s does not exist", name)
}

// arities are the numbers of arguments that Redshift's own functions take, where DuckDB takes others too.
func arity(name string) (least, most int, bounded bool) {
	switch name {
	case "pi", "random", "rank", "dense_rank", "row_number", "cume_dist", "percent_rank":
		return 0, 0, true
	case "abs", "acos", "asin", "atan", "ceil", "cos", "cot", "degrees", "exp", "floor", "ln", "radians", "sin", "sqrt", "tan",
		"ascii", "chr", "lower", "md5", "reverse", "sha1", "upper", "min", "max", "any_value", "median",
		"bit_and", "bit_or", "bool_and", "bool_or", "stddev_pop", "stddev_samp", "var_pop", "var_samp", "first_value", "last_value", "ntile":
		return 1, 1, true
	case "atan2", "power", "left", "right", "repeat", "nullif", "nth_value":
		return 2, 2, true
	case "replace", "split_part", "translate":
		return 3, 3, true
	case "ltrim", "rtrim":
		return 1, 2, true
	case "lag", "lead":
		return 1, 3, true
	}
	return 0, 0, false
}
