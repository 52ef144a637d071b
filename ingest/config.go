package ingest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/event"
)

// Config holds the options of the ingest role; start from DefaultConfig.
type Config struct {
	Listen         string            `yaml:"listen" doc:"address of the HTTP edge"`
	PublicURL      string            `yaml:"public_url" doc:"URL by which browsers reach it, told to Segment SDKs in their settings; empty: they keep their own host"`
	PathPrefix     string            `yaml:"path_prefix" doc:"path that a proxy in front leaves on requests, such as /collect"`
	TrustedProxies []string          `yaml:"trusted_proxies" doc:"networks (CIDR) whose client_ip_header is believed"`
	TLS            TLS               `yaml:"tls" doc:"HTTPS with HTTP/2; empty: plain HTTP"`
	ClientIPHeader string            `yaml:"client_ip_header" doc:"header in which trusted proxies name the client"`
	DataDir        string            `yaml:"data_dir" doc:"folder of the spool; one process uses it at a time"`
	SourcesFile    string            `yaml:"sources_file" doc:"file with the map sources, instead of the one here; it and the files that it names are read again when they change"`
	PrivacyHashKey config.Secret     `yaml:"privacy_hash_key" doc:"key of the HMAC by which privacy rules hash; needed if any of them does"`
	Sources        map[string]Source `yaml:"sources" doc:"who may send: a source is an app, and the warehouse's schema"`
	Limits         Limits            `yaml:"limits" doc:"how large requests and events may be"`
	Timeouts       Timeouts          `yaml:"timeouts" doc:"how long things may take"`
	Produce        Produce           `yaml:"produce" doc:"how records are sent to Kafka"`
	Spool          Spool             `yaml:"spool" doc:"events on disk while Kafka is away"`
	RejectedMax    config.Bytes      `yaml:"rejected_max_bytes" doc:"bytes that a dead letter keeps of what was refused"`
	Rejections     Rejections        `yaml:"rejections" doc:"what can be asked about dead letters"`
	Tail           Tail              `yaml:"tail" doc:"who can watch events come in"`
	Dedup          Dedup             `yaml:"dedup" doc:"repeated message ids that are not sent to Kafka again; it saves traffic, what counts is decided downstream"`
}

// Limits bounds requests, events and what is held in memory.
type Limits struct {
	Body        config.Bytes `yaml:"body" doc:"a request's body on the wire"`
	Inflated    config.Bytes `yaml:"inflated" doc:"a request's body after decompression"`
	BatchEvents int          `yaml:"batch_events" doc:"events in a batch"`
	Event       config.Bytes `yaml:"event" doc:"an event; larger ones are rejected"`
	EventSoft   config.Bytes `yaml:"event_soft" doc:"an event; larger ones are accepted and flagged"`
	Depth       int          `yaml:"depth" doc:"levels of brackets in an event"`
	Header      config.Bytes `yaml:"header" doc:"a request's headers"`
	Connections int          `yaml:"connections" doc:"connections at a time; further ones wait"`
	Inflight    config.Bytes `yaml:"inflight" doc:"bodies and records in memory until their request is answered and Kafka has them"`
}

// Timeouts bounds waiting.
type Timeouts struct {
	Header        time.Duration `yaml:"header" doc:"until a request's headers are read"`
	Body          time.Duration `yaml:"body" doc:"until a request's body is read"`
	Idle          time.Duration `yaml:"idle" doc:"an unused connection"`
	AckTimeout    time.Duration `yaml:"ack_timeout" doc:"what Kafka has not acknowledged after it goes to the spool"`
	AnswerTimeout time.Duration `yaml:"answer_timeout" doc:"a request that is not durable is answered 503 after it; SDKs give up at 10s"`
	DrainDelay    time.Duration `yaml:"drain_delay" doc:"a stopping process still serves for it, so that load balancers let go"`
	DrainTimeout  time.Duration `yaml:"drain_timeout" doc:"then requests in flight may take so long"`
}

// Produce says how records are sent to Kafka.
type Produce struct {
	Linger      time.Duration `yaml:"linger" doc:"gathers the records of many requests into one write"`
	Compression string        `yaml:"compression" doc:"none, snappy, lz4 or zstd"`
}

// Spool bounds what is kept on disk while Kafka is away.
type Spool struct {
	MaxBytes    config.Bytes `yaml:"max_bytes" doc:"bytes on disk; beyond them requests are answered 503; 0: no spool"`
	MinFree     config.Bytes `yaml:"min_free" doc:"bytes of the file system that the spool leaves free"`
	Segment     config.Bytes `yaml:"segment" doc:"size of a file, about"`
	DrainWindow config.Bytes `yaml:"drain_window" doc:"bytes from the spool that wait for Kafka's acknowledgement at a time"`
}

// Dedup bounds the memory of message ids.
type Dedup struct {
	Window time.Duration `yaml:"window" doc:"how long an id is remembered; 0: not at all"`
	MaxIDs int           `yaml:"max_ids" doc:"ids that are remembered, 16 bytes each; older ones are forgotten first, and some early where many fall into one place"`
}

// TLS names the certificate of the HTTP edge.
type TLS struct {
	CertFile string `yaml:"cert_file" doc:"certificate with its chain, PEM; read again when it changes"`
	KeyFile  string `yaml:"key_file" doc:"its private key, PEM"`
}

// Rejections bounds the memory of dead letters.
type Rejections struct {
	History time.Duration `yaml:"history" doc:"how far back dead letters are read at the start"`
	Entries int           `yaml:"entries" doc:"dead letters that are remembered; the oldest are forgotten first"`
	Bytes   config.Bytes  `yaml:"bytes" doc:"memory that they may take"`
}

// Tail bounds those who watch events come in.
type Tail struct {
	Readers int `yaml:"readers" doc:"readers at a time; further ones are answered 503"`
	Buffer  int `yaml:"buffer" doc:"lines that a slow reader may be behind before some are dropped"`
}

// Source is an app that sends events.
type Source struct {
	Enabled        bool          `yaml:"enabled" doc:"false answers 403 to its keys"`
	Keys           []Key         `yaml:"keys" doc:"its write keys; several overlap while they are changed"`
	Origins        []string      `yaml:"origins" doc:"sites whose pages may use its browser keys, such as https://*.example.com; empty: all"`
	RequireOrigin  bool          `yaml:"require_origin" doc:"with origins: refuse requests of browser keys that name no origin"`
	SkewCorrection bool          `yaml:"skew_correction" doc:"correct timestamps by the difference between sentAt and this server's clock"`
	Rate           Rate          `yaml:"rate" doc:"what each of its keys may send to this process"`
	Limits         SourceLimits  `yaml:"limits" doc:"instead of those of ingest.limits"`
	IP             IPPolicy      `yaml:"ip" doc:"what becomes of context.ip: keep, truncate (to /24 or /48), hash or drop"`
	Bots           BotPolicy     `yaml:"bots" doc:"events of programs that say so: flag, reject or ignore"`
	Privacy        []PrivacyRule `yaml:"privacy" doc:"what is removed from events before anything keeps them"`
	SuppressFile   string        `yaml:"suppress_file" doc:"file of userIds and anonymousIds whose events are not kept, one a line, plain or sha256:HEX"`
	Plan           string        `yaml:"plan" doc:"file of the tracking plan"`
}

// SetDefaults is for the configuration loader.
func (s *Source) SetDefaults() {
	s.Enabled, s.SkewCorrection = true, true
	s.Rate.Burst, s.IP, s.Bots = 2*time.Second, IPKeep, BotsFlag
}

// Rate bounds what a write key may send to one process.
type Rate struct {
	Events float64       `yaml:"events_per_second" doc:"0: unlimited"`
	Bytes  config.Bytes  `yaml:"bytes_per_second" doc:"inflated; 0: unlimited"`
	Burst  time.Duration `yaml:"burst" doc:"how much of it may come at once after a pause"`
}

// SourceLimits bounds the events of one source; 0 means the limit of ingest.limits.
type SourceLimits struct {
	Event     config.Bytes `yaml:"event" doc:"an event; larger ones are rejected"`
	EventSoft config.Bytes `yaml:"event_soft" doc:"an event; larger ones are accepted and flagged"`
}

// IPPolicy says what becomes of context.ip, whoever set it.
type IPPolicy string

// The policies for addresses; none means IPKeep.
const (
	IPKeep     IPPolicy = "keep"
	IPTruncate IPPolicy = "truncate" // to its /24 or /48
	IPHash     IPPolicy = "hash"
	IPDrop     IPPolicy = "drop"
)

// BotPolicy says what becomes of events that come from bots.
type BotPolicy string

// The policies for bots; none means BotsFlag.
const (
	BotsFlag   BotPolicy = "flag"
	BotsReject BotPolicy = "reject"
	BotsIgnore BotPolicy = "ignore"
)

// PrivacyRule removes something from events.
type PrivacyRule struct {
	Action PrivacyAction `yaml:"action" doc:"drop, mask or hash"`
	Path   string        `yaml:"path" doc:"member, such as properties.email; * is one level, [] every element of an array"`
	Types  []event.Type  `yaml:"types" doc:"only these types of calls; empty: all"`
	Events []string      `yaml:"events" doc:"only track calls of these names; empty: all"`
}

// PrivacyAction is what a privacy rule does to a member.
type PrivacyAction string

// The actions of privacy rules.
const (
	PrivacyDrop PrivacyAction = "drop" // removes it
	PrivacyMask PrivacyAction = "mask" // replaces a scalar by "***"
	PrivacyHash PrivacyAction = "hash" // HMAC-SHA256 in hex, so that equal inputs stay joinable
)

// Key is a write key of a source, in plain text or as its hash.
type Key struct {
	Key      config.Secret `yaml:"key" doc:"the key"`
	SHA256   string        `yaml:"sha256" doc:"or its SHA-256 in hex, which keeps a secret out of the file"`
	Kind     Kind          `yaml:"kind" doc:"browser (public) or server (secret)"`
	NotAfter time.Time     `yaml:"not_after" doc:"when it ends, RFC 3339; empty: never"`
}

// Kind says what the holder of a key may do.
type Kind string

// The kinds of keys: a browser's is public, a server's is secret.
const (
	KindBrowser Kind = "browser"
	KindServer  Kind = "server"
)

// DefaultConfig returns the values used in production; sources are the operator's to name.
func DefaultConfig() Config {
	return Config{
		Listen:         "127.0.0.1:8080",
		ClientIPHeader: "X-Forwarded-For",
		DataDir:        "<data_dir>/ingest",
		Limits: Limits{
			Body: 4 * config.MiB, Inflated: 16 * config.MiB, BatchEvents: 10_000, Event: event.HardLimit, EventSoft: event.SoftLimit,
			Depth: event.MaxDepth, Header: 16 * config.KiB, Connections: 10_000, Inflight: 64 * config.MiB,
		},
		Timeouts: Timeouts{
			Header: 5 * time.Second, Body: 30 * time.Second, Idle: 75 * time.Second,
			AckTimeout: 3 * time.Second, AnswerTimeout: 8 * time.Second, DrainDelay: 5 * time.Second, DrainTimeout: 25 * time.Second,
		},
		RejectedMax: 900 * config.KiB,
		Rejections:  Rejections{History: 24 * time.Hour, Entries: 10_000, Bytes: 16 * config.MiB},
		Tail:        Tail{Readers: 32, Buffer: 256},
		Produce:     Produce{Linger: 5 * time.Millisecond, Compression: "lz4"},
		Spool:       Spool{MaxBytes: 10 * config.GiB, MinFree: config.GiB, Segment: 64 * config.MiB, DrainWindow: 32 * config.MiB},
		Dedup:       Dedup{Window: 10 * time.Minute, MaxIDs: 1_000_000},
	}
}

// DevSources returns the sources of millstream dev: app, with the keys dev and dev-server.
func DevSources() map[string]Source {
	return map[string]Source{"app": {
		Enabled: true, SkewCorrection: true,
		Keys: []Key{{Key: "dev", Kind: KindBrowser}, {Key: "dev-server", Kind: KindServer}},
	}}
}

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	errs := []error{
		config.ListenAddr("ingest.listen", c.Listen),
		config.BaseURL("ingest.public_url", c.PublicURL),
		config.NotEmpty("ingest.client_ip_header", c.ClientIPHeader),
		config.OneOf("ingest.produce.compression", c.Produce.Compression, "none", "snappy", "lz4", "zstd"),
		config.NonNegative("ingest.produce.linger", c.Produce.Linger),
		config.NonNegative("ingest.dedup.window", c.Dedup.Window),
		config.Positive("ingest.dedup.max_ids", c.Dedup.MaxIDs),
		config.NotEmpty("ingest.data_dir", c.DataDir),
		config.Positive("ingest.rejected_max_bytes", c.RejectedMax),
		config.NonNegative("ingest.rejections.history", c.Rejections.History),
		config.Positive("ingest.rejections.entries", c.Rejections.Entries),
		config.Positive("ingest.rejections.bytes", c.Rejections.Bytes),
		config.NonNegative("ingest.tail.readers", c.Tail.Readers),
		config.Positive("ingest.tail.buffer", c.Tail.Buffer),
		c.TLS.validate(), c.Limits.validate(), c.Timeouts.validate(), c.Spool.validate(), c.patience(),
	}
	if c.PathPrefix != "" && !strings.HasPrefix(c.PathPrefix, "/") {
		errs = append(errs, config.Invalid("ingest.path_prefix", "must begin with / (got %q)", c.PathPrefix))
	}
	for i, p := range c.TrustedProxies {
		if _, err := netip.ParsePrefix(p); err != nil {
			errs = append(errs, config.Invalid(fmt.Sprintf("ingest.trusted_proxies[%d]", i), "must be a network such as 10.0.0.0/8 (got %q)", p))
		}
	}
	switch {
	case c.SourcesFile == "":
		errs = append(errs, validateSources(c.Sources))
	case len(c.Sources) > 0:
		errs = append(errs, config.Invalid("ingest.sources_file", "must not be set beside ingest.sources: move the sources into the file, or leave it out"))
	}
	for name, s := range c.Sources {
		_, err := newPrivacy("ingest.sources."+name, s, c.PrivacyHashKey)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (l Limits) validate() error {
	return errors.Join(
		config.Positive("ingest.limits.body", l.Body),
		config.Between("ingest.limits.inflated", l.Inflated, 1, config.GiB),
		config.AtMost("ingest.limits.body", l.Body, "ingest.limits.inflated", l.Inflated),
		config.Positive("ingest.limits.batch_events", l.BatchEvents),
		config.Positive("ingest.limits.event", l.Event),
		config.Positive("ingest.limits.event_soft", l.EventSoft),
		config.Between("ingest.limits.depth", l.Depth, 2, 10_000),
		config.Between("ingest.limits.header", l.Header, 8*config.KiB, config.MiB),
		config.Positive("ingest.limits.connections", l.Connections),
		config.AtMost("ingest.limits.inflated", l.Inflated, "ingest.limits.inflight", l.Inflight),
	)
}

func (s Spool) validate() error {
	return errors.Join(
		config.NonNegative("ingest.spool.max_bytes", s.MaxBytes),
		config.NonNegative("ingest.spool.min_free", s.MinFree),
		config.Positive("ingest.spool.segment", s.Segment),
		config.Positive("ingest.spool.drain_window", s.DrainWindow),
	)
}

func (t Timeouts) validate() error {
	return errors.Join(
		config.Positive("ingest.timeouts.header", t.Header),
		config.Positive("ingest.timeouts.body", t.Body),
		config.Positive("ingest.timeouts.idle", t.Idle),
		config.Positive("ingest.timeouts.ack_timeout", t.AckTimeout),
		config.Positive("ingest.timeouts.answer_timeout", t.AnswerTimeout),
		config.NonNegative("ingest.timeouts.drain_delay", t.DrainDelay),
		config.NonNegative("ingest.timeouts.drain_timeout", t.DrainTimeout),
	)
}

// patience wants what waits to be in the spool before its request is answered.
func (c Config) patience() error {
	ack, answer := c.Timeouts.AckTimeout, c.Timeouts.AnswerTimeout
	if c.Spool.MaxBytes <= 0 || ack <= 0 || answer <= 0 || ack < answer {
		return nil
	}
	return config.Invalid("ingest.timeouts.ack_timeout", "must be < ingest.timeouts.answer_timeout, which is %v (got %v): "+
		"requests would be answered 503 before their events go to the spool", answer, ack)
}

func validateSources(sources map[string]Source) error {
	name := regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	holder := map[[32]byte]string{}
	var errs []error
	if len(sources) == 0 {
		errs = append(errs, config.Invalid("ingest.sources", "must name at least one source, for example {app: {keys: [{key: …, kind: browser}]}}"))
	}
	for _, src := range slices.Sorted(maps.Keys(sources)) {
		path, s := "ingest.sources."+src, sources[src]
		if !name.MatchString(src) {
			errs = append(errs, config.Invalid(path, "must be named by a-z, 0-9 and _, at most 63 of them, and begin with a letter"))
		}
		if len(s.Keys) == 0 {
			errs = append(errs, config.Invalid(path+".keys", "must have at least one key"))
		}
		for i, o := range s.Origins {
			if !validOrigin(o) {
				errs = append(errs, config.Invalid(fmt.Sprintf("%s.origins[%d]", path, i), "must be an origin such as https://shop.example.com or https://*.example.com (got %q)", o))
			}
		}
		errs = append(errs, s.Rate.validate(path+".rate"),
			config.NonNegative(path+".limits.event", s.Limits.Event), config.NonNegative(path+".limits.event_soft", s.Limits.EventSoft))
		if s.Bots != "" {
			errs = append(errs, config.OneOf(path+".bots", s.Bots, BotsFlag, BotsReject, BotsIgnore))
		}
		for i, k := range s.Keys {
			path := fmt.Sprintf("%s.keys[%d]", path, i)
			errs = append(errs, k.validate(path))
			sum, err := k.digest()
			if err != nil {
				continue // reported by validate
			}
			if other, taken := holder[sum]; taken {
				errs = append(errs, config.Invalid(path, "must not be a key that %s has, too", other))
			}
			holder[sum] = path
		}
	}
	return errors.Join(errs...)
}

func (r Rate) validate(path string) error {
	errs := []error{config.NonNegative(path+".events_per_second", r.Events), config.NonNegative(path+".bytes_per_second", r.Bytes)}
	if r.Events > 0 || r.Bytes > 0 {
		errs = append(errs, config.Between(path+".burst", r.Burst, time.Millisecond, time.Hour))
	}
	return errors.Join(errs...)
}

func (k Key) validate(path string) error {
	var errs []error
	switch {
	case (k.Key == "") == (k.SHA256 == ""):
		errs = append(errs, config.Invalid(path, "must have either key or sha256"))
	case k.Key != "" && !validKey(k.Key.Reveal()):
		errs = append(errs, config.Invalid(path+".key", "must be 1 to 128 of A-Z, a-z, 0-9, _ and -, and not v1"))
	case k.SHA256 != "":
		if raw, err := hex.DecodeString(k.SHA256); err != nil || len(raw) != 32 {
			errs = append(errs, config.Invalid(path+".sha256", "must be 64 hex digits"))
		}
	}
	return errors.Join(append(errs, config.OneOf(path+".kind", k.Kind, KindBrowser, KindServer))...)
}
