package serve

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// Config holds the options of the serve role; start from DefaultConfig.
type Config struct {
	Listen      string            `yaml:"listen" doc:"address of the pages and the API"`
	PublicURL   string            `yaml:"public_url" doc:"where browsers find this server, if not at the address that they connect to; its host and origin are accepted"`
	Boards      string            `yaml:"boards" doc:"folder of board files, looked at every 5s"`
	Auth        AuthConfig        `yaml:"auth" doc:"who may see what"`
	Origins     []string          `yaml:"origins" doc:"other origins whose pages may ask, such as https://intranet.example.com"`
	Limits      LimitsConfig      `yaml:"limits" doc:"what one node carries"`
	Tick        time.Duration     `yaml:"tick" doc:"time between heartbeats; a page that misses three says OFFLINE"`
	Compression CompressionConfig `yaml:"compression" doc:"permessage-deflate of shared frames"`
	Timeouts    TimeoutsConfig    `yaml:"timeouts" doc:"how long to wait for whom"`
	HealEvery   time.Duration     `yaml:"heal_every" doc:"how often cells in memory are compared with the metric store"`
}

// AuthConfig says who may ask.
type AuthConfig struct {
	Mode   string        `yaml:"mode" doc:"auto: open if the address is a loopback one and there are no tokens; required: a token always; open: whoever reaches the address"`
	Tokens []TokenConfig `yaml:"tokens" doc:"API tokens, by their hash"`
}

// TokenConfig is a token and what it opens.
type TokenConfig struct {
	Name   string           `yaml:"name" doc:"name in logs"`
	SHA256 string           `yaml:"sha256" doc:"hash of the token in hex: printf %s \"$TOKEN\" | sha256sum"`
	Boards []string         `yaml:"boards" doc:"boards whose tiles it opens; empty or *: any question"`
	Where  map[string]Names `yaml:"where" doc:"locked filters: values by dimension; metrics without the dimension are refused"`
}

// LimitsConfig bounds what clients can make a node hold.
type LimitsConfig struct {
	Connections  int          `yaml:"connections" doc:"WebSockets of a node"`
	PerAddress   int          `yaml:"per_address" doc:"WebSockets of one client address"`
	ConnectRate  int          `yaml:"connect_rate" doc:"new WebSockets a second"`
	ConnectBurst int          `yaml:"connect_burst" doc:"new WebSockets at once"`
	Subs         int          `yaml:"subs" doc:"subscriptions of a WebSocket"`
	Views        int          `yaml:"views" doc:"different questions of a node"`
	Frame        config.Bytes `yaml:"frame" doc:"largest message of a client, after inflating"`
	Messages     int          `yaml:"messages" doc:"messages of a client a second; five times as many at once"`
	Rows         int          `yaml:"rows" doc:"rows of a view"`
	Cold         int          `yaml:"cold" doc:"questions that read the metric store at once"`
}

// CompressionConfig says which frames are compressed.
type CompressionConfig struct {
	Enabled bool         `yaml:"enabled" doc:"offer permessage-deflate"`
	Min     config.Bytes `yaml:"min" doc:"frames below this size are sent as they are"`
	Level   int          `yaml:"level" doc:"1 (fast) to 9 (small)"`
}

// TimeoutsConfig holds limits of time.
type TimeoutsConfig struct {
	Header       time.Duration `yaml:"header" doc:"to send the headers of a request"`
	Read         time.Duration `yaml:"read" doc:"to send a whole request"`
	Idle         time.Duration `yaml:"idle" doc:"of an HTTP connection between requests"`
	Hello        time.Duration `yaml:"hello" doc:"to send the first message of a WebSocket"`
	Write        time.Duration `yaml:"write" doc:"of one write; a client that is stuck for longer is cut"`
	Ping         time.Duration `yaml:"ping" doc:"between pings; a peer that leaves three unanswered is cut"`
	DrainDelay   time.Duration `yaml:"drain_delay" doc:"from the first failing /health to the end of listening, for balancers to notice"`
	DrainTimeout time.Duration `yaml:"drain_timeout" doc:"for clients to leave by themselves when the node stops"`
}

// The modes of AuthConfig.
const (
	authAuto     = "auto"
	authRequired = "required"
	authOpen     = "open"
)

// DefaultConfig returns the values used in production.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:8090",
		Boards: "boards/",
		Auth:   AuthConfig{Mode: authAuto},
		Limits: LimitsConfig{
			Connections: 20000, PerAddress: 200, ConnectRate: 2000, ConnectBurst: 10000, Subs: 64, Views: 20000,
			Frame: 8 * config.KiB, Messages: 20, Rows: 2000, Cold: 8,
		},
		Tick:        5 * time.Second,
		Compression: CompressionConfig{Enabled: true, Min: config.KiB, Level: 1},
		Timeouts: TimeoutsConfig{
			Header: 5 * time.Second, Read: 10 * time.Second, Idle: 75 * time.Second, Hello: 5 * time.Second, Write: 10 * time.Second,
			Ping: 25 * time.Second, DrainDelay: 5 * time.Second, DrainTimeout: 20 * time.Second,
		},
		HealEvery: time.Minute,
	}
}

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	errs := []error{
		config.ListenAddr("serve.listen", c.Listen),
		config.BaseURL("serve.public_url", c.PublicURL),
		config.NotEmpty("serve.boards", c.Boards),
		config.OneOf("serve.auth.mode", c.Auth.Mode, authAuto, authRequired, authOpen),
		config.Between("serve.tick", c.Tick, beatEvery, time.Minute),
		config.Between("serve.compression.level", c.Compression.Level, 1, 9),
		config.NonNegative("serve.compression.min", c.Compression.Min),
		config.Positive("serve.heal_every", c.HealEvery),
		config.NonNegative("serve.timeouts.drain_delay", c.Timeouts.DrainDelay),
		config.NonNegative("serve.timeouts.drain_timeout", c.Timeouts.DrainTimeout),
		config.Between("serve.limits.frame", c.Limits.Frame, config.KiB, config.MiB),
	}
	for _, o := range c.Origins {
		if u, err := url.Parse(o); err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" {
			errs = append(errs, config.Invalid("serve.origins", "%q is no origin; write scheme and host: https://intranet.example.com", o))
		}
	}
	for name, d := range map[string]time.Duration{
		"header": c.Timeouts.Header, "read": c.Timeouts.Read, "idle": c.Timeouts.Idle, "hello": c.Timeouts.Hello,
		"write": c.Timeouts.Write, "ping": c.Timeouts.Ping,
	} {
		errs = append(errs, config.Positive("serve.timeouts."+name, d))
	}
	for name, n := range map[string]int{
		"connections": c.Limits.Connections, "per_address": c.Limits.PerAddress, "connect_rate": c.Limits.ConnectRate,
		"connect_burst": c.Limits.ConnectBurst, "subs": c.Limits.Subs, "views": c.Limits.Views, "messages": c.Limits.Messages,
		"rows": c.Limits.Rows, "cold": c.Limits.Cold,
	} {
		errs = append(errs, config.Positive("serve.limits."+name, n))
	}
	errs = append(errs, c.Auth.validate()...)
	if c.needsCredentials() && len(c.Auth.Tokens) == 0 {
		errs = append(errs, config.Invalid("serve.listen",
			"%s can be reached from other machines and nobody has been given a token; list some in serve.auth.tokens, listen on 127.0.0.1, or let everybody in with serve.auth.mode: open", c.Listen))
	}
	return errors.Join(errs...)
}

func (a AuthConfig) validate() (errs []error) {
	if a.Mode == authRequired && len(a.Tokens) == 0 {
		errs = append(errs, config.Invalid("serve.auth.tokens", "must list a token, for serve.auth.mode is required"))
	}
	for i, t := range a.Tokens {
		path := fmt.Sprintf("serve.auth.tokens[%d]", i)
		errs = append(errs, config.NotEmpty(path+".name", t.Name))
		if b, err := hex.DecodeString(t.SHA256); err != nil || len(b) != 32 {
			errs = append(errs, config.Invalid(path+".sha256", "must be 64 hex digits"))
		}
	}
	return errs
}

// needsCredentials is a rule about addresses: whoever can reach an address that is not a loopback one has to show
// a token, unless the operator says otherwise.
func (c Config) needsCredentials() bool {
	switch c.Auth.Mode {
	case authOpen:
		return false
	case authRequired:
		return true
	}
	return len(c.Auth.Tokens) > 0 || !isLoopback(c.Listen)
}

func isLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
