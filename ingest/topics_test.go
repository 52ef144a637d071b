package ingest

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
)

func TestTopicsThatAreTooNarrowAreToldWithTheSettingToChange(t *testing.T) {
	t.Parallel()
	_, kcfg := testkit.Kafka(t)
	adm := kadm.NewClient(testkit.KafkaClient(t, kcfg))
	events, rejected := kcfg.Names().Events(), kcfg.Names().Rejected()
	for topic, size := range map[string]string{events: "300000", rejected: "500000"} {
		if _, err := adm.CreateTopic(t.Context(), 1, 1, map[string]*string{maxMessage: &size}, topic); err != nil {
			t.Fatal(err)
		}
	}
	kcfg.Topics.Partitions = 1
	e := setupAt(t, kcfg)
	wants := []string{
		"topic " + events + " takes records of 300000 bytes, and ingest.limits.event of 256KiB needs 327680: raise the topic's max.message.bytes, or lower ingest.limits.event",
		"topic " + rejected + " takes records of 500000 bytes, and ingest.rejected_max_bytes of 900KiB needs 987136: raise the topic's max.message.bytes, or lower ingest.rejected_max_bytes",
	}
	testkit.Eventually(t, "readiness should be degraded, and say what to change", func() error {
		r := e.health.Report(t.Context())
		if r.State != telemetry.StateDegraded || !strings.Contains(r.String(), wants[0]) || !strings.Contains(r.String(), wants[1]) {
			return errors.New(r.String())
		}
		return nil
	})
	equal(t, "events are taken all the same", e.post(t, "/v1/page", page("m")).status, 200)
	if _, err := CheckTopics(t.Context(), e.cfg, kcfg, testkit.Log(t)); err == nil || !strings.Contains(err.Error(), wants[0]) || !strings.Contains(err.Error(), wants[1]) {
		t.Errorf("check: %v", err)
	}

	enough := "1048576"
	for _, topic := range []string{events, rejected} {
		if _, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: maxMessage, Value: &enough}}, topic); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.producer.look(t.Context()); err != nil { // what watch does every ten seconds
		t.Fatal(err)
	}
	equal(t, "readiness when it was mended", e.health.Report(t.Context()).State, telemetry.StateReady)
	if saw, err := CheckTopics(t.Context(), e.cfg, kcfg, testkit.Log(t)); err != nil || saw != "topics take events of 256KiB and dead letters of 900KiB" {
		t.Errorf("check: %s %v", saw, err)
	}
}

func TestReloadedLimitsAreComparedWithWhatTheTopicsTake(t *testing.T) {
	t.Parallel()
	limited := func(size string) string { return keyed("first") + "    limits: {event: " + size + "}\n" }
	e, file := setupFile(t, limited("256KiB"))
	e.untilDirect(t) // the topics are there
	adm, events := kadm.NewClient(testkit.KafkaClient(t, e.kafka)), e.kafka.Names().Events()
	resize := func(size string) {
		t.Helper()
		answers, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: maxMessage, Value: &size}}, events)
		if _, refused := answers.On(events, nil); err != nil || refused != nil {
			t.Fatal(err, refused)
		}
	}
	degraded := func(want string) {
		t.Helper()
		testkit.Eventually(t, "readiness should be degraded, and say what to change", func() error {
			if r := e.health.Report(t.Context()); r.State != telemetry.StateDegraded || !strings.Contains(r.String(), want) {
				return errors.New(r.String())
			}
			return nil
		})
	}
	resize("500000")
	file.save(t, limited("600KiB"))
	degraded("topic " + events + " takes records of 500000 bytes, and limits.event of the source app of 600KiB needs 679936: raise the topic's max.message.bytes, or lower limits.event of the source app")
	resize("700000")
	file.save(t, limited("601KiB")) // has it look again
	testkit.Eventually(t, "readiness should be as before", func() error {
		if r := e.health.Report(t.Context()); r.State != telemetry.StateReady {
			return errors.New(r.String())
		}
		return nil
	})
	body := `{"userId":"u","event":"E","x":"` + strings.Repeat("x", 590<<10) + `"}`
	equal(t, "what is allowed now", e.do(t, "POST", "/v1/track", body, "X-Write-Key", "first").body, `{"success":true}`)

	file.save(t, limited("2MiB"))
	degraded(string(file) + ": limits.event of the source app of 2MiB is more than this process was started for: start it again, or keep it at 912KiB or below")
	equal(t, "config_ok", e.metric(t, "config_ok"), 0.0)
	equal(t, "the limit in force", e.sources.Load().find("first").source.limits.event, 601<<10)
}

func TestMissingTopicsAreCreatedWideEnough(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) {
		c.Limits.Body, c.Limits.Event = 4*config.MiB, 2*config.MiB
		c.Sources["big"] = Source{Enabled: true, Keys: []Key{{Key: "big", Kind: KindServer}}, Limits: SourceLimits{Event: 3 * config.MiB}}
	})
	body := `{"userId":"u","event":"E","x":"` + strings.Repeat("x", 1500<<10) + `"}`
	equal(t, "1.5 MiB", e.post(t, "/v1/track", body).status, 200)
	equal(t, "size", len(e.events(t, 1)[0].Value) > len(body), true)
	equal(t, "readiness", e.health.Report(t.Context()).State, telemetry.StateReady)
}
