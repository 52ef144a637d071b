package probe

import (
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// The areas of probes.
const (
	areaParquet      = "Parquet"
	areaManifest     = "manifest"
	areaCopy         = "COPY"
	areaTransactions = "transactions"
	areaDDL          = "DDL"
	areaSQL          = "SQL"
	areaClient       = "client"
)

// All are the probes, area by area.
func All() []Probe {
	var out []Probe
	for _, area := range [][]Probe{parquetProbes(), manifestProbes(), copyProbes(), transactionProbes(), ddlProbes(), sqlProbes(), clientProbes()} {
		out = append(out, area...)
	}
	return out
}

func col(name string, t wire.LakeType) wire.Column { return wire.Column{Name: name, Type: t} }

// one is a probe that copies one file into {s}.t<name> and looks at it.
func one(area, name, ddl, query, expected string, f file) Probe {
	t := "{s}." + strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(area+"_"+name), " ", "_"), "-", "_")
	return Probe{Area: area, Name: name, files: []file{f}, Expected: expected, Statements: []string{
		"CREATE TABLE " + t + " " + ddl, "COPY " + t + "{copy}", strings.ReplaceAll(query, "{t}", t),
	}}
}

func at(text string) time.Time {
	t, _ := time.Parse("2006-01-02 15:04:05.999999", text) // TestProbes reads all
	return t
}

func parquetProbes() []Probe {
	ts := file{columns: wire.Columns{col("a", wire.Timestamp)}, rows: [][]any{{at("1969-12-31 23:59:59.5")}, {at("1970-01-01 00:00:00")}, {at("2026-11-22 01:02:03.456789")}, {at("2262-04-12 00:00:00")}, {at("9999-12-31 23:59:59.999999")}}}
	numbers := file{columns: wire.Columns{col("i", wire.Int64), col("s", wire.String)}, rows: [][]any{{1, "a"}, {2, nil}, {3, ""}}}
	with := func(c parquetout.Compression) file { f := numbers; f.compression = c; return f }
	long := file{columns: wire.Columns{col("s", wire.String)}, rows: [][]any{{strings.Repeat("x", 65535)}}}
	none := numbers
	none.rows = nil
	return []Probe{
		one(areaParquet, "timestamps", "(a TIMESTAMP)", "SELECT a FROM {t} ORDER BY 1", "1969-12-31 23:59:59.5;1970-01-01 00:00:00;2026-11-22 01:02:03.456789;2262-04-12 00:00:00;9999-12-31 23:59:59.999999", ts),
		one(areaParquet, "decimals", "(a NUMERIC(38,9))", "SELECT a FROM {t} ORDER BY 1", "-0.000000001;12345678901234567890123456789.123456789", file{columns: wire.Columns{col("a", "decimal(38,9)")}, rows: [][]any{{"-0.000000001"}, {"12345678901234567890123456789.123456789"}}}),
		one(areaParquet, "booleans with nulls", "(a BOOLEAN)", "SELECT COUNT(*), SUM(CASE WHEN a THEN 1 ELSE 0 END), SUM(CASE WHEN a IS NULL THEN 1 ELSE 0 END) FROM {t}", "3|1|1", file{columns: wire.Columns{col("a", wire.Bool)}, rows: [][]any{{true}, {nil}, {false}}}),
		one(areaParquet, "empty text is not null", "(i BIGINT, s VARCHAR(64))", "SELECT COUNT(*), COUNT(s), SUM(CASE WHEN s = '' THEN 1 ELSE 0 END) FROM {t}", "3|2|1", numbers),
		one(areaParquet, "65535 bytes", "(s VARCHAR(65535))", "SELECT OCTET_LENGTH(s) FROM {t}", "65535", long),
		one(areaParquet, "snappy", "(i BIGINT, s VARCHAR(64))", "SELECT SUM(i) FROM {t}", "6", with(parquetout.Snappy)),
		one(areaParquet, "gzip", "(i BIGINT, s VARCHAR(64))", "SELECT SUM(i) FROM {t}", "6", with(parquetout.Gzip)),
		one(areaParquet, "zstd", "(i BIGINT, s VARCHAR(64))", "SELECT SUM(i) FROM {t}", "6", with(parquetout.Zstd)),
		one(areaParquet, "no rows", "(i BIGINT, s VARCHAR(64))", "SELECT COUNT(*) FROM {t}", "0", none),
		one(areaParquet, "dates", "(a DATE)", "SELECT a FROM {t} ORDER BY 1", "1969-12-31;2026-11-22", file{columns: wire.Columns{col("a", wire.Date)}, rows: [][]any{{-1}, {20779}}}),
		one(areaParquet, "bytes into VARBYTE", "(a VARBYTE(16))", "SELECT TO_HEX(a) FROM {t}", "00ff5c", file{columns: wire.Columns{col("a", wire.Bytes)}, rows: [][]any{{[]byte{0, 255, '\\'}}}}),
		one(areaParquet, "json text becomes SUPER", "(a VARCHAR(64))", "SELECT JSON_SERIALIZE(JSON_PARSE(a)) FROM {t}", `{"k":[1,"x"]}`, file{columns: wire.Columns{col("a", wire.JSON)}, rows: [][]any{{`{"k":[1,"x"]}`}}}),
		one(areaParquet, "format 2 with data pages of version 2", "(a BIGINT)", "SELECT SUM(a) FROM {t}", "6", file{raw: func() ([]byte, error) { return parquetout.ForeignIntegers(1, 2, 3) }}),
		one(areaParquet, "int96", "(a TIMESTAMP)", "SELECT a FROM {t}", "2026-11-22 01:02:03.456789", file{raw: func() ([]byte, error) { return parquetout.ForeignTimestamp(at("2026-11-22 01:02:03.456789")) }}),
		one(areaParquet, largeName, "(a VARCHAR(64))", "SELECT COUNT(*), MIN(LEN(a)), MAX(LEN(a)) FROM {t}", "1800000|64|64", file{raw: large(largeRows)}),
	}
}

// The large file is one that a cluster may read in parts.
const (
	largeName = "120 MB"
	largeRows = 1_800_000
	largeText = 64
)

func large(rows int) func() ([]byte, error) {
	return func() ([]byte, error) { return parquetout.ForeignText(rows, largeText) }
}

// two has two columns of one type, so that their order shows.
var two = wire.Columns{{Name: "a", Type: wire.Int64}, {Name: "b", Type: wire.Int64}}

func pairs() file { return file{columns: two, rows: [][]any{{1, 2}, {3, 4}}} }

func manifestProbes() []Probe {
	with := func(name string, m manifest, expected string) Probe {
		p := one(areaManifest, name, "(a BIGINT, b BIGINT)", "SELECT COUNT(*) FROM {t}", expected, pairs())
		p.manifest = m
		return p
	}
	return []Probe{
		with("wrong content_length", wrongLength, "error XX000 "),
		with("no meta", noMeta, "error XX000 meta"),
		with("an entry twice", twice, "4"),
		with("an optional file is missing", missingOptional, "2"),
		with("a mandatory file is missing", missingMandatory, "error XX000 "),
		with("unknown members", unknownMembers, "2"),
		with("5000 entries", thousands, "10000"),
	}
}

func copyProbes() []Probe {
	swapped := one(areaCopy, "columns go by position", "(b BIGINT, a BIGINT)", "SELECT a, b FROM {t} ORDER BY 1", "2|1;4|3", pairs())
	count := one(areaCopy, "pg_last_copy_count", "(a BIGINT, b BIGINT)", "SELECT pg_last_copy_count()", "2", pairs())
	refused := func(name, option, expected string) Probe {
		p := one(areaCopy, name, "(a BIGINT, b BIGINT)", "SELECT COUNT(*) FROM {t}", expected, pairs())
		p.Statements[1] += " " + option
		return p
	}
	listed := one(areaCopy, "column list", "(b BIGINT, c BIGINT, a BIGINT)", "SELECT a, b, c IS NULL FROM {t} ORDER BY 1", "1|2|t;3|4|t", pairs())
	listed.Statements[1] = strings.Replace(listed.Statements[1], "{copy}", " (a, b){copy}", 1)
	filled := one(areaCopy, "FILLRECORD", "(a BIGINT, b BIGINT, c BIGINT)", "SELECT a, b, c IS NULL FROM {t} ORDER BY 1", "1|2|t;3|4|t", pairs())
	filled.Statements[1] += " FILLRECORD"
	described := one(areaCopy, "sys_load_error_detail names file and column", "(a BIGINT, s BIGINT)", "", "file, column, words", file{columns: wire.Columns{col("a", wire.Int64), col("s", wire.String)}, rows: [][]any{{1, "x"}}})
	described.after = loadErrorDetail
	return []Probe{
		swapped, count, listed, filled, described,
		one(areaCopy, "another number of columns", "(a BIGINT)", "SELECT COUNT(*) FROM {t}", "error XX000 ", pairs()),
		one(areaCopy, "an int64 file into INTEGER", "(a INTEGER, b BIGINT)", "SELECT COUNT(*) FROM {t}", "error XX000 ", pairs()),
		one(areaCopy, "an int32 file into BIGINT", "(a BIGINT)", "SELECT COUNT(*) FROM {t}", "error XX000 ", file{columns: wire.Columns{col("a", wire.Int32)}, rows: [][]any{{1}}}),
		one(areaCopy, "a value too long", "(s VARCHAR(4))", "SELECT COUNT(*) FROM {t}", "error XX000 ", file{columns: wire.Columns{col("s", wire.String)}, rows: [][]any{{"12345"}}}),
		refused("REGION", "REGION 'eu-west-1'", "error 0A000 "),
		refused("MAXERROR", "MAXERROR 5", "error 0A000 "),
		refused("COMPUPDATE", "COMPUPDATE ON", "error 0A000 "),
	}
}

func ddlProbes() []Probe {
	ddl := func(name, expected string, statements ...string) Probe {
		return Probe{Area: areaDDL, Name: name, Statements: statements, Expected: expected}
	}
	return []Probe{
		ddl("ADD COLUMN and CREATE TABLE in a transaction", "1", "CREATE TABLE {s}.d1 (a INT)", "BEGIN", "ALTER TABLE {s}.d1 ADD COLUMN b VARCHAR(64) ENCODE zstd", "CREATE TABLE {s}.d2 (a INT)", "INSERT INTO {s}.d1 (a, b) VALUES (1, 'x')", "COMMIT", "SELECT COUNT(*) FROM {s}.d1 WHERE b = 'x'"),
		ddl("DDL rolls back", "0", "BEGIN", "CREATE TABLE {s}.d3 (a INT)", "ROLLBACK", "SELECT COUNT(*) FROM svv_columns WHERE table_schema = '{schema}' AND table_name = 'd3'"),
		ddl("two columns in one ADD", "error 42601 ", "CREATE TABLE {s}.d4 (a INT)", "ALTER TABLE {s}.d4 ADD COLUMN b INT, ADD COLUMN c INT"),
		ddl("ADD of a column that exists", "error 42701 ", "CREATE TABLE {s}.d5 (a INT)", "ALTER TABLE {s}.d5 ADD COLUMN a INT"),
		ddl("ALTER TYPE widens", "1024", "CREATE TABLE {s}.d6 (a VARCHAR(64) ENCODE zstd)", "ALTER TABLE {s}.d6 ALTER COLUMN a TYPE VARCHAR(1024)", "SELECT character_maximum_length FROM svv_columns WHERE table_schema = '{schema}' AND table_name = 'd6'"),
		ddl("ALTER TYPE in a transaction", "error 0A000 ", "CREATE TABLE {s}.d7 (a VARCHAR(64))", "BEGIN", "ALTER TABLE {s}.d7 ALTER COLUMN a TYPE VARCHAR(1024)"),
		ddl("ALTER TYPE to the same size", "error 0A000 different", "CREATE TABLE {s}.d8 (a VARCHAR(64))", "ALTER TABLE {s}.d8 ALTER COLUMN a TYPE VARCHAR(64)"),
		ddl("a temporary table outlives COMMIT", "1", "CREATE TEMP TABLE d9 (a INT)", "BEGIN", "INSERT INTO d9 VALUES (1)", "COMMIT", "SELECT COUNT(*) FROM d9"),
		ddl("CTAS with SORTKEY", "1", "CREATE TABLE {s}.d10 DISTSTYLE AUTO SORTKEY (a) AS SELECT 1 AS a", "SELECT COUNT(*) FROM {s}.d10"),
		ddl("swap by two renames", "new", "CREATE TABLE {s}.d11 (a VARCHAR(8))", "CREATE TABLE {s}.d11__new (a VARCHAR(8))", "INSERT INTO {s}.d11__new VALUES ('new')", "BEGIN", "ALTER TABLE {s}.d11 RENAME TO d11__old", "ALTER TABLE {s}.d11__new RENAME TO d11", "COMMIT", "SELECT a FROM {s}.d11"),
		ddl("ALTER DISTSTYLE", "ALL", "CREATE TABLE {s}.d12 (a INT) DISTKEY (a)", "INSERT INTO {s}.d12 VALUES (1)", "ALTER TABLE {s}.d12 ALTER DISTSTYLE ALL", `SELECT diststyle FROM svv_table_info WHERE "schema" = '{schema}' AND "table" = 'd12'`),
		ddl("ALTER ENCODE", "zstd", "CREATE TABLE {s}.d13 (a INT ENCODE az64, b INT ENCODE az64)", "ALTER TABLE {s}.d13 ALTER COLUMN b ENCODE zstd", "SELECT encoding FROM svv_redshift_columns WHERE schema_name = '{schema}' AND table_name = 'd13' AND column_name = 'b'"),
		ddl("VACUUM in a transaction", "error 25001 ", "CREATE TABLE {s}.d14 (a INT)", "BEGIN", "VACUUM DELETE ONLY {s}.d14"),
		ddl("a sample takes encodings by LIKE", "zstd", "CREATE TABLE {s}.d15 (a INT ENCODE zstd)", "CREATE TABLE {s}.d16 (LIKE {s}.d15)", "SELECT encoding FROM svv_redshift_columns WHERE schema_name = '{schema}' AND table_name = 'd16'"),
	}
}

func sqlProbes() []Probe {
	sql := func(name, expected string, statements ...string) Probe {
		return Probe{Area: areaSQL, Name: name, Statements: statements, Expected: expected}
	}
	return []Probe{
		sql("backslash in a literal", `a\b|3`, `SELECT 'a\\b', LEN('a\\b')`),
		sql("GREATEST passes NULL over", "1", "SELECT GREATEST(NULL, 1)"),
		sql("CAN_JSON_PARSE", "t|f", `SELECT CAN_JSON_PARSE('{"a":1}'), CAN_JSON_PARSE('{a')`),
		sql("a text as SUPER", `"x"`, "CREATE TABLE {s}.s1 (v VARCHAR(64))", "INSERT INTO {s}.s1 VALUES ('x')", "SELECT JSON_SERIALIZE(CASE WHEN CAN_JSON_PARSE(v) THEN JSON_PARSE(v) ELSE v::SUPER END) FROM {s}.s1"),
		sql("LAST_VALUE IGNORE NULLS", "b", "CREATE TABLE {s}.s2 (n INT, v VARCHAR(8))", "INSERT INTO {s}.s2 VALUES (1, 'a'), (2, 'b'), (3, NULL)", "SELECT DISTINCT LAST_VALUE(v) IGNORE NULLS OVER (PARTITION BY 1 ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM {s}.s2"),
		sql("MERGE", "1|new;2|two", "CREATE TABLE {s}.s3 (id INT, v VARCHAR(8))", "CREATE TEMP TABLE s4 (id INT, v VARCHAR(8))", "INSERT INTO {s}.s3 VALUES (1, 'old')", "INSERT INTO s4 VALUES (1, 'new'), (2, 'two')", "MERGE INTO {s}.s3 USING s4 ON {s}.s3.id = s4.id WHEN MATCHED THEN UPDATE SET v = s4.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s4.id, s4.v)", "SELECT id, v FROM {s}.s3 ORDER BY 1"),
		sql("MERGE with SUPER", `1|[1];2|{"k":2}`, "CREATE TABLE {s}.s5 (id INT, v SUPER)", "CREATE TEMP TABLE s6 (id INT, v VARCHAR(64))", "INSERT INTO {s}.s5 SELECT 1, JSON_PARSE('{}')", "INSERT INTO s6 VALUES (1, '[1]'), (2, '{\"k\":2}')",
			"MERGE INTO {s}.s5 USING s6 ON {s}.s5.id = s6.id WHEN MATCHED THEN UPDATE SET v = JSON_PARSE(s6.v) WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s6.id, JSON_PARSE(s6.v))", "SELECT id, JSON_SERIALIZE(v) FROM {s}.s5 ORDER BY 1"),
		sql("LAST_VALUE over SUPER", "[2]", "CREATE TABLE {s}.s7 (n INT, v SUPER)", "INSERT INTO {s}.s7 SELECT 1, JSON_PARSE('[1]')", "INSERT INTO {s}.s7 SELECT 2, JSON_PARSE('[2]')", "INSERT INTO {s}.s7 VALUES (3, NULL)",
			"SELECT JSON_SERIALIZE(v) FROM (SELECT n, LAST_VALUE(v) IGNORE NULLS OVER (PARTITION BY 1 ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS v FROM {s}.s7) x WHERE n = 1"),
		sql("the catalogue's own functions", "0", "SELECT COUNT(*) FROM pg_class_info c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND pg_get_userbyid(c.relowner) = current_user AND n.nspname = 'millstream_no_such' AND CHARINDEX('__', c.relname) > 0"),
	}
}
