package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/cdc"
	"github.com/millstream-data/millstream/deploy/examples"
	"github.com/millstream-data/millstream/ingest"
	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/demo"
	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/objstore"
)

// dev runs everything in one process on embedded servers:
//
//	demo shop ──HTTP──▶ ingest ──▶ ┌───────────┐ ──▶ batcher ──▶ ┌────────────┐ ──▶ loader ──▶ ┌────────────────┐
//	    │                          │ embedded  │                 │ embedded S3│                │ local Redshift │
//	    └─SQLite file─▶ cdc ─────▶ │   Kafka   │ ──▶ rollup ──▶  └────────────┘                └────────────────┘
//	                               └───────────┘        └──▶ SQLite metric store ──▶ serve ──▶ wallboards
//
// The roles are the same as in production, and so are the protocols between
// them; what differs is the servers.
func (p *program) dev(ctx context.Context, args []string) error {
	f := p.newFlags("dev", "[--demo] [--cdc DSN] [--data-dir DIR] [--config FILE] [--set KEY=VALUE …]")
	withDemo := f.set.Bool("demo", false, "let a made-up shop send traffic")
	mirrored := f.set.String("cdc", "", "mirror every table of the database at `DSN`: postgres://…, mysql://…, mariadb://… or file:…")
	f.key("ingest-listen", "ingest.listen", "address of the HTTP edge")
	f.key("serve-listen", "serve.listen", "address of wallboards and query API")
	f.key("admin-listen", "admin.listen", "address of metrics and health")
	f.key("kafka-listen", "local.kafka.listen", "address of the embedded Kafka")
	f.key("s3-listen", "local.s3.listen", "address of the embedded S3 server")
	f.key("redshift-listen", "local.redshift.listen", "address of the local Redshift")
	cfg, err := p.load(f, args, devConfig(), append(allSections(), "local")...)
	if err != nil {
		return err
	}
	if cfg.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	if err := copyExamples(cfg); err != nil {
		return err
	}
	shopFile := filepath.Join(cfg.DataDir, "shop.db")
	if *withDemo && len(cfg.CDC.Sources) == 0 {
		cfg.CDC.Sources = demoSource(shopFile)
	}
	if _, err := os.Stat(shopFile); err == nil && len(cfg.CDC.Sources) == 0 {
		cfg.CDC.Sources = demoSource(shopFile) // a shop that was opened once stays mirrored
	}
	if err := mirror(&cfg, *mirrored); err != nil {
		return err
	}
	s, err := p.start(ctx, cfg)
	if err != nil {
		return err
	}
	d := &devServers{services: s}
	return s.run(ctx, func(ctx context.Context) error {
		if err := d.start(ctx); err != nil {
			return err
		}
		if !*withDemo {
			if err := s.startRoles(ctx); err != nil {
				return err
			}
			p.welcome(s.cfg, false)
			return nil
		}
		shop, err := demo.New(ctx, demo.Config{ // before the roles: cdc wants the shop's tables
			Endpoint: "http://" + s.cfg.Ingest.Listen, WriteKey: devWriteKey, Database: shopFile, Every: 4 * time.Second,
		}, s.log)
		if err != nil {
			return err
		}
		if err := s.startRoles(ctx); err != nil {
			return err
		}
		s.stack.task(ctx, "demo shop", shop.Run)
		p.welcome(s.cfg, true)
		return nil
	})
}

const (
	devWriteKey = "dev"
	devBucket   = "lake"
)

// devConfig holds the defaults of millstream dev: everything on loopback, and
// intervals for somebody who is watching.
func devConfig() Config {
	c := defaultConfig()
	c.DataDir = ".millstream"
	c.Log.Level = "warn"
	c.Kafka.Topics.Partitions, c.Kafka.Topics.Replication = 4, 1
	c.S3.PathStyle, c.S3.AccessKeyID, c.S3.SecretAccessKey = true, "millstream", "millstream"
	c.Lake.Bucket = devBucket
	c.Local.Redshift.Dir = "<data_dir>/redshift"
	c.Warehouse.DSN, c.Warehouse.SSLMode = "postgres://millstream@127.0.0.1:5439/millstream", "disable" // the port follows local.redshift.listen
	c.MetricStore.DSN = "sqlite:<data_dir>/metrics.db"
	c.Ingest.Sources = ingest.DevSources()
	c.Ingest.Timeouts.DrainDelay, c.Serve.Timeouts.DrainDelay = 0, 0 // no balancer has to be waited for
	c.Serve.Timeouts.DrainTimeout = 2 * time.Second
	c.Batcher.Cut.Age, c.Batcher.Cut.MaxAge = 4*time.Second, 6*time.Second
	c.Loader.Interval = 3 * time.Second
	c.Loader.Lease.Holder = "dev"         // so that a restart after kill -9 need not wait for its own lease to end
	c.Models.Dir = "<data_dir>/../models" // looked at when it exists
	c.Rollup.Definitions = "<data_dir>/metrics"
	c.Serve.Boards = "<data_dir>/boards"
	return c
}

// mirror adds a source that reads a whole database as millstream cdc plan says.
// It has the name of the database.
func mirror(cfg *Config, dsn string) error {
	if dsn == "" {
		return nil
	}
	src, err := cdc.SourceOf(dsn)
	if err != nil {
		return fmt.Errorf("--cdc: %w", err)
	}
	path, _, _ := strings.Cut(dsn, "?")
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(strings.TrimSuffix(path[strings.LastIndexAny(path, "/:")+1:], ".db")))
	if name == "" || name[0] < 'a' || len(name) > 32 {
		name = "db"
	}
	if _, taken := cfg.CDC.Sources[name]; taken {
		name = "mirror"
	}
	if cfg.CDC.Sources == nil {
		cfg.CDC.Sources = map[string]cdc.SourceConfig{}
	}
	cfg.CDC.Sources[name] = src
	return cfg.CDC.Validate()
}

// demoSource mirrors the shop's two tables: what changed within seconds, and
// what was deleted or changed without its stamp a little later.
func demoSource(file string) map[string]cdc.SourceConfig {
	var table cdc.TableConfig
	table.SetDefaults()
	var strategy cdc.StrategyConfig
	strategy.SetDefaults()
	strategy.Kind, strategy.Timestamp, strategy.Every = "incremental", cdc.Columns{"updated_at"}, 2*time.Second
	var whole cdc.StrategyConfig
	whole.SetDefaults()
	whole.Kind, whole.Publish, whole.Every = "full", "diff", 15*time.Second
	table.Strategies = []cdc.StrategyConfig{strategy, whole}
	var source cdc.SourceConfig
	source.SetDefaults()
	source.Kind, source.DSN = "sqlite", config.Secret("file:"+file)
	source.Tables = map[string]cdc.TableConfig{"main.orders": table, "main.customers": table}
	return map[string]cdc.SourceConfig{"shop": source}
}

// devServers are the embedded servers, started one after the other.
type devServers struct{ *services }

func (d *devServers) start(ctx context.Context) error {
	broker, err := local.NewKafka(d.cfg.Local.Kafka, d.log)
	if err != nil {
		return err
	}
	d.stack.keep("embedded kafka", broker.Close)
	d.cfg.Kafka.Brokers = []string{broker.Addr()}

	store, err := local.NewS3(d.cfg.Local.S3, d.log)
	if err != nil {
		return err
	}
	d.stack.keep("embedded s3", func() {
		if err := store.Close(); err != nil {
			d.log.Warn("embedded s3 did not close", "err", err)
		}
	})
	d.cfg.S3.Endpoint = store.URL()
	lake, err := objstore.New(ctx, d.cfg.S3, d.cfg.Lake.Bucket, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	if err := lake.EnsureBucket(ctx); err != nil {
		return err
	}

	warehouse, err := redshift.New(d.cfg.Local.Redshift, copySource{lake}, d.log)
	if err != nil {
		return err
	}
	d.stack.task(ctx, "local redshift", warehouse.Run)
	d.cfg.Warehouse.DSN = fmt.Sprintf("postgres://%s@%s/%s", d.cfg.Local.Redshift.User, warehouse.Addr(), d.cfg.Local.Redshift.Database)
	d.cfg.Warehouse.Password = d.cfg.Local.Redshift.Password
	return d.tell()
}

// copyExamples puts metrics and boards into the data folder where there are
// none, for people to change: both are read again when they are saved.
func copyExamples(c Config) error {
	for from, to := range map[string]string{"metrics": c.Rollup.Definitions, "boards": c.Serve.Boards} {
		if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		files, err := fs.Sub(examples.Files, from)
		if err != nil {
			return fmt.Errorf("examples: %w", err)
		}
		if err := os.CopyFS(to, files); err != nil {
			return fmt.Errorf("copy examples: %w", err)
		}
	}
	return nil
}

// welcome says what listens where and what to do first.
func (p *program) welcome(c Config, withDemo bool) {
	port := func(addr string) string {
		_, port, _ := net.SplitHostPort(addr) // validated
		return port
	}
	shop := "run it with --demo and a made-up shop sends traffic"
	if withDemo {
		shop = "a made-up shop is sending traffic; its database is " + filepath.Join(c.DataDir, "shop.db")
	}
	keys := "dev (browser), dev-server (server)"
	if c.Ingest.SourcesFile != "" {
		keys = "those in " + c.Ingest.SourcesFile
	}
	r := strings.NewReplacer("{keys}", keys,
		"{ingest}", c.Ingest.Listen, "{serve}", c.Serve.Listen, "{admin}", c.Admin.Listen, "{kafka}", c.Kafka.Brokers[0],
		"{s3}", strings.TrimPrefix(c.S3.Endpoint, "http://"), "{redshift_port}", port(c.Local.Redshift.Listen), "{redshift}", c.Local.Redshift.Listen,
		"{data}", c.DataDir, "{shop}", shop, "{definitions}", c.Rollup.Definitions, "{models}", c.Models.Dir, "{boards}", c.Serve.Boards, "{bucket}", c.Lake.Bucket,
		"{user}", c.Local.Redshift.User, "{password}", c.Local.Redshift.Password.Reveal(), "{database}", c.Local.Redshift.Database,
	)
	_, _ = r.WriteString(p.stdout, welcomeText) // nobody is there to be told if the terminal is gone
}

const welcomeText = `
Millstream runs on this machine; {shop}.

  wallboard   http://{serve}/
  events      http://{ingest}      write keys: {keys}
  warehouse   {redshift}             psql 'postgres://{user}:{password}@127.0.0.1:{redshift_port}/{database}'
  Kafka       {kafka}
  S3          http://{s3}      bucket {bucket}, any credentials, path style
  operation   http://{admin}      /readyz /metrics
  data        {data}

Send an event:
  curl -u dev: -d '{"userId":"u1","event":"Order Completed","properties":{"total":12.5,"currency":"EUR","plan":"pro"}}' http://{ingest}/v1/track

Point a Segment SDK here, for example in Node:
  new Analytics({ writeKey: 'dev-server', host: 'http://{ingest}' })

Ask the warehouse, a few seconds later:
  select event, count(*) from app.tracks group by 1;

Put a SELECT into {models}/name.sql and it becomes the table models.name; millstream upload FILE.csv makes one of a file.
Change metrics in {definitions} and boards in {boards}; both are read again when saved.
Stop with Ctrl-C.

`
