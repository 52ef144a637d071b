package redshift

// dialectMacros are what rewritten statements call where the meaning hangs on an argument's type: DuckDB picks the
// overload when it binds. The typed parameter only decides; the value goes through an untyped one, because a typed one
// is cast. An argument that holds an aggregate has no type when macros are bound; see session.untyped. They live in a
// database of their own, in memory, since DuckDB's files hold typed parameters only from a version on that older files
// lack.
func dialectMacros() []string {
	return []string{
		"ATTACH ':memory:' AS _rt",
		// SUM: BIGINT of SMALLINT and INTEGER, NUMERIC(38,0) of BIGINT, else as DuckDB. s is the sum, x what is summed.
		`CREATE MACRO _rt.main.sum_of(s, x SMALLINT) AS CAST(s AS BIGINT), (s, x INTEGER) AS CAST(s AS BIGINT), (s, x BIGINT) AS CAST(s AS DECIMAL(38,0)),
			(s, x HUGEINT) AS CAST(s AS DECIMAL(38,0)), (s, x DECIMAL) AS s, (s, x FLOAT) AS s, (s, x DOUBLE) AS s, (s, x INTERVAL) AS s`,
		// AVG: a truncated BIGINT of integers, the argument's scale of NUMERIC, DOUBLE PRECISION of floats.
		`CREATE MACRO _rt.main.avg_of(s, n, x BIGINT) AS CAST(CAST(s AS HUGEINT) // nullif(n, 0) AS BIGINT), (s, n, x HUGEINT) AS CAST(CAST(s AS HUGEINT) // nullif(n, 0) AS BIGINT),
			(s, n, x DECIMAL) AS cast_to_type(s / n, s), (s, n, x FLOAT) AS s / n, (s, n, x DOUBLE) AS s / n, (s, n, x INTERVAL) AS s / n`,
		`CREATE MACRO _rt.main.avg_any(s, n) AS CASE WHEN typeof(s) = 'HUGEINT' THEN trunc(s / n) ELSE s / n END`,
		// TRUNC of a moment is a date.
		`CREATE MACRO _rt.main.trunc_of(v, x TIMESTAMP) AS CAST(v AS DATE), (v, x TIMESTAMPTZ) AS CAST(v AS DATE), (v, x DATE) AS v, (v, x BIGINT) AS v,
			(v, x HUGEINT) AS v, (v, x DECIMAL) AS trunc(v), (v, x FLOAT) AS trunc(v), (v, x DOUBLE) AS trunc(v)`,
		// A date as the argument of a function over moments is midnight; so is the text of one.
		`CREATE MACRO _rt.main.moment(x TIMESTAMP) AS x, (x TIMESTAMPTZ) AS x, (x DATE) AS CAST(x AS TIMESTAMP), (x VARCHAR) AS CAST(x AS TIMESTAMP), (x TIME) AS x,
			(x INTERVAL) AS x`,
		// JSON_PARSE: only text with blanks or escapes has another form to be brought into; the rest is checked as it is.
		`CREATE MACRO _rt.main.parse(x) AS CASE WHEN contains(x, ' ') OR contains(x, chr(92)) OR contains(x, chr(10)) OR contains(x, chr(9)) OR contains(x, chr(13))
			THEN json(x) ELSE CAST(x AS JSON) END`,
		`CREATE MACRO _rt.main.compare(a, b) AS CASE WHEN a < b THEN -1 WHEN a > b THEN 1 WHEN a = b THEN 0 END`,
		`CREATE MACRO _rt.main.nonzero(x) AS CASE WHEN x = 0 THEN ` + raise("22012", "Divide by zero", "") + ` ELSE x END`,
		`CREATE MACRO _rt.main.listagg(x) AS CASE WHEN strlen(x) > 65535 THEN ` + raise("54000", "Result size exceeds LISTAGG limit", "") + ` ELSE x END`,
		`CREATE MACRO _rt.main.elements(x) AS CASE WHEN x IS NULL OR json_type(x) = 'NULL' THEN CAST([] AS JSON[]) WHEN json_type(x) = 'ARRAY' THEN CAST(x AS JSON[]) ELSE [x] END`,
		// A SUPER as what it is compared with: NULL if it is no such thing.
		`CREATE MACRO _rt.main.as_like(x, y VARCHAR) AS json_extract_string(x, '$'), (x, y BIGINT) AS TRY_CAST(x AS DOUBLE), (x, y HUGEINT) AS TRY_CAST(x AS DOUBLE),
			(x, y DECIMAL) AS TRY_CAST(x AS DOUBLE), (x, y DOUBLE) AS TRY_CAST(x AS DOUBLE), (x, y BOOLEAN) AS TRY_CAST(x AS BOOLEAN), (x, y DATE) AS TRY_CAST(x ->> '$' AS DATE),
			(x, y TIMESTAMP) AS TRY_CAST(x ->> '$' AS TIMESTAMP), (x, y TIMESTAMPTZ) AS TRY_CAST(x ->> '$' AS TIMESTAMPTZ)`,
		`CREATE MACRO _rt.main.is_type(x, t) AS coalesce(list_contains(t, json_type(x)), false)`,
	}
}
