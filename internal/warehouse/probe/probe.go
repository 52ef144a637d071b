// Package probe asks a real cluster the questions whose answers the loader
// relies on and Redshift's documentation leaves open. What is asked is data
// (probes.go): statements, files that they read, and the answer that the
// specification of the loader expects.
//
// All of it happens in a scratch schema millstream_probe_<random> and under
// <prefix>/_probe/<random>/; both are removed at the end, also after an
// interrupt.
package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// Probe is a question.
type Probe struct {
	Area string `json:"area"`
	Name string `json:"name"`
	// Statements run in order on a session of their own. {s} stands for the
	// scratch schema, and {copy} for the COPY of Manifest, without its table.
	Statements []string `json:"statements,omitempty"`
	// Expected is what the last statement answers: its rows, columns joined by |
	// and rows by a semicolon, or the word error, the SQLSTATE and words that
	// Redshift's include. Where a statement before it fails, that is the answer.
	Expected string `json:"expected"`
	// Local is what the local Redshift answers where it is known to differ.
	Local string `json:"local,omitempty"`

	files    []file
	manifest manifest
	after    func(ctx context.Context, r *run, c *warehouse.Conn) (string, error) // looks on the same session, whatever Statements came to
	do       func(ctx context.Context, r *run) (string, error)                    // instead of Statements, where one session is not enough
}

// Result is a question's answer.
type Result struct {
	Probe
	Seen    string  `json:"seen"`
	OK      bool    `json:"ok"`
	Known   bool    `json:"known,omitempty"` // differs as the local Redshift is documented to
	Seconds float64 `json:"seconds"`
}

// Deps are what a run works with; they stay the caller's to close.
type Deps struct {
	Warehouse *warehouse.Client
	Store     *objstore.Client
	Prefix    string        // of the lake
	Local     bool          // the server is the local Redshift
	Silence   time.Duration // for which a session is to survive without a word
}

// run is one pass over the probes.
type run struct {
	Deps
	name   string // of the scratch schema
	folder string // in the object store
}

// Run asks all probes and calls told with each answer. It removes what it made
// before it returns, whatever ended it; an error is that of the connection, or
// of the removal.
func Run(ctx context.Context, d Deps, probes []Probe, told func(Result)) (err error) {
	random := strings.ToLower(rand.Text()[:10])
	r := &run{Deps: d, name: "millstream_probe_" + random, folder: d.Prefix + "/_probe/" + random + "/"}
	conn, err := d.Warehouse.Connect(ctx)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE SCHEMA "+warehouse.Ident(r.name))
	conn.Close()
	if err != nil {
		return err
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, r.remove(clean))
	}()
	for i := range probes {
		start := time.Now()
		seen := r.ask(ctx, i, &probes[i])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		res := Result{Probe: probes[i], Seen: seen, OK: matches(probes[i].Expected, seen), Seconds: time.Since(start).Seconds()}
		if !res.OK && d.Local && res.Local != "" {
			res.Known = matches(res.Local, seen)
		}
		told(res)
	}
	return nil
}

// matches compares an answer with what is expected: an error by its code and
// the words that it is to include, rows as a whole.
func matches(expected, seen string) bool {
	words, isError := strings.CutPrefix(expected, "error ")
	if !isError {
		return expected == seen
	}
	code, text, _ := strings.Cut(words, " ")
	return strings.HasPrefix(seen, "error "+code) && strings.Contains(seen, text)
}

// ask runs one probe and puts what it saw into words.
func (r *run) ask(ctx context.Context, n int, p *Probe) string {
	seen, err := r.try(ctx, n, p)
	if err != nil {
		code, words := warehouse.Reason(err)
		return strings.TrimSpace("error " + code + " " + words)
	}
	return seen
}

func (r *run) try(ctx context.Context, n int, p *Probe) (string, error) {
	copied := ""
	if len(p.files) > 0 || p.manifest != 0 {
		var err error
		if copied, err = r.put(ctx, n, p); err != nil {
			return "", err
		}
	}
	if p.do != nil {
		return p.do(ctx, r)
	}
	conn, err := r.Warehouse.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	var last warehouse.Result
	for _, st := range p.Statements {
		if last, err = conn.Exec(ctx, r.fill(st, copied)); err != nil {
			break
		}
	}
	if p.after != nil {
		return p.after(ctx, r, conn)
	}
	return answer(last), err
}

// fill puts this run's names into a statement.
func (r *run) fill(statement, copied string) string {
	return strings.NewReplacer("{s}", warehouse.Ident(r.name), "{copy}", copied, "{schema}", r.name).Replace(statement)
}

func answer(res warehouse.Result) string {
	rows := make([]string, len(res.Rows))
	for i, row := range res.Rows {
		rows[i] = strings.Join(row, "|")
	}
	return strings.Join(rows, ";")
}

// remove drops the schema and deletes the objects.
func (r *run) remove(ctx context.Context) error {
	var errs []error
	conn, err := r.Warehouse.Connect(ctx)
	if err == nil {
		_, err = conn.Exec(ctx, "DROP SCHEMA "+warehouse.Ident(r.name)+" CASCADE")
		conn.Close()
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("drop the scratch schema %s: %w; drop it by hand", r.name, err))
	}
	for {
		objects, err := r.Store.List(ctx, r.folder, "", 1000)
		if err != nil || len(objects) == 0 {
			return errors.Join(append(errs, err)...)
		}
		for _, o := range objects {
			if err := r.Store.Delete(ctx, o.Key); err != nil {
				return errors.Join(append(errs, err)...)
			}
		}
	}
}
