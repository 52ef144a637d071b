//go:build cgo

package upload

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/testkit/golden"
	"github.com/millstream-data/millstream/internal/testkit/warehousetest"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

// kit is an uploader to a warehouse of its own.
type kit struct {
	t      *testing.T
	up     *Uploader
	server *redshift.Server
	conn   *warehouse.Conn
	sent   []string
}

func setup(t *testing.T) *kit {
	t.Helper()
	_, l := testkit.Lake(t)
	k := &kit{t: t, server: warehousetest.Server(t, l.Store, nil)}
	client := warehousetest.Client(t, k.server)
	conn, err := client.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	k.conn = conn
	traced := warehousetest.Client(t, k.server)
	traced.Trace = func(s string) { k.sent = append(k.sent, s) }
	k.up = &Uploader{Config: DefaultConfig(), Lake: l, Warehouse: traced, GateWait: time.Minute}
	return k
}

// upload uploads a text as a table.
func (k *kit) upload(table, csv string, change ...func(*Options)) (*Summary, error) {
	k.t.Helper()
	o := Options{File: filepath.Join(k.t.TempDir(), "file.csv"), Table: table}
	if err := os.WriteFile(o.File, []byte(csv), 0o600); err != nil {
		k.t.Fatal(err)
	}
	for _, f := range change {
		f(&o)
	}
	return k.up.Upload(k.t.Context(), o)
}

func (k *kit) query(sql string) string {
	k.t.Helper()
	res, err := k.conn.Exec(k.t.Context(), sql)
	if err != nil {
		k.t.Fatal(err)
	}
	var out []string
	for _, row := range res.Rows {
		out = append(out, strings.Join(row, "|"))
	}
	return strings.Join(out, " ; ")
}

// left fails the test if the upload has left objects or tables behind.
func (k *kit) left(tables string) {
	k.t.Helper()
	keys, err := k.up.Lake.Store.List(k.t.Context(), k.up.Lake.Paths.Uploads(), "", 0)
	if err != nil || len(keys) > 0 {
		k.t.Errorf("objects left: %v, %v", keys, err)
	}
	if got := k.query("SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'uploads' ORDER BY 1"); got != tables {
		k.t.Errorf("tables: %s, want %s", got, tables)
	}
}

const spend = "\ufeffDay;Campaign Name;Spend;Clicks;Postcode;Active;At;Note\r\n" +
	"2026-11-20;\"Autumn; sale\";12.5;100;00123;true;2026-11-20 06:15;\"two\r\nlines\"\r\n" +
	"2026-11-21;\"He said \"\"hi\"\"\";7.125;12345678901;99999;FALSE;2026-11-21T06:15:02.113456+01:00;\r\n"

func TestUploadReplacesTheTable(t *testing.T) {
	t.Parallel()
	k := setup(t)
	sum, err := k.upload("marketing_spend", spend)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for i, c := range sum.Columns {
		types = append(types, c.Name+" "+sum.Types[i].SQL())
	}
	want := "day DATE, campaign_name VARCHAR(64), spend NUMERIC(38,3), clicks BIGINT, postcode VARCHAR(64), active BOOLEAN, at TIMESTAMP, note VARCHAR(64)"
	if got := strings.Join(types, ", "); got != want || sum.Rows != 2 || sum.Delimiter != ';' {
		t.Errorf("%s; %d rows, delimiter %c; want %s", got, sum.Rows, sum.Delimiter, want)
	}
	got := k.query("SELECT day, campaign_name, spend, clicks, postcode, active, at, REPLACE(note, CHR(10), '/') FROM uploads.marketing_spend ORDER BY day")
	if want := `2026-11-20|Autumn; sale|12.500|100|00123|t|2026-11-20 06:15:00|two/lines ; 2026-11-21|He said "hi"|7.125|12345678901|99999|f|2026-11-21 05:15:02.113456|`; got != want {
		t.Errorf("rows %s\nwant %s", got, want)
	}
	if _, err := k.upload("marketing_spend", "day,spend\n2026-11-22,1\n"); err != nil {
		t.Fatal(err)
	}
	if got := k.query("SELECT * FROM uploads.marketing_spend"); got != "2026-11-22|1" {
		t.Errorf("after the second upload: %s", got)
	}
	if got := k.query("SELECT target, kind, rows_staged, rows_inserted, files FROM millstream.loads ORDER BY committed_at, rows_staged DESC"); got != "uploads.marketing_spend|upload|2|2|1 ; uploads.marketing_spend|upload|1|1|1" {
		t.Errorf("history: %s", got)
	}
	k.left("marketing_spend")
}

func TestUploadAppendsByName(t *testing.T) {
	t.Parallel()
	k := setup(t)
	add := func(o *Options) { o.Append = true }
	if _, err := k.upload("codes", "code,name,price\n00123,a,1.50\n", add); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("append to nothing: %v", err)
	}
	if _, err := k.upload("codes", "code,name,price\n00123,a,1.50\n"); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 300)
	sum, err := k.upload("codes", "price,code\n2,45678\n,"+long+"\n", add)
	if err != nil || sum.Rows != 2 {
		t.Fatal(err)
	}
	if got := k.query("SELECT LEFT(code, 8), name, price FROM uploads.codes ORDER BY 1"); got != "00123|a|1.50 ; 45678||2.00 ; xxxxxxxx||" {
		t.Errorf("rows: %s", got)
	}
	for csv, want := range map[string]string{
		"code,namo\n1,2\n": "uploads.codes has no column namo; did you mean name?", "price\nx\n": `line 2: column price: "x" does not fit decimal(38,2)`, "price\n1.555\n": `line 2: column price: "1.555" does not fit`,
	} {
		if _, err := k.upload("codes", csv, add); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", csv, err, want)
		}
	}
	k.left("codes")
}

func TestUploadTypes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, values string // of a column, with blanks between
		want         wire.LakeType
	}{
		{"integers", "1 -2 0 -0", wire.Int64},
		{"the largest integer", "9223372036854775807 -9223372036854775808", wire.Int64},
		{"beyond int64", "9223372036854775808", wire.Decimal(38, 0)},
		{"38 digits", strings.Repeat("9", 38), wire.Decimal(38, 0)},
		{"39 digits", strings.Repeat("9", 39), wire.String},
		{"decimals: most places", "1.5 2 -0.125 .5", wire.Decimal(38, 3)},
		{"nine places", "0.123456789", wire.Decimal(38, 9)},
		{"ten places", "0.1234567891", wire.Float64},
		{"digits and places beyond 38", strings.Repeat("9", 37) + ".25", wire.String},
		{"an exponent", "1e5 2", wire.Float64},
		{"beyond a float", "1e999", wire.String},
		{"leading zeros", "00123 45678", wire.String},
		{"a leading zero in a fraction", "00.5", wire.String},
		{"a point without digits", "5.", wire.String},
		{"plus", "+4915112345", wire.String},
		{"thousands", "1,234", wire.String},
		{"hexadecimal", "0x1F", wire.String},
		{"NaN", "NaN", wire.String},
		{"bool", "true FALSE True", wire.Bool},
		{"yes and no", "yes no", wire.String},
		{"dates", "2026-11-21 0001-01-01", wire.Date},
		{"no such day", "2026-02-30", wire.String},
		{"other dates", "21.11.2026 11/21/2026", wire.String},
		{"timestamps", "2026-11-21T06:15 2026-11-21T06:15:02Z 2026-11-21T06:15:02.123456+0100", wire.Timestamp},
		{"dates and timestamps", "2026-11-21 2026-11-21T06:15", wire.Timestamp},
		{"finer than a microsecond", "2026-11-21T06:15:02.1234567Z", wire.String},
		{"numbers and text", "1 2 n/a", wire.String},
		{"numbers and dates", "1 2026-11-21", wire.String},
		{"nothing", "", wire.String},
	} {
		path := filepath.Join(t.TempDir(), "f.csv")
		text := "c\tother\n"
		for v := range strings.SplitSeq(c.values, " ") {
			text += v + "\tx\n"
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openSource(path, '\t', 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		table, err := scan(s, Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := table.Columns[0].Type; got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestUploadMistakesNameTheLine(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.up.Config.MaxBytes = 20 * config.MiB
	for _, c := range []struct{ name, csv, want string }{
		{"too few fields", "a,b\n1,2\n\n3\n", "line 4: fields: 1, in the header: 2"},
		{"too many fields", "a,b\n\"1\n\",2\n1,2,3\n", "line 4: fields: 3"},
		{"not UTF-8", "a,b\n1,2\nM\xfcller,2\n", "line 3: field 1 (character 1) is not UTF-8: save the file as UTF-8"},
		{"NUL", "a,b\n1,\x00\n", "line 2: field 2 (character 3) holds a NUL"},
		{"a quote within", "a,b\n1,x\"y\n", "line 2: a quote stands within a field"},
		{"a quote that is not closed", "a,b\n1,2\n\"x,3\n4,5\n", "line 3: a quote that opens in this record"},
		{"a quote that is not closed for megabytes", "a,b\n1,2\n\"x,3\n" + strings.Repeat(strings.Repeat("4,", 2047)+"5\n", 17<<8), "line 3: the record that begins here has more than 16 MiB: is a quote not closed?"},
		{"empty", "", "is empty: its first line must hold the names"},
		{"blank", "\n\n", "is empty"},
		{"data for a header", "1,2\n3,4\n", `line 1: begins with "1", which is data`},
		{"a column without a name", "a,,c\n1,2,3\n", "line 1: column 2 has no name"},
		{"names that meet", "Total,b,total\n1,2,3\n", "line 1: columns 1 (Total) and 3 (total) would both be total: rename one"},
		{"line ends of CR", "a,\"b\r\n\"\r1,2\r3,4\r", "line 1: ends with CR alone"},
		{"UTF-16", "\xff\xfea\x00", `is UTF-16: save it as "CSV UTF-8"`},
		{"a workbook", "PK\x03\x04....", "export the sheet as CSV"},
		{"a damaged archive", "\x1f\x8b\x08\x00", "unpack"},
		{"too large", strings.Repeat("a,b\n", 6<<20), "uploads.max_bytes"},
		{"a text that no VARCHAR takes", "a,b\n1," + strings.Repeat("x", 70_000) + "\n", "column b has a text of 70000 bytes"},
	} {
		if _, err := k.upload("bad", c.csv); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	typed := func(o *Options) { o.Types = map[string]wire.LakeType{"Spend": wire.Decimal(18, 2)} }
	if _, err := k.upload("bad", "a,spend\n1,2.345\n", typed); err == nil || !strings.Contains(err.Error(), "--type Spend: the file has no such column; did you mean spend?") {
		t.Errorf("a type for no column: %v", err)
	}
	if _, err := k.upload("bad", "a,Spend\n1,2.345\n", typed); err == nil || !strings.Contains(err.Error(), `line 2: column spend: "2.345" does not fit decimal(18,2); --type spend=string takes anything`) {
		t.Errorf("a value that does not fit: %v", err)
	}
	for table, want := range map[string]string{"Marketing Spend": "--as marketing_spend would do", "user": "--as _user would do", "x__new": "--as x_new would do"} {
		if _, err := k.upload(table, "a\nx\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--as %s: %v, want %q", table, err, want)
		}
	}
	k.left("")
}

func TestUploadOddFiles(t *testing.T) {
	t.Parallel()
	k := setup(t)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte("a|b\n1|2\n"))
	_ = z.Close()
	for _, c := range []struct {
		name, csv, sql, want string
		change               func(*Options)
	}{
		{"gzip, a guessed delimiter", packed.String(), "SELECT * FROM uploads.odd", "1|2", nil},
		{"no rows", "a,b\n", "SELECT COUNT(*), COUNT(a) FROM uploads.odd", "0|0", nil},
		{"an empty line of one column", "a\nx\n\ny\n", "SELECT COUNT(*), COUNT(a) FROM uploads.odd", "3|2", nil},
		{"no line break at the end", "a,b\n1,2", "SELECT * FROM uploads.odd", "1|2", nil},
		{"nulls by name", "a,b\nNA,x\n1,\n", "SELECT a, b IS NULL FROM uploads.odd ORDER BY a", "1|f ; |f", func(o *Options) { o.Nulls = []string{"NA"} }},
		{"standard input", "", "SELECT * FROM uploads.odd", "5|6", func(o *Options) { o.File, o.Stdin = "-", strings.NewReader("a,b\n5,6\n") }},
		{"reserved words and digits", "select,2024,Größe\nx,y,z\n", "SELECT column_name FROM svv_columns WHERE table_schema = 'uploads' AND table_name = 'odd' AND column_name IN ('_2024', '_select') ORDER BY 1", "_2024 ; _select", nil},
	} {
		if _, err := k.upload("odd", c.csv, func(o *Options) {
			if c.change != nil {
				c.change(o)
			}
		}); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := k.query(c.sql); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	k.left("odd")
}

// TestUploadCutAnywhereShowsAllOrNothing cuts the connection around the
// statements of the last transaction, and with MILLSTREAM_TEST_LONG around each
// that changes something.
func TestUploadCutAnywhereShowsAllOrNothing(t *testing.T) {
	t.Parallel()
	k := setup(t)
	if _, err := k.upload("t", "a\nold\n"); err != nil {
		t.Fatal(err)
	}
	k.sent = nil
	if _, err := k.upload("t", "a\nold\n"); err != nil {
		t.Fatal(err)
	}
	statements, shown := k.sent, "old"
	for i, st := range statements {
		if strings.HasPrefix(st, "SELECT") || strings.HasPrefix(st, "SET") || strings.Contains(st, "IF NOT EXISTS") {
			continue
		}
		late := i > slices.Index(statements, "LOCK TABLE millstream.gate")
		if !late && os.Getenv("MILLSTREAM_TEST_LONG") == "" {
			continue
		}
		head := st[:min(12, len(st))] // ids follow
		for _, action := range []redshift.FaultAction{redshift.CutBefore, redshift.CutAfter} {
			if action == redshift.CutBefore && st != "COMMIT" {
				continue // as after the one before
			}
			struck := k.server.Faults().Struck()
			k.server.Faults().Inject(redshift.Fault{Match: head, Action: action, Skip: like(head, statements[:i])})
			fresh := fmt.Sprintf("new%d%s", i, action)
			_, err := k.upload("t", "a\n"+fresh+"\n")
			k.server.Faults().Clear()
			if k.server.Faults().Struck() == struck {
				t.Errorf("%s %s: it was not sent", action, st)
			}
			got := k.query("SELECT a FROM uploads.t")
			if err == nil && got != fresh || got != fresh && got != shown {
				t.Errorf("%s %s: shows %q, error %v", action, st, got, err)
			}
			shown = got
		}
	}
	if _, err := k.upload("t", "a\nold\n"); err != nil {
		t.Error(err)
	}
	k.left("t")
}

// like counts the statements that a fault for head would strike.
func like(head string, statements []string) (n int) {
	for _, s := range statements {
		if strings.Contains(strings.ToLower(strings.Join(strings.Fields(s), " ")), strings.ToLower(head)) {
			n++
		}
	}
	return n
}

// TestUploadStreams reads 6 MiB, or with MILLSTREAM_TEST_LONG 5 GiB, in bounded
// memory. It runs alone.
func TestUploadStreams(t *testing.T) {
	size, most := int64(6<<20), uint64(96<<20)
	if os.Getenv("MILLSTREAM_TEST_LONG") != "" {
		size, most = 5<<30-1<<20, 256<<20
	}
	path := filepath.Join(t.TempDir(), "large.csv.gz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z, _ := gzip.NewWriterLevel(f, gzip.BestSpeed)
	var block bytes.Buffer
	for i := range 300 {
		fmt.Fprintf(&block, "%d,2026-11-21,%d.%02d,campaign number %d,\"a text, with a comma\"\n", i, i*7, i%100, i%13)
	}
	written, _ := fmt.Fprint(z, "id,day,spend,campaign,note\n")
	rows := int64(0)
	for n := int64(written); n < size; n += int64(block.Len()) {
		_, _ = z.Write(block.Bytes())
		rows += 300
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	_, l := testkit.Lake(t)
	var peak uint64
	looked := time.Now()
	look := func(int64) {
		if time.Since(looked) < 20*time.Millisecond {
			return
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak, looked = max(peak, m.HeapInuse), time.Now()
	}
	s, err := openSource(path, 0, 5<<30)
	if err != nil {
		t.Fatal(err)
	}
	table, err := scan(s, Options{}, look)
	if err != nil || table.Rows != rows {
		t.Fatalf("%v rows, want %d: %v", table, rows, err)
	}
	parts, err := write(t.Context(), s, table, Options{}, l.Store, func(n int) string { return l.Paths.Upload("uploads.large", "id", n) }, look)
	if err != nil || len(parts) == 0 {
		t.Fatalf("%d parts: %v", len(parts), err)
	}
	if peak > most {
		t.Errorf("%d MiB of memory for %d MiB, want at most %d", peak>>20, size>>20, most>>20)
	}
	t.Logf("%d rows, %d parts, %d MiB of memory", rows, len(parts), peak>>20)
}

func TestUploadSaysWhyNumbersAreText(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"1.234,56": "decimal comma", "n/a": `"n/a" in line 3`, "some words": `"some words"`, "-Infinity": "--null -Infinity makes it null", strings.Repeat("9", 40): "40 before the point"} {
		path := filepath.Join(t.TempDir(), "f.csv")
		if err := os.WriteFile(path, []byte("c;d\n1;2\n"+value+";2\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openSource(path, 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		table, err := scan(s, Options{}, nil)
		if err != nil || !strings.Contains(table.Columns[0].Note, want) {
			t.Errorf("%s: %v, %q", value, err, table.Columns[0].Note)
		}
	}
}

func TestUploadTypeFlags(t *testing.T) {
	t.Parallel()
	var o Options
	for arg, want := range map[string]wire.LakeType{"a=decimal(18, 2)": wire.Decimal(18, 2), "b=text": wire.String, "c=BIGINT": wire.Int64, "d=timestamp": wire.Timestamp, "e=numeric(9,1)": wire.Decimal(9, 1)} {
		if err := o.SetType(arg); err != nil || o.Types[arg[:1]] != want {
			t.Errorf("%s: %s, %v", arg, o.Types[arg[:1]], err)
		}
	}
	for _, arg := range []string{"a", "=int64", "a=money", "a=bytes"} {
		if err := o.SetType(arg); err == nil {
			t.Errorf("%s is taken", arg)
		}
	}
}

var (
	ulids   = regexp.MustCompile(`[0-9][0-9abcdefghjkmnpqrstvwxyz]{25}`)
	moments = regexp.MustCompile(`'2[0-9]{3}-[0-9-]+ [0-9:.]+'`)
	sizes   = regexp.MustCompile(`'upload', 0, 0, 1, [0-9]+`)
)

func TestUploadTranscriptGolden(t *testing.T) {
	t.Parallel()
	k := setup(t)
	const csv = "day,campaign,spend\n2026-11-21,Autumn,12.50\n"
	if _, err := k.upload("marketing_spend", csv); err != nil {
		t.Fatal(err)
	}
	k.sent = nil
	if _, err := k.upload("marketing_spend", csv); err != nil {
		t.Fatal(err)
	}
	var sent []string
	for _, s := range k.sent {
		if !strings.Contains(s, "IF NOT EXISTS millstream") && !strings.Contains(s, "pg_views") {
			sent = append(sent, s)
		}
	}
	text := ulids.ReplaceAllString(strings.Join(sent, ";\n")+";\n", "01jd3x9k2m7q8r5t6v0w1y0001")
	text = sizes.ReplaceAllString(moments.ReplaceAllString(text, "'2026-11-21 06:15:30.000'"), "'upload', 0, 0, 1, 4711")
	golden.Equal(t, filepath.Join("testdata", "transcripts", "upload.sql"), []byte(text))
}
