package ingest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// replayer is one for a server's configuration, with what has changed since.
func (e *edge) replayer(t *testing.T, change ...func(*Config)) *Replayer {
	t.Helper()
	cfg := e.cfg
	for _, f := range change {
		f(&cfg)
	}
	p, err := NewReplayer(cfg, e.kafka, testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// replay runs what and returns a line for each dead letter.
func (e *edge) replay(t *testing.T, p *Replayer, what Replay) string {
	t.Helper()
	var lines []string
	if err := p.Run(t.Context(), what, func(r Replayed) { lines = append(lines, r.String()) }); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// narrow is a limit that refused what is replayed under a wider one.
func narrow(c *Config) { c.Limits.Event, c.Limits.EventSoft = 150, 150 }

func wide(c *Config) { c.Limits.Event, c.Limits.EventSoft = 256<<10, 32<<10 }

const replayedBatch = `{"batch":[{"type":"page","userId":"u0","messageId":"m-0"},` +
	`{"type":"track","userId":"u1","event":"Paid","messageId":"m-1","timestamp":"2026-03-01T10:00:00Z","properties":{"id":9007199254740993,"p":1.0,"pad":"PAD"}},` +
	`{"type":"track","userId":"u2","event":"Paid","timestamp":"2026-03-01T10:00:00Z","properties":{"pad":"PAD"}}],` +
	`"sentAt":"2026-03-01T10:00:01Z","context":{"library":{"name":"analytics-go","version":"3.0.0"}},"integrations":{"All":true}}`

// What was refused by a limit becomes, once that is raised, exactly what it would have become at first.
func TestH19Replay(t *testing.T) {
	t.Parallel()
	body := strings.ReplaceAll(replayedBatch, "PAD", strings.Repeat("x", 150))
	requests := func(e *edge) {
		e.post(t, "/v1/batch", body)
		e.post(t, "/v1/import", body)
		e.post(t, "/v1/identify", `{"type":"page","userId":"u3","traits":{"pad":"`+strings.Repeat("x", 150)+`"},"timestamp":"2026-03-01T09:00:00Z","sentAt":"2026-03-01T09:00:01Z"}`)
	}
	noDuplicates := func(c *Config) { c.Dedup.Window = 0 }
	undisturbed := setup(t, noDuplicates)
	requests(undisturbed)
	want := map[string]string{}
	for _, r := range undisturbed.events(t, 7) {
		want[fmt.Sprintf("%s %s", headerText(r), r.Value)] = fmt.Sprintf("%s %d %s", r.Key, r.Partition, r.Timestamp.UTC())
	}
	e := setup(t, noDuplicates, narrow)
	requests(e)
	e.rejected(t, 5)
	e.events(t, 2)
	e.replay(t, e.replayer(t, wide), Replay{}) // a dry run
	e.events(t, 2)
	got := e.replay(t, e.replayer(t, wide), Replay{Write: true})
	equal(t, "told", strings.Count(got, "event_too_large: 1 events"), 5)
	for _, r := range e.events(t, 7) {
		text := fmt.Sprintf("%s %s", headerText(r), r.Value)
		if place := fmt.Sprintf("%s %d %s", r.Key, r.Partition, r.Timestamp.UTC()); want[text] != place {
			t.Errorf("not as at its first arrival: %s\n%s, want %s", text, place, want[text])
		}
	}
	e.rejected(t, 5)
}

func TestReplayedTwiceTheMessageIDsAreTheSame(t *testing.T) {
	t.Parallel()
	e := setup(t, narrow)
	pad := strings.Repeat("x", 150)
	e.post(t, "/v1/batch", `{"batch":[{"type":"page","userId":"u","pad":"`+pad+`"},{"type":"page","userId":"u","pad":"`+pad+`"}]}`)
	p := e.replayer(t, wide)
	for range 2 {
		e.replay(t, p, Replay{Write: true})
	}
	ids := map[string]int{}
	for _, r := range e.events(t, 4) {
		ids[string(r.Headers[4].Value)]++
	}
	equal(t, "ids", len(ids), 2) // two clicks without a time are two clicks
	for id, n := range ids {
		if n != 2 || !strings.HasPrefix(id, "auto-") {
			t.Errorf("%s is there %d times", id, n)
		}
	}
}

func TestReplayChoosesAndTells(t *testing.T) {
	t.Parallel()
	e := follows(t, setup(t, twoSources, narrow))
	pad := `"pad":"` + strings.Repeat("x", 150) + `"}`
	e.post(t, "/v1/page", `{"userId":"u","messageId":"m-1",`+pad)
	e.post(t, "/v1/page", `{"messageId":"m-2"}`)
	e.do(t, http.MethodPost, "/v1/page", `{"userId":"u","messageId":"m-3",`+pad, "X-Write-Key", "shop-server")
	e.post(t, "/v1/batch", `{"batch":[`)
	produceLetters(t, e, manyLetters(1)[0],
		wire.Rejected{Stage: event.StageIngest, Source: "app", Code: event.CodeInvalidJSON, Index: 0, Redacted: true, Size: 7},
		wire.Rejected{Stage: event.StageIngest, Source: "app", Code: event.CodeEventTooLarge, Index: 0, Original: []byte(`{"user`), Max: 3},
		wire.Rejected{Stage: event.StageIngest, Source: "gone", Code: event.CodeEventTooLarge, Index: 0, Original: []byte(`{}`)},
		wire.Rejected{Stage: event.StageIngest, Source: "app", Code: event.CodeEventTooLarge, Index: 0, Route: "/v1/batch", Original: []byte(`{}`)},
		wire.Rejected{
			Stage: event.StageIngest, Source: "app", Code: event.CodeKafkaRefused, Index: -1, Route: letterSpooled, Type: "track", ReceivedAt: at,
			Original: []byte(`{"type":"track","userId":"u","event":"E","messageId":"m-9","timestamp":"2020-01-01T00:00:00Z"}`),
		})
	p := e.replayer(t, wide)
	ids := map[string]string{}
	for _, v := range decodePage(t, e.admin(t, "/rejections").body).Rejections {
		ids[v.MessageID] = v.ID
	}
	equal(t, "one source", e.replay(t, p, Replay{Source: "shop"}), ids["m-3"]+" shop event_too_large: 1 events")
	equal(t, "one code", e.replay(t, p, Replay{Code: event.CodeMissingIdentity}), ids["m-2"]+" app missing_identity: refused again: missing_identity: neither userId nor anonymousId is set")
	equal(t, "one id", e.replay(t, p, Replay{ID: ids["m-1"]}), ids["m-1"]+" app event_too_large: 1 events")
	equal(t, "until", strings.Count(e.replay(t, p, Replay{Until: at.Add(time.Millisecond)}), "\n"), 3)
	lines := e.replay(t, p, Replay{Since: at.Add(time.Second)})
	for _, want := range []string{"bad_json: skipped: another stage", "skipped: redacted", "skipped: truncated", "gone event_too_large: skipped: unknown source", "its batch was not kept", "kafka_refused: 1 events"} {
		if !strings.Contains(lines, want) {
			t.Errorf("want %q in\n%s", want, lines)
		}
	}
	if err := p.Run(t.Context(), Replay{ID: "0-999"}, func(Replayed) {}); err == nil {
		t.Error("an id that is not there should be told")
	}
	e.replay(t, p, Replay{Write: true, WriteRefused: true, Code: event.CodeKafkaRefused})
	r := e.events(t, 1)[0]
	equal(t, "stamped already", string(r.Value), `{"type":"track","userId":"u","event":"E","messageId":"m-9","timestamp":"2020-01-01T00:00:00Z"}`)
	equal(t, "headers", headerText(r), "v=1 source=app type=track event=E message_id=m-9 received_at=1772359201200")
	e.replay(t, p, Replay{Write: true, WriteRefused: true, Until: at.Add(time.Millisecond)})
	again := e.rejected(t, 12)
	codes := map[event.Code]int{}
	for _, r := range again {
		codes[r.Code]++
	}
	equal(t, "refused again", []int{codes[event.CodeMissingIdentity], codes[event.CodeInvalidJSON]}, []int{2, 3})
}

// Who sent an event is kept with its dead letter, as far as the rules of its source leave it.
func TestReplayKnowsWhoSentIt(t *testing.T) {
	t.Parallel()
	e := setup(t, narrow, func(c *Config) {
		c.PrivacyHashKey = testHashKey
		c.Sources = map[string]Source{}
		for name, s := range map[string]Source{
			"plain": {}, "cut": {IP: IPTruncate, Privacy: []PrivacyRule{{Action: PrivacyDrop, Path: "context.userAgent"}}},
			"hashed": {IP: IPHash, Privacy: []PrivacyRule{{Action: PrivacyMask, Path: "context.locale"}}}, "dropped": {IP: IPDrop},
		} {
			s.Enabled, s.SkewCorrection, s.Bots = true, true, BotsFlag
			s.Keys = []Key{{Key: config.Secret(name), Kind: KindBrowser}, {Key: config.Secret(name) + "-server", Kind: KindServer}}
			c.Sources[name] = s
		}
	})
	pad := `"properties":{"pad":"` + strings.Repeat("x", 150) + `"}`
	const forged = `"context":{"ip":"6.6.6.6"}`
	for _, source := range []string{"plain", "cut", "hashed", "dropped"} {
		send := func(key, path, body string) {
			t.Helper()
			e.do(t, http.MethodPost, path, body, "X-Write-Key", key, "User-Agent", "HeadlessBot/1.0 \"x\"", "Accept-Language", "de-DE,de;q=0.9")
		}
		send(source, "/v1/page", `{"userId":"u","messageId":"single",`+forged+`,`+pad+`}`)
		send(source, "/v1/batch", `{"batch":[{"type":"page","userId":"u","messageId":"batched",`+forged+`,`+pad+`}]}`)
		send(source+"-server", "/v1/page", `{"userId":"u","messageId":"server",`+forged+`,`+pad+`}`)
		send(source+"-server", "/v1/page", `{"userId":"u","messageId":"direct","context":{"ip":"6.6.6.6","direct":true},`+pad+`}`)
	}
	for _, r := range e.rejected(t, 16) {
		if text := string(r.Sender); r.Source != "plain" && strings.Contains(text, "127.0.0.1") || r.Source == "cut" && strings.Contains(text, "Headless") || r.Source == "hashed" && strings.Contains(text, "de-DE") {
			t.Errorf("a dead letter of %s tells: %s", r.Source, text)
		}
		equal(t, "sender of "+r.Source+" "+r.MessageID, len(r.Sender) > 0, r.MessageID != "server" && (r.Source != "dropped" || r.MessageID != "direct"))
	}
	again := e.replayer(t, wide, func(c *Config) { // the keys of browsers have gone since
		c.Sources = maps.Clone(c.Sources)
		for name, s := range c.Sources {
			s.Keys = s.Keys[1:]
			c.Sources[name] = s
		}
	})
	first := e.replayer(t, wide)
	for _, p := range []*Replayer{first, again} {
		got := map[string]string{}
		err := p.Run(t.Context(), Replay{}, func(r Replayed) {
			if len(r.Events) != 1 {
				t.Fatal(r.String())
			}
			var v struct{ Context json.RawMessage }
			if err := json.Unmarshal(r.Events[0].Value, &v); err != nil {
				t.Fatal(err)
			}
			got[r.Letter.Source+" "+r.Letter.MessageID] = string(v.Context)
		})
		if err != nil {
			t.Fatal(err)
		}
		const agent, bot = `"userAgent":"HeadlessBot/1.0 \"x\""`, `"millstream":{"bot":"ua"}`
		for id, want := range map[string]string{
			"plain single": `{"ip":"127.0.0.1",` + agent + `,"locale":"de-DE",` + bot + `}`, "plain direct": `{"direct":true,"ip":"127.0.0.1"}`, "plain server": `{"ip":"6.6.6.6"}`,
			"cut single": `{"ip":"127.0.0.0","locale":"de-DE"}`, "cut direct": `{"direct":true,"ip":"127.0.0.0"}`, "cut server": `{"ip":"6.6.6.0"}`,
			"hashed single": `{"ip":"` + hmacOf("127.0.0.1") + `",` + agent + `,"locale":"***",` + bot + `}`, "hashed direct": `{"direct":true,"ip":"` + hmacOf("127.0.0.1") + `"}`,
			"dropped single": `{` + agent + `,"locale":"de-DE",` + bot + `}`, "dropped direct": `{"direct":true}`, "dropped server": `{}`,
		} {
			equal(t, id, got[id], want)
			if batched, ok := strings.CutSuffix(id, " single"); ok {
				equal(t, batched+" batched", got[batched+" batched"], want)
			}
		}
	}
}

func TestReplayHashesNothingTwice(t *testing.T) {
	t.Parallel()
	e := setup(t, narrow, func(c *Config) {
		c.PrivacyHashKey = testHashKey
		src := c.Sources["app"]
		src.Privacy = []PrivacyRule{{Action: PrivacyHash, Path: "properties.email"}, {Action: PrivacyMask, Path: "properties.name"}}
		c.Sources["app"] = src
	})
	e.post(t, "/v1/page", `{"userId":"u","messageId":"m-1","properties":{"email":"ann","name":"Ann","pad":"`+strings.Repeat("x", 150)+`"}}`)
	e.replay(t, e.replayer(t, wide), Replay{Write: true})
	if value := string(e.events(t, 1)[0].Value); !strings.Contains(value, `{"email":"`+hmacOf("ann")+`","name":"***",`) {
		t.Errorf("got %s", value)
	}
}
