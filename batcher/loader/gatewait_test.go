//go:build cgo

package loader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// asked sums the time-outs under which a client asks for tables' locks.
func asked(client *warehouse.Client) (sum *time.Duration) {
	sum = new(time.Duration)
	var bound time.Duration
	client.Trace = func(s string) {
		var ms int64
		if n, _ := fmt.Sscanf(s, "SET statement_timeout TO %d", &ms); n == 1 {
			bound = time.Duration(ms) * time.Millisecond
		}
		if strings.HasPrefix(s, `DELETE FROM "app"`) && strings.HasSuffix(s, "WHERE FALSE") {
			*sum += bound
		}
	}
	return sum
}

// Many tables that somebody has locked keep the gate shut no longer than two.
func TestLockedTablesShareOneWait(t *testing.T) {
	t.Parallel()
	k := setup(t)
	client := k.open()
	const wait = 400 * time.Millisecond
	w := k.tenure(k.loader(client, func(c *Config) { c.DDLTimeout = wait }))
	names := []string{"app.a", "app.b", "app.c", "app.d", "app.e", "app.f"}
	commit := func() {
		var tables []table
		for _, name := range append(names, "app.z") {
			tables = append(tables, table{name: name, columns: eventColumns(), rows: events(1)})
		}
		k.commit(0, tables...)
	}
	commit()
	k.wave(w)
	for _, name := range names {
		defer k.busy("UPDATE " + name + " SET user_id = 'x'")()
	}
	w.patience.tooSlow(names[0]) // else the first wait is of half a minute
	sum := asked(client)
	commit()
	k.wave(w)
	if shortest := time.Duration(len(names)) * least; *sum == 0 || *sum > 2*wait+shortest {
		t.Errorf("%d locked tables were waited for for %s, want at most %s", len(names), *sum, 2*wait+shortest)
	}
	if got := k.one("SELECT COUNT(*) FROM app.z"); got != "2" {
		t.Errorf("%s rows in the table that nobody has locked, want 2", got)
	}
	if w.patience.anew(); w.patience.share(wait) != wait {
		t.Errorf("the next wave waits %s, want %s", w.patience.share(wait), wait)
	}
}

// What a complete poll is due waits shortly for whoever has the mirror locked,
// and is done later.
func TestLockedMirrorPutsItsPollsOff(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(o *origin){
		"a range is deleted": func(o *origin) {
			r := o.begin(event.PollBounded, all)
			r.poll.Range = &event.PollRange{Column: "v", Lo: "0", Hi: "90"}
			r.end()
		},
		"the mirror is emptied": func(o *origin) {
			o.remove(2)
			o.begin(event.PollFull, all).end()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := setup(t)
			o := k.origin(1)
			w := k.tenure(k.loader(k.client, func(c *Config) { c.DDLTimeout = 300 * time.Millisecond }))
			for key := range int64(3) {
				o.put(key, key)
			}
			o.flush()
			k.wave(w)
			o.remove(0)
			o.remove(1)
			end(o)
			o.flush()
			w.putOff = map[string]*postponed{o.target: {until: time.Now().Add(time.Hour), pause: time.Second}}
			k.wave(w)
			free := k.busy("UPDATE shop_public.stock SET v = v")
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			w.putOff[o.target].until = time.Time{}
			if failures, err := w.once(ctx, ctx); err != nil || len(failures) > 0 {
				t.Fatalf("a wave while the mirror is locked: %v, %v", failures, err)
			}
			if w.putOff[o.target] == nil || !w.putOff[o.target].until.After(time.Now()) {
				t.Error("the poll is not put off")
			}
			free()
			w.putOff[o.target].until = time.Time{}
			k.wave(w)
			o.same("once the lock is gone")
		})
	}
}

// A reload of days lets loads pass while somebody has the table locked.
func TestReloadOfDaysWaitsInShortTurns(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.notes(3)
	k.wave(k.tenure(k.loader(k.client)))
	free := k.busy("UPDATE app.notes SET note = 'x'")
	client, tries := k.open(), 0
	client.Trace = func(s string) {
		if s == warehouse.WriteLock(warehouse.Name{Schema: "app", Table: "notes"}) {
			if tries++; tries == 3 {
				free()
			}
		}
	}
	b := ByHand{Config: testConfig(), Warehouse: client, Lake: k.lake, Dedup: dedup.DefaultConfig(), Log: testkit.Log(t), pause: 10 * time.Millisecond}
	b.Config.DDLTimeout = 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	done, err := b.Reload(ctx, Reload{Target: "app.notes", Days: warehouse.Days{From: day, To: day.AddDate(0, 0, 1)}})
	if err != nil || done.Inserted != 3 || tries < 3 {
		t.Errorf("%d tries, %d rows: %v", tries, done.Inserted, err)
	}
}

func TestRetriesOfTargetsRunSideBySide(t *testing.T) {
	t.Parallel()
	var list []*load
	for _, name := range []string{"a", "a", "a", "b", "c", "c"} {
		list = append(list, &load{name: warehouse.Name{Schema: "app", Table: name}})
	}
	var got []string
	for _, round := range rounds(list) {
		names := ""
		for _, group := range round {
			if len(group) != 1 {
				t.Errorf("%d loads in a transaction", len(group))
			}
			names += group[0].name.Table
		}
		got = append(got, names)
	}
	if want := []string{"abc", "ac", "a"}; !slices.Equal(got, want) {
		t.Errorf("rounds %v, want %v", got, want)
	}
}

// A repair that was planned before somebody else's COMMIT, or before the file
// was given up, writes nothing: where dedupe is off nothing else would keep its
// rows from being there twice.
func TestRepairIsComparedBehindTheGate(t *testing.T) {
	t.Parallel()
	for name, skipped := range map[string]bool{"repaired meanwhile": false, "given up meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := setup(t)
			k.client = k.without("app.notes")
			l := k.loader(k.client)
			w := k.tenure(l)
			k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2)})
			key, body := k.heldFile(w)
			if err := k.lake.Store.Create(t.Context(), key, body); err != nil {
				t.Fatal(err)
			}
			k.retry("app.notes")
			again := &waves{Loader: l, conn: k.tenure(l).conn, fence: w.fence + 1, seen: catalogue{lake: k.lake}}
			w.fence++ // tenure took the lease once more
			wake := k.asleep(w)
			want := "5"
			if skipped {
				want = "2"
				if _, err := k.byHand().Skip(t.Context(), key, "enough"); err != nil {
					t.Fatal(err)
				}
			} else {
				k.wave(again)
			}
			if err := wake(); !errors.Is(err, errRaced) {
				t.Errorf("the late repair ended with %v, want one that sees that it was overtaken", err)
			}
			if got := k.one("SELECT COUNT(*) FROM app.notes"); got != want {
				t.Errorf("%s notes, want %s", got, want)
			}
			if got := k.query("SELECT reason FROM millstream.held"); skipped != slices.Equal(got, []string{warehouse.Skipped}) {
				t.Errorf("held: %v", got)
			}
		})
	}
}

// without is a client for which a table's twins are not looked for.
func (k *kit) without(target string) *warehouse.Client {
	k.t.Helper()
	cfg := k.client.Config()
	cfg.Tables = map[string]warehouse.TableConfig{target: {Dedupe: "off"}}
	c, err := warehouse.Open(cfg)
	if err != nil {
		k.t.Fatal(err)
	}
	return c
}
