//go:build cgo

package loader

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/wire"
)

func TestUsersLatestState(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	at := func(minutes int) time.Time { return time.Date(2026, 11, 21, 6, minutes, 0, 0, time.UTC) }
	one := eventColumns(col("email", wire.String), col("plan", wire.String))
	two := slices.Concat(one, wire.Columns{col("address", wire.JSON)})
	identify := func(columns wire.Columns, rows ...row) table {
		return table{name: "app.identifies", columns: columns, rows: rows}
	}
	k.commit(0, identify(one,
		row{"user_id": "a", "received_at": at(10), "email": "a10", "plan": nil},
		row{"user_id": "a", "received_at": at(20), "email": nil, "plan": "p20"},
		row{"user_id": nil, "received_at": at(20), "email": "nobody"},
		row{"user_id": "b", "received_at": at(5), "email": "b5"}))
	k.wave(w)
	k.commit(0, // out of order, in two fingerprints of one load
		identify(one, row{"user_id": "a", "received_at": at(15), "email": "a15", "plan": "p15"}),
		identify(two, row{"user_id": "b", "received_at": at(30), "email": nil, "address": `{"city":"Rome"}`}, row{"user_id": "c", "received_at": at(31), "email": "c31"}))
	k.wave(w)
	// c31 came again under its id, a duplicate: it must not count as newer.
	k.commit(1, identify(one, row{"id": "m-0-6", "user_id": "c", "received_at": at(40), "email": "c40"}))
	k.wave(w)
	got := k.query(`SELECT id, received_at, email, plan, JSON_SERIALIZE(address) FROM app.users ORDER BY id`)
	want := []string{
		`a|2026-11-21 06:20:00|a15|p20|`, // a15 is newer than a10, p15 older than p20
		`b|2026-11-21 06:30:00|b5||{"city":"Rome"}`,
		`c|2026-11-21 06:31:00|c31||`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
}

func TestAccountsLatestState(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	cols := eventColumns(col("group_id", wire.String), col("name", wire.String))
	k.commit(0, table{name: "app.groups", columns: cols, rows: []row{{"group_id": "g", "name": "old", "user_id": "u"}, {"group_id": "g", "name": "new", "user_id": "v"}}})
	k.wave(w)
	if got := k.query(`SELECT id, name FROM app.accounts`); !slices.Equal(got, []string{"g|new"}) {
		t.Errorf("accounts: %v", got)
	}
}

// The calls about an account come by several partitions, of which one may lag.
func TestLatestStateOfPartitionsThatLag(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	at := func(minutes int) time.Time { return time.Date(2026, 11, 21, 6, minutes, 0, 0, time.UTC) }
	cols := eventColumns(col("group_id", wire.String), col("name", wire.String), col("plan", wire.String), col("tags", wire.JSON))
	load := func(part int32, rows ...row) {
		t.Helper()
		for i, r := range rows {
			r["group_id"], r["user_id"] = "g", fmt.Sprint(part, i)
		}
		k.commit(part, table{name: "app.groups", columns: cols, rows: rows})
		k.wave(w)
	}
	same := func(want string) {
		t.Helper()
		if got := k.query(`SELECT received_at, name, plan, JSON_SERIALIZE(tags) FROM app.accounts`); !slices.Equal(got, []string{want}) {
			t.Errorf("accounts: %v, want %s", got, want)
		}
	}
	load(0, row{"received_at": at(5), "name": "new", "tags": `["new"]`})
	load(1, row{"received_at": at(0), "name": "old", "tags": `["old"]`}, row{"received_at": at(10), "plan": "pro"}) // older and newer ones in one load
	same(`2026-11-21 06:10:00|new|pro|["new"]`)
	load(0, row{"received_at": at(8), "plan": "free", "tags": `{"odd`}) // between what is there
	odd := `2026-11-21 06:10:00|new|pro|"{\"odd"`
	same(odd)
	load(1, row{"received_at": at(1), "name": "older"})
	same(odd)
	k.query(`DELETE FROM app.groups WHERE received_at > '2026-11-21 06:07:00'`) // by somebody
	load(1, row{"received_at": at(6), "name": "six", "plan": "six"})
	same(odd)
}
