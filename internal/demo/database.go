package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	_ "modernc.org/sqlite" // the driver of the shop's database
)

// database is the shop's own: an ordinary application with an ordinary schema,
// which stamps updated_at itself.
type database struct{ db *sql.DB }

const schema = `
CREATE TABLE IF NOT EXISTS customers (
  id INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT NOT NULL, name TEXT NOT NULL, email TEXT NOT NULL, plan TEXT NOT NULL, country TEXT NOT NULL,
  created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL);
CREATE INDEX IF NOT EXISTS customers_updated ON customers (updated_at, id);
CREATE TABLE IF NOT EXISTS orders (
  id INTEGER PRIMARY KEY AUTOINCREMENT, customer_id INTEGER NOT NULL, status TEXT NOT NULL, total DECIMAL(10,2) NOT NULL,
  currency TEXT NOT NULL, items INTEGER NOT NULL, created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL);
CREATE INDEX IF NOT EXISTS orders_updated ON orders (updated_at, id);`

func openDatabase(ctx context.Context, file string) (*database, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=synchronous(NORMAL)&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	db.SetMaxOpenConns(1) // one writer, as SQLite has it
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("create tables in %s: %w", file, err), db.Close())
	}
	return &database{db}, nil
}

func (d *database) close() error { return d.db.Close() }

// now is the stamp of a change: the moment of the write, also of a row that
// tells of something earlier, or whoever follows stamps would miss it.
func now() string { return stamp(time.Now()) }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// customers reads everybody, so that a shop that is opened again knows them.
func (d *database) customers(ctx context.Context) ([]customer, error) {
	rows, err := d.db.QueryContext(ctx, `SELECT id, name, email, plan, country FROM customers ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("read customers: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	var out []customer
	for rows.Next() {
		var c customer
		if err := rows.Scan(&c.id, &c.name, &c.email, &c.plan, &c.country); err != nil {
			return nil, fmt.Errorf("read customers: %w", err)
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

func (d *database) signUp(ctx context.Context, c customer, at time.Time) (id int64, err error) {
	res, err := d.db.ExecContext(ctx, `INSERT INTO customers (code, name, email, plan, country, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		c.userID(), c.name, c.email, c.plan, c.country, stamp(at), now())
	if err != nil {
		return 0, fmt.Errorf("insert customer: %w", err)
	}
	return res.LastInsertId()
}

func (d *database) upgrade(ctx context.Context, c customer) error {
	if _, err := d.db.ExecContext(ctx, `UPDATE customers SET plan = ?, updated_at = ? WHERE id = ?`, c.plan, now(), c.id); err != nil {
		return fmt.Errorf("update customer %d: %w", c.id, err)
	}
	return nil
}

func (d *database) place(ctx context.Context, c customer, o order, at time.Time) (id int64, err error) {
	res, err := d.db.ExecContext(ctx, `INSERT INTO orders (customer_id, status, total, currency, items, created_at, updated_at) VALUES (?, 'paid', ?, 'EUR', ?, ?, ?)`,
		c.id, string(money(o.cents)), len(o.items), stamp(at), now())
	if err != nil {
		return 0, fmt.Errorf("insert order: %w", err)
	}
	return res.LastInsertId()
}

// ship moves the oldest of the paid orders from before then on to shipped: an
// update that the mirror must see.
func (d *database) ship(ctx context.Context, before time.Time, most int) error {
	if _, err := d.db.ExecContext(ctx, `UPDATE orders SET status = 'shipped', updated_at = ? WHERE id IN
		(SELECT id FROM orders WHERE status = 'paid' AND created_at < ? ORDER BY id LIMIT ?)`, now(), stamp(before), most); err != nil {
		return fmt.Errorf("ship orders: %w", err)
	}
	return nil
}
