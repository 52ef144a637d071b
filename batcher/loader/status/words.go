package status

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/millstream-data/millstream/internal/wire"
)

// cause is a reason for which work is held: how it is recognised, what it means
// and how it is mended. Of several that fit the first counts.
type cause struct {
	reason string // the loader's; empty: any
	code   string // SQLSTATE at the beginning of Redshift's words; empty: any
	text   string // a regular expression that Redshift's words match; empty: any
	words  string
	mend   string // {target}, {schema}, {table}, {file}, {user}, {source} and {origin} stand for what is held
}

const (
	retry  = "millstream loader retry --target {target}"
	skip   = "millstream loader skip --file {file} --reason '…'"
	reload = "millstream loader reload --target {target}"
	// anew is reload for a mirror: the lake has changes, the origin has the rows.
	anew = "millstream cdc reload {source} {origin}, after which cdc reads the table anew and the loader makes the mirror of it"
	look = "Look at the file with millstream lake files --table {target}; once it is right: " + retry + ". To give it up for good: " + skip
)

// causes are tried from the top: what Redshift says of a file, what it says of
// a table, what the loader itself says.
var causes = []cause{
	{reason: "skipped", words: "somebody gave this file up; its rows are not in the table, and verify shows that ever after", mend: "nothing to do"},
	{reason: "readers", words: "somebody's session does not let go of the table: it reads it while a column is to be added, or locks or changes it", mend: "end that session: SELECT pg_terminate_backend(PID) with its number; the load then goes on by itself"},

	{reason: "denied", words: "Redshift's COPY role may not read the lake's files in S3, so nothing of the table is loaded; nothing is lost, and it goes on by itself once the role may", mend: "let warehouse.copy_role s3:GetObject and s3:ListBucket on bucket and prefix (and kms:Decrypt on the bucket's key), attach it to the cluster, and look for a policy that denies it; millstream check tries it"},

	{reason: "exists", words: "a table or column of the name is there already, but the catalogue does not show it to the loader's user: it belongs to somebody else", mend: `GRANT ALL ON "{schema}"."{table}" TO "{user}", or rename that table; then: ` + retry},
	{reason: "unknown", words: "the connection ends each time that this is loaded: Redshift stumbles over it, or something between cuts a long statement", mend: look},
	{reason: "raced", words: "the ledger is never where a load of the table begins, as if somebody else moved it", mend: "see that nobody writes millstream.positions; then: " + retry},

	{code: "42501", text: "schema", words: "the loader's user may not work in the schema", mend: `GRANT ALL ON SCHEMA "{schema}" TO "{user}"; then: ` + retry},
	{code: "42501", text: "must be owner", words: "the table belongs to somebody else, and only its owner may add columns", mend: `ALTER TABLE "{schema}"."{table}" OWNER TO "{user}"; then: ` + retry},
	{code: "42501", words: "the loader's user may not write the table", mend: `GRANT ALL ON "{schema}"."{table}" TO "{user}"; then: ` + retry},
	{reason: "dropped", words: "the table was there and is gone; its rows are still in the lake", mend: reload},
	{text: `ALTER VIEW|is not a table|is a view`, words: "a view has the name that the table is to have", mend: `rename or drop the view: DROP VIEW "{schema}"."{table}"; then: ` + retry},
	{code: "42P01", words: "the table, or one that a view of it needs, is gone", mend: reload},
	{code: "54011", words: "the table has as many columns as Redshift allows (1,600)", mend: "drop columns that nobody needs (ALTER TABLE {target} DROP COLUMN …), then: " + retry},
	{code: "2BP01", words: "a view or another object depends on the table as it is", mend: "drop that object, or create it anew WITH NO SCHEMA BINDING; then: " + retry},
	{code: "23502", words: "somebody made a column NOT NULL, and there are rows without a value for it", mend: "Redshift does not take NOT NULL back; load the table anew: " + reload},
	{code: "22001", words: "a value is longer than its column, which could not be widened", mend: `ALTER TABLE "{schema}"."{table}" ALTER COLUMN … TYPE VARCHAR(65535), without the encodings bytedict, runlength, text255 or text32k; then: ` + retry},
	{code: "22003", words: "a number does not fit into its column, which somebody has retyped", mend: reload},
	{code: "0A000", text: "ALTER COLUMN|encoding", words: "a column cannot be widened as it is encoded (bytedict, runlength, text255, text32k)", mend: reload},
	{code: "0A000", words: "Redshift does not support what the load needs of this table", mend: reload},
	{code: "25006", words: "the database is read-only, as a datashare's or a paused cluster's is", mend: "let the loader's user write again; then: " + retry},
	{code: "53100", words: "the cluster's disks are full", mend: "free space or enlarge the cluster; then: " + retry},

	{code: "XX000", text: `\b1202\b`, words: "a line of the file has more columns than the table", mend: look},
	{code: "XX000", text: `\b1204\b`, words: "a value is longer than its column in the staging table: the commit says less than the file holds", mend: look},
	{code: "XX000", text: `\b1216\b`, words: "the file is damaged: a line ends too early or is no UTF-8", mend: look},
	{code: "XX000", text: `\b15003\b|does not have 'meta'`, words: "the manifest lacks the size of a file; no loader of this version writes such ones", mend: retry},
	{code: "XX000", text: `\b15001\b.*(416|InvalidRange)|InvalidRange`, words: "the file in S3 has another size than its commit says: it was overwritten or cut", mend: "restore the object's first version in S3; then: " + retry + ". To give it up for good: " + skip},
	{code: "XX000", text: `NoSuchKey|\b404\b|key does not exist`, words: "the file that a commit names is gone from S3", mend: "restore it from the bucket's versions; then: " + retry + ". To give it up for good: " + skip},
	{code: "XX000", text: `AccessDenied|\b403\b`, words: "Redshift's role may not read the file", mend: "let warehouse.copy_role s3:GetObject and s3:ListBucket on the lake; then: " + retry},
	{code: "XX000", text: `longer than the length`, words: "a value is longer than its column in the staging table: the commit says less than the file holds", mend: look},
	{code: "XX000", text: `\b15001\b`, words: "Redshift Spectrum could not read the file", mend: look},
	{code: "XX000", text: `\b15007\b.*number of columns|Unmatched number of columns`, words: "the file has another number of columns than its commit says", mend: look},
	{code: "XX000", text: `\b15007\b|incompatible Parquet schema`, words: "a column of the file has another type than its commit says", mend: look},
	{code: "XX000", text: `\b1023\b`, words: "other transactions keep writing the table at the same time", mend: "nothing of the loader's writes it twice; find who else does, then: " + retry},
	{code: "XX000", text: `[Aa]ssert`, words: "Redshift stumbled over the file or the statement (an internal error)", mend: retry + "; if it comes again, open a case with AWS and quote the words"},
	{code: "XX000", words: "Redshift names an internal error", mend: retry + "; if it comes again, open a case with AWS and quote the words"},

	{reason: "columns", words: "a column of the table cannot take every value that comes: somebody retyped it, or the source did", mend: "give the column the type that the words name, or load the table anew: " + reload},
	{reason: "retyped", words: "the origin gave a column another type; a full refresh makes the table anew with it", mend: "have cdc refresh the table (a full or replace strategy does at its next poll); then: " + retry},
	{reason: "no_key", words: "the lake's schema of this mirror names no key, so changes cannot be applied", mend: "name the key in cdc (key: of the table), then: " + retry},
	{reason: "ledger", words: "the source is called millstream, like the schema of the ledger", mend: "give the source another name; its files stay in the lake"},
	{reason: "count", words: "COPY brought another number of rows than the commit says", mend: look},
	{reason: "file", words: "COPY refuses the file", mend: look},
	{reason: "catch_up", words: "nothing is wrong: it was mended and is being loaded, portion by portion", mend: "wait"},
	{reason: "behind", words: "further chains of a held target keep their place", mend: retry},
	{reason: "too_long", words: "a value is longer than its column, which could not be widened", mend: `ALTER TABLE "{schema}"."{table}" ALTER COLUMN … TYPE VARCHAR(65535); then: ` + retry},
	{reason: "slow", words: "one file alone takes longer than warehouse.statement_timeout", mend: "raise warehouse.statement_timeout or the cluster's size; then: " + retry},
	{reason: "target", words: "Redshift refuses what the load does to the table", mend: "see Redshift's words; then: " + retry},
}

// unknown is what is said of a reason without words.
var unknown = cause{words: "Redshift refuses the load", mend: "see Redshift's words; then: " + retry}

// explain finds the words for held work. said is what millstream.held has under
// error.
func explain(reason, said string) cause {
	for _, c := range causes {
		fits, _ := regexp.MatchString(c.text, said) // TestEveryPatternCompiles
		if fits && (c.reason == "" || c.reason == reason) && strings.HasPrefix(said, c.code) {
			return c
		}
	}
	return unknown
}

// fill puts what is held into the words that mend it.
func (c cause) fill(h Held, user string) string {
	schema, table, _ := strings.Cut(h.Target, ".")
	mend := c.mend
	source, origin, mirror := wire.OriginOf(h.topic)
	if mirror {
		mend = strings.ReplaceAll(mend, reload, anew)
	}
	file := cmp.Or(h.File, "KEY")
	return strings.NewReplacer("{target}", h.Target, "{schema}", schema, "{table}", table, "{file}", file, "{user}", user, "{source}", source, "{origin}", origin).Replace(mend)
}
