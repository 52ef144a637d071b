package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

// stored is what the warehouse has, as of one instant.
type stored struct {
	positions map[string]map[lake.ChainID]int64 // by target
	held      map[string]bool                   // targets that are held as a whole
	files     map[string]bool                   // held files by key; true: skipped for good
	rows      map[string]int64                  // of mirrored tables
	gone      []string                          // targets without their table
	lost      map[string]bool                   // of them, mirrors
	filling   map[string]string                 // poll whose rows are to become a mirror that is not there, by target
}

const (
	tablesAtOnce  = 40 // in one statement
	snapshotTries = 5
	skippedReason = "skipped" // of millstream.held, written by `millstream loader skip`
)

// readWarehouse reads ledger and tables in one transaction, so that positions
// and rows agree. It keeps the tables from being altered meanwhile, so one that
// loses to the loader begins again.
func (v *verifier) readWarehouse(ctx context.Context) error {
	for try := 1; ; try++ {
		err := v.snapshot(ctx)
		if err == nil {
			return nil
		}
		class := warehouse.Classify(err)
		again := class == warehouse.ClassConflict || class == warehouse.ClassRaced || class == warehouse.ClassUnknown
		if !again || try == snapshotTries || !pause(ctx, time.Duration(try)*time.Second) {
			return fmt.Errorf("read the warehouse: %w", err)
		}
	}
}

func (v *verifier) snapshot(ctx context.Context) error {
	conn, err := v.Warehouse.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() // and with it the transaction
	tables, err := existingTables(ctx, conn)
	if err != nil {
		return err
	}
	if !tables[warehouse.Schema+".positions"] {
		v.stored = &stored{}
		v.note("warehouse: no loader has been there yet")
		return nil
	}
	if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	s, err := readLedger(ctx, conn)
	if err != nil {
		return err
	}
	v.stored = s
	v.forget()
	if err := v.missing(ctx, conn, tables); err != nil {
		return err
	}
	if err := v.countTables(ctx, conn, tables); err != nil {
		return err
	}
	if err := v.countTwins(ctx, conn, tables); err != nil {
		return err
	}
	if _, err = conn.Exec(ctx, "COMMIT"); err != nil {
		return err
	}
	for _, target := range s.gone {
		if s.lost[target] {
			v.finding("%s: the mirror is gone from the warehouse; `%s` has cdc read the table anew, which brings it back", target, s.anew(target))
			continue
		}
		v.finding("%s: the table is gone from the warehouse; `millstream loader reload --target %s` makes it anew from the lake", target, target)
	}
	return nil
}

// forget drops what a snapshot that failed has left in the books.
func (v *verifier) forget() { clear(v.books.targets) }

func existingTables(ctx context.Context, conn *warehouse.Conn) (map[string]bool, error) {
	res, err := conn.Exec(ctx, "SELECT schemaname, tablename FROM pg_tables")
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, row := range res.Rows {
		out[row[0]+"."+row[1]] = true
	}
	return out, nil
}

func readLedger(ctx context.Context, conn *warehouse.Conn) (*stored, error) {
	s := &stored{positions: map[string]map[lake.ChainID]int64{}, held: map[string]bool{}, files: map[string]bool{}, rows: map[string]int64{}, lost: map[string]bool{}, filling: map[string]string{}}
	positions, err := conn.Positions(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range positions {
		if p.Target == warehouse.LowWater {
			continue
		}
		if s.positions[p.Target] == nil {
			s.positions[p.Target] = map[lake.ChainID]int64{}
		}
		s.positions[p.Target][lake.ChainID{Topic: p.Chain.Topic, Partition: p.Chain.Part}] = p.Next
	}
	held, err := conn.Held(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range held {
		if h.FileKey == warehouse.WholeTarget {
			s.held[h.Target] = true
		} else {
			s.files[h.FileKey] = h.Reason == skippedReason
		}
	}
	return s, nil
}

// targets are those that have been loaded; a mirror has changes of its own
// topic only.
func (v *verifier) targets() (events, mirrors []string) {
	for _, target := range slices.Sorted(maps.Keys(v.stored.positions)) {
		source, _, _ := strings.Cut(target, ".")
		switch {
		case !v.ofSource(source) || source == warehouse.Schema:
		case v.stored.origin(target) != "":
			mirrors = append(mirrors, target)
		default:
			events = append(events, target)
		}
	}
	return events, mirrors
}

// origin is the topic of a mirror; empty: target is none.
func (s *stored) origin(target string) string {
	for id := range s.positions[target] {
		if ofChanges(id) {
			return id.Topic
		}
	}
	return ""
}

// anew is the command that brings a mirror back.
func (s *stored) anew(target string) string {
	source, table, _ := wire.OriginOf(s.origin(target))
	return fmt.Sprintf("millstream cdc reload %s %s", source, table)
}

// missing finds the targets whose table is not there although rows were loaded
// into it. A mirror may not be there yet: while its first poll fills another
// table, or before it has a row.
func (v *verifier) missing(ctx context.Context, conn *warehouse.Conn, tables map[string]bool) error {
	there := func(target string) bool { return tables[target] }
	events, mirrors := v.targets()
	v.stored.gone = slices.DeleteFunc(events, there)
	mirrors = slices.DeleteFunc(mirrors, there)
	if len(mirrors) == 0 {
		return nil
	}
	polls, err := conn.Polls(ctx, mirrors...)
	if err != nil {
		return err
	}
	for _, p := range polls {
		if tables[p.Work] {
			v.stored.filling[p.Target] = p.ID
		}
	}
	for _, target := range mirrors {
		files, err := conn.LoadedFiles(ctx, target)
		if err != nil {
			return err
		}
		if files > 0 && v.stored.filling[target] == "" {
			v.stored.gone, v.stored.lost[target] = append(v.stored.gone, target), true
		}
	}
	return nil
}

func (v *verifier) countTables(ctx context.Context, conn *warehouse.Conn, tables map[string]bool) error {
	events, mirrors := v.targets()
	gone := func(target string) bool { return !tables[target] }
	events, mirrors = slices.DeleteFunc(events, gone), slices.DeleteFunc(mirrors, gone)
	bounds := fmt.Sprintf(`"received_at" >= %s AND "received_at" < %s`, warehouse.Time(v.o.From), warehouse.Time(v.end()))
	counts := make([]string, 0, len(events)+len(mirrors))
	for _, target := range events {
		name, err := warehouse.ParseName(target)
		if err != nil {
			return err
		}
		counts = append(counts, fmt.Sprintf(`SELECT %s, CAST("received_at" AS DATE), COUNT(*) FROM %s WHERE %s GROUP BY 1, 2`, warehouse.Literal(target), name.SQL(), bounds))
	}
	for _, target := range mirrors {
		name, err := warehouse.ParseName(target)
		if err != nil {
			return err
		}
		counts = append(counts, fmt.Sprintf(`SELECT %s, CAST(NULL AS DATE), COUNT(*) FROM %s`, warehouse.Literal(target), name.SQL()))
	}
	for part := range slices.Chunk(counts, tablesAtOnce) {
		err := eachCount(ctx, conn, strings.Join(part, "\nUNION ALL "), func(target, dt string, n int64) {
			if dt == "" {
				v.stored.rows[target] = n
				return
			}
			v.books.target(target, dt).warehouse = n
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// countTwins counts what the loader has left out, apart from what a longer
// `dedupe` than the window has. What was loaded again is named once.
func (v *verifier) countTwins(ctx context.Context, conn *warehouse.Conn, tables map[string]bool) error {
	left := fmt.Sprintf(`(SELECT DISTINCT target, id, part, offset_, received_at FROM millstream.duplicates WHERE received_at >= %s AND received_at < %s)`,
		warehouse.Time(v.o.From), warehouse.Time(v.end()))
	targets := map[string]bool{}
	err := eachCount(ctx, conn, `SELECT d.target, CAST(d.received_at AS DATE), COUNT(*) FROM `+left+` d GROUP BY 1, 2`, func(target, dt string, n int64) {
		source, _, _ := strings.Cut(target, ".")
		if v.ofSource(source) {
			targets[target] = true
			v.books.target(target, dt).twins = n
		}
	})
	for _, target := range slices.Sorted(maps.Keys(targets)) {
		if err != nil || !tables[target] {
			continue
		}
		name, bad := warehouse.ParseName(target)
		if bad != nil {
			return bad
		}
		err = eachCount(ctx, conn, v.lateSQL(left, name), func(target, dt string, n int64) {
			t := v.books.target(target, dt)
			t.twins, t.late = t.twins-n, n
		})
	}
	return err
}

// lateSQL counts what was left out of a table and has no twin within the window.
func (v *verifier) lateSQL(left string, name warehouse.Name) string {
	seconds := int64(v.Window / time.Second)
	since := warehouse.Time(v.o.From.Add(-v.Window))
	target := warehouse.Literal(name.String())
	return fmt.Sprintf(`SELECT d.target, CAST(d.received_at AS DATE), COUNT(*)
FROM %s d LEFT JOIN (SELECT "id", "received_at", "_partition" AS p, "_offset" AS o FROM %s WHERE "received_at" >= %s
  UNION ALL SELECT id, received_at, part, offset_ FROM millstream.duplicates WHERE target = %s AND received_at >= %s) t
ON t."id" = d.id AND (t.p <> d.part OR t.o <> d.offset_) AND t."received_at" BETWEEN DATEADD(second, -%d, d.received_at) AND DATEADD(second, %d, d.received_at)
WHERE d.target = %s AND t."id" IS NULL GROUP BY 1, 2`, left, name.SQL(), since, target, since, seconds, seconds, target)
}

// eachCount runs a query for a target, a day and a number.
func eachCount(ctx context.Context, conn *warehouse.Conn, query string, visit func(target, dt string, n int64)) error {
	res, err := conn.Exec(ctx, query)
	if err != nil {
		return err
	}
	for _, row := range res.Rows {
		n, err := strconv.ParseInt(row[2], 10, 64)
		if err != nil {
			return fmt.Errorf("rows of %s: %w", row[0], err)
		}
		visit(row[0], row[1], n)
	}
	return nil
}
