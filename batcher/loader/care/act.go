package care

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// sampleRows is how many rows ANALYZE COMPRESSION is shown.
const sampleRows = 1_000_000

// do does an act within left and says what it changed.
func (k *Keeper) do(ctx context.Context, conn *warehouse.Conn, t Tenure, td Todo, left time.Duration) (before, after string, err error) {
	switch td.Act {
	case Trim:
		after, err = k.trim(ctx, conn, t)
		return "", after, err
	case Drop:
		return "", "gone", within(ctx, conn, min(left, quickly), "DROP TABLE "+td.Name.SQL())
	case Compress:
		return k.compress(ctx, conn, td, left)
	case VacuumDelete, VacuumSort, Distribute, Analyze:
	}
	if td.Act == Distribute {
		left = min(left, quickly)
	}
	before = figure(td.Act, td.Table.TableInfo)
	if err := within(ctx, conn, left, statement(td)); err != nil {
		return before, "", err
	}
	infos, err := conn.TableInfos(ctx, []string{td.Name.Schema})
	if err != nil {
		return before, "", err
	}
	return before, figure(td.Act, infos[td.Name]), nil
}

// statement is the SQL of the acts that are one statement.
func statement(td Todo) string {
	name := td.Name.SQL()
	switch td.Act {
	case VacuumDelete:
		return "VACUUM DELETE ONLY " + name
	case VacuumSort:
		return "VACUUM SORT ONLY " + name + " TO 95 PERCENT"
	case Analyze:
		return "ANALYZE " + name + " PREDICATE COLUMNS"
	case Distribute:
		switch {
		case td.Table.DistStyle != "ALL":
			return "ALTER TABLE " + name + " ALTER DISTSTYLE ALL"
		case td.Table.DistKey != "":
			return "ALTER TABLE " + name + " ALTER DISTSTYLE KEY DISTKEY " + warehouse.Ident(td.Table.DistKey)
		}
		return "ALTER TABLE " + name + " ALTER DISTSTYLE EVEN"
	case Trim, Drop, Compress:
	}
	panic("BUG: " + string(td.Act) + " is not one statement")
}

// figure is what an act is to change.
func figure(act Act, t warehouse.TableInfo) string {
	switch act {
	case VacuumDelete:
		return fmt.Sprintf("%.0f %% dead", t.Dead())
	case VacuumSort:
		return fmt.Sprintf("%.0f %% unsorted", max(0, t.Unsorted))
	case Analyze:
		return fmt.Sprintf("statistics %.0f %% off", max(0, t.StatsOff))
	case Distribute:
		return t.DistStyle
	case Trim, Drop, Compress:
	}
	return ""
}

// within sends a statement that may take left.
func within(ctx context.Context, conn *warehouse.Conn, left time.Duration, statement string) error {
	if err := conn.SetTimeout(ctx, left); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, statement)
	return err
}

// trim removes the ledger's old history, in a transaction like every other that
// writes the ledger.
func (k *Keeper) trim(ctx context.Context, conn *warehouse.Conn, t Tenure) (after string, err error) {
	var gone []string
	err = t.Gated(ctx, conn, func() error {
		for i, st := range warehouse.TrimLedger(k.keep) {
			res, err := conn.Exec(ctx, st)
			if err != nil {
				return err
			}
			gone = append(gone, fmt.Sprintf("%d %s", res.Affected, []string{"loads", "duplicates", "maintenance"}[i]))
		}
		return nil
	})
	return strings.Join(gone, ", ") + " removed", err
}

// compress shows Redshift a sample of the table and gives columns the encodings
// that it proposes, where that saves enough.
func (k *Keeper) compress(ctx context.Context, conn *warehouse.Conn, td Todo, left time.Duration) (before, after string, err error) {
	ends := time.Now().Add(left)
	before = fmt.Sprintf("%d MB", td.Table.MB)
	columns, err := k.propose(ctx, conn, td.Name, left)
	if err != nil {
		return before, "", err
	}
	var changed []string
	for _, c := range recode(columns) {
		alter := fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s ENCODE %s", td.Name.SQL(), warehouse.Ident(c.Name), c.Encoding)
		if err := within(ctx, conn, max(time.Second, time.Until(ends)), alter); err != nil {
			return before, "", err
		}
		changed = append(changed, fmt.Sprintf("%s %s instead of %s", c.Name, c.Encoding, c.StoredColumn.Encoding))
	}
	if len(changed) == 0 {
		return before, "encodings are right", nil
	}
	infos, err := conn.TableInfos(ctx, []string{td.Name.Schema})
	return before, fmt.Sprintf("%d MB: %s", infos[td.Name].MB, strings.Join(changed, ", ")), err
}

// propose asks for encodings on a temporary sample: asking on the table would
// lock it.
func (k *Keeper) propose(ctx context.Context, conn *warehouse.Conn, n warehouse.Name, left time.Duration) ([]advice, error) {
	stored, err := conn.StoredColumns(ctx, n)
	if err != nil {
		return nil, err
	}
	const sample = `"millstream_sample"`
	for _, st := range []string{
		"DROP TABLE IF EXISTS " + sample,
		fmt.Sprintf("CREATE TEMP TABLE %s (LIKE %s)", sample, n.SQL()),
		fmt.Sprintf("INSERT INTO %s SELECT * FROM %s LIMIT %d", sample, n.SQL(), sampleRows),
	} {
		if err := within(ctx, conn, left, st); err != nil {
			return nil, err
		}
	}
	said, err := conn.Exec(ctx, "ANALYZE COMPRESSION "+sample)
	if err != nil {
		return nil, err
	}
	out, err := widths(ctx, conn, sample, stored)
	if err != nil {
		return nil, err
	}
	for _, row := range said.Rows { // Table, Column, Encoding, Est_reduction_pct
		for i := range out {
			if len(row) < 4 || out[i].Name != row[1] {
				continue
			}
			out[i].Encoding = row[2]
			if out[i].Saves, err = strconv.ParseFloat(row[3], 64); err != nil {
				return nil, fmt.Errorf("compression of %s.%s: %w", n, row[1], err)
			}
		}
	}
	_, err = conn.Exec(ctx, "DROP TABLE "+sample)
	return out, err
}

// widths measures how wide the values of each column are.
func widths(ctx context.Context, conn *warehouse.Conn, table string, stored []warehouse.StoredColumn) ([]advice, error) {
	out := make([]advice, len(stored))
	var asked []int
	var exprs []string
	for i, c := range stored {
		sql, bytes := width(c)
		out[i] = advice{StoredColumn: c, Encoding: c.Encoding, Bytes: bytes}
		if sql != "" {
			asked, exprs = append(asked, i), append(exprs, sql)
		}
	}
	if len(asked) == 0 {
		return out, nil
	}
	res, err := conn.Exec(ctx, "SELECT "+strings.Join(exprs, ", ")+" FROM "+table)
	if err != nil {
		return nil, err
	}
	for j, i := range asked {
		if text := res.Rows[0][j]; text != "" { // NULL: no value
			if out[i].Bytes, err = strconv.ParseFloat(text, 64); err != nil {
				return nil, fmt.Errorf("width of %s: %w", stored[i].Name, err)
			}
		}
	}
	return out, nil
}
