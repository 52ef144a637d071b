package warehouse

import (
	"fmt"
	"strings"
	"time"
)

// Staging is a temporary table with the columns of files that share a
// fingerprint, in file order: COPY maps Parquet by position.
type Staging struct {
	Name    string
	Columns []Column
	Dist    []string // its DISTKEY if it is one column, as the target's
	Sort    []string
}

// Create returns the statement that creates the table. It dies with the
// session, so that a crash leaves nothing.
func (s Staging) Create() string {
	cols := join(s.Columns, ", ", func(c Column) string {
		return Ident(c.Name) + " " + s.columnType(c).SQL()
	})
	out := fmt.Sprintf("CREATE TEMP TABLE %s (%s)", Ident(s.Name), cols)
	if len(s.Dist) == 1 {
		out += " DISTKEY (" + Ident(s.Dist[0]) + ")"
	}
	if len(s.Sort) > 0 {
		out += " SORTKEY (" + idents(s.Sort) + ")"
	}
	return out
}

// columnType is as wide as the target, or as the longest value where the
// target has no width.
func (s Staging) columnType(c Column) Type {
	width := classFor(c.Longest)
	if c.Type.Kind == Varchar {
		width = max(c.Type.Width, width)
	}
	return StagingType(c.Lake, width)
}

// Drop returns the statement that drops the table.
func (s Staging) Drop() string { return "DROP TABLE " + Ident(s.Name) }

// has says whether the files have a column.
func (s Staging) has(name string) bool {
	for _, c := range s.Columns {
		if c.Name == name {
			return true
		}
	}
	return false
}

// LastCopyCount asks for the rows of the session's last COPY: its command tag
// is not trusted.
const LastCopyCount = "SELECT pg_last_copy_count()"

// Copy returns the statement that copies the files of a manifest into a
// staging table. Keys of objects cannot be escaped safely, so odd ones are
// refused.
func (c Config) Copy(staging, bucket, manifest string) (string, error) {
	if strings.ContainsAny(bucket+manifest, "'\"\\\x00") {
		return "", fmt.Errorf("manifest %q: COPY takes no key with a quote or a backslash", manifest)
	}
	role := "default"
	if c.CopyRole != "default" {
		role = Literal(c.CopyRole)
	}
	return fmt.Sprintf("COPY %s FROM 's3://%s/%s'\nIAM_ROLE %s FORMAT AS PARQUET MANIFEST STATUPDATE OFF", Ident(staging), bucket, manifest, role), nil
}

// Insert says how staged events go into their target.
type Insert struct {
	Target  Name
	Staging Staging
	Since   time.Time     // received_at of the oldest staged row
	Window  time.Duration // two rows of one id within it are one; 0: all rows are inserted
}

// SQL returns the statement. Columns are matched by name. An anti-join, not
// delete and insert: events are immutable and leave no dead rows. The constant
// bound lets the sort key skip blocks; the window holds for each row.
func (in Insert) SQL() string {
	var b strings.Builder
	names := make([]string, len(in.Staging.Columns))
	exprs := make([]string, len(in.Staging.Columns))
	for i, c := range in.Staging.Columns {
		names[i], exprs[i] = c.Name, expr("s."+Ident(c.Name), c.Lake, c.Type)
	}
	fmt.Fprintf(&b, "INSERT INTO %s (%s)\nSELECT %s\n", in.Target.SQL(), idents(names), strings.Join(exprs, ", "))
	if in.Window == 0 {
		fmt.Fprintf(&b, "FROM %s s", Ident(in.Staging.Name))
		return b.String()
	}
	seconds := int64(in.Window / time.Second)
	fmt.Fprintf(&b, `FROM (SELECT *, LAG("received_at") OVER (PARTITION BY "id" ORDER BY "received_at", "_partition", "_offset") AS "_prev" FROM %s) s`+"\n", Ident(in.Staging.Name))
	fmt.Fprintf(&b, `LEFT JOIN %s t ON t."id" = s."id" AND t."received_at" >= %s`+"\n", in.Target.SQL(), Time(in.Since.Add(-in.Window)))
	fmt.Fprintf(&b, `  AND t."received_at" BETWEEN DATEADD(second, -%[1]d, s."received_at") AND DATEADD(second, %[1]d, s."received_at")`+"\n", seconds)
	fmt.Fprintf(&b, `WHERE t."id" IS NULL AND (s."_prev" IS NULL OR s."_prev" < DATEADD(second, -%d, s."received_at"))`, seconds)
	return b.String()
}

// Duplicates returns the statement that names what SQL left out: staged rows
// that the target lacks.
func (in Insert) Duplicates(loadID string) string {
	return fmt.Sprintf(`INSERT INTO millstream.duplicates (target, id, part, offset_, received_at, load_id)
SELECT %s, s."id", s."_partition", s."_offset", s."received_at", %s
FROM %s s LEFT JOIN %s t ON t."id" = s."id" AND t."_partition" = s."_partition" AND t."_offset" = s."_offset" AND t."received_at" >= %s
WHERE t."id" IS NULL`, Literal(in.Target.String()), Literal(loadID), Ident(in.Staging.Name), in.Target.SQL(), Time(in.Since))
}
