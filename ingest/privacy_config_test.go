package ingest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/event"
)

func TestRulesThatCannotHoldAreNamed(t *testing.T) {
	t.Parallel()
	drop := func(path string) PrivacyRule { return PrivacyRule{Action: PrivacyDrop, Path: path} }
	for want, r := range map[string]PrivacyRule{
		`.action: must be drop, mask or hash (got "erase")`:                                                                                    {Action: "erase", Path: "a"},
		`.action: must be drop, mask or hash (got "")`:                                                                                         {Path: "a"},
		`.action: must not be hash without a key: set ingest.privacy_hash_key, or drop or mask`:                                                {Action: PrivacyHash, Path: "a"},
		`.path: must be names with dots between them, such as properties.email (got "")`:                                                       drop(""),
		`.path: must be names with dots between them, such as properties.email (got "a..b")`:                                                   drop("a..b"),
		`.path: must be names with dots between them, such as properties.email (got "a.[]")`:                                                   drop("a.[]"),
		`.path: must have [] only behind a name, such as properties.items[].note (got "a[0].b")`:                                               drop("a[0].b"),
		`.path: must have [] only behind a name, such as properties.items[].note (got "a[.b")`:                                                 drop("a[.b"),
		`.path: must have [] only behind a name, such as properties.items[].note (got "a][")`:                                                  drop("a]["),
		`.path: must have * only in place of a whole name, such as properties.*.iban (got "a.card*")`:                                          drop("a.card*"),
		`.path: must not be * alone, which is type and messageId, too: name the members`:                                                       drop("*"),
		`.path: must not be messageId, by which events are told apart: it stays as it is (got "messageId")`:                                    drop("messageId"),
		`.path: must not be type, by which events are told apart: it stays as it is (got "type")`:                                              drop("type"),
		`.path: must not be a time, for timestamps are made of timestamp (got "timestamp")`:                                                    drop("timestamp"),
		`.path: must not be a time, for timestamps are made of originalTimestamp (got "originalTimestamp")`:                                    drop("originalTimestamp"),
		`.path: must not be a time, for timestamps are made of sentAt (got "sentAt")`:                                                          drop("sentAt"),
		`.path: must not be a time, for timestamps are made of receivedAt (got "receivedAt")`:                                                  drop("receivedAt"),
		`.path: must not be writeKey, which is removed in any case (got "writeKey")`:                                                           drop("writeKey"),
		`.path: must not be context.millstream, which is the server's own; a client's is removed in any case (got "context.millstream.flags")`: drop("context.millstream.flags"),
		`.types[1]: must be track, identify, page, screen, group or alias (got "Page"; did you mean page?)`:                                    {Action: PrivacyDrop, Path: "a", Types: []event.Type{"track", "Page"}},
		`.events: must be empty where types has no track: only track calls have these names`:                                                   {Action: PrivacyDrop, Path: "a", Types: []event.Type{"page"}, Events: []string{"E"}},
		`.events: must not have an empty name`:                                                                                                 {Action: PrivacyDrop, Path: "a", Events: []string{""}},
	} {
		c := testConfig()
		app := c.Sources["app"]
		app.Privacy = []PrivacyRule{drop("properties.x"), r}
		c.Sources["app"] = app
		want = "ingest.sources.app.privacy[1]" + want
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("validate: %v, want %s", err, want)
		}
		if _, err := newSnapshot(c, c.Sources, newFiles("")); err == nil || err.Error() != want {
			t.Errorf("snapshot: %v, want %s", err, want)
		}
	}
	for want, p := range map[string]IPPolicy{
		`ingest.sources.app.ip: must not be hash without a key: set ingest.privacy_hash_key, or truncate or drop`: IPHash,
		`ingest.sources.app.ip: must be keep, truncate, hash or drop (got "hide")`:                                "hide",
	} {
		c := testConfig()
		app := c.Sources["app"]
		app.IP = p
		c.Sources["app"] = app
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("validate: %v, want %s", err, want)
		}
	}
}

func TestRulesThatHold(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.PrivacyHashKey = testHashKey
	app := rules("hash userId", "mask userId", "drop event Paid", "drop context.traits.email", "mask *.x", "drop properties.*", "mask properties.m[][].n", "drop *[]", "drop context.ip", "drop messageIds")
	app.IP, app.Keys = IPHash, c.Sources["app"].Keys
	c.Sources["app"] = app
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestEventsForWhichTheSameRulesHoldShareThem(t *testing.T) {
	t.Parallel()
	p, err := newPrivacy("s", rules("drop a", "drop b track", "drop c Paid", "drop d Paid Left"), "")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "names", slices.Sorted(maps.Keys(p.calls)), []string{"Left", "Paid"})
	sets := map[*ruleset]bool{p.all: true}
	for _, s := range p.types {
		sets[s] = true
	}
	for _, s := range p.calls {
		sets[s] = true
	}
	equal(t, "sets", len(sets), 4) // Paid is all, Left, other tracks, all other types
	none, err := newPrivacy("s", Source{IP: IPKeep}, "")
	if none != nil || err != nil {
		t.Errorf("a source without rules: %v, %v", none, err)
	}
}

func TestStricterOfRuleAndPolicyHoldsForAddresses(t *testing.T) {
	t.Parallel()
	const body = `{"batch":[{"type":"page","userId":"u","messageId":"m","context":{"ip":"203.0.113.77","a":1}}]}`
	hashed := `"ip":"` + hmacOf("203.0.113.77") + `",`
	for _, c := range []struct {
		rule   string
		policy IPPolicy
		want   string
	}{
		{"", IPKeep, `"ip":"203.0.113.77",`},
		{"", IPTruncate, `"ip":"203.0.113.0",`},
		{"", IPHash, hashed},
		{"", IPDrop, ``},
		{"hash context.ip", IPKeep, hashed},
		{"hash context.ip", IPHash, hashed},
		{"hash context.ip", IPTruncate, ``},
		{"mask context.ip", IPTruncate, ``},
		{"mask context.ip", IPHash, `"ip":"***",`},
		{"mask *.ip", IPHash, `"ip":"***",`},
		{"hash context.*", IPDrop, ``},
		{"drop context.ip", IPHash, ``},
	} {
		s := Source{IP: c.policy}
		if c.rule != "" {
			s.Privacy = rules(strings.Split(c.rule, ",")...).Privacy
		}
		if c.rule == "" && c.policy == IPKeep {
			continue
		}
		got, _, _ := cleanOne(t, s, body)
		if _, rest, _ := strings.Cut(got, `"context":{`); !strings.HasPrefix(rest, c.want+`"a":`) {
			t.Errorf("%s %s: %s", c.rule, c.policy, got)
		}
	}
}
