package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millstream-data/millstream/batcher"
	"github.com/millstream-data/millstream/batcher/loader"
	"github.com/millstream-data/millstream/batcher/models"
	"github.com/millstream-data/millstream/batcher/upload"
	"github.com/millstream-data/millstream/cdc"
	"github.com/millstream-data/millstream/ingest"
	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/rollup"
	"github.com/millstream-data/millstream/serve"
)

// Config is everything there is to configure. Roles own their sections; those
// that several roles share are listed first.
type Config struct {
	DataDir     string                `yaml:"data_dir" doc:"folder for what is kept on this machine; <data_dir> in other keys stands for it"`
	Log         telemetry.LogConfig   `yaml:"log" doc:"what is logged, and how"`
	Admin       telemetry.AdminConfig `yaml:"admin" doc:"metrics, health and profiles"`
	Kafka       kafka.Config          `yaml:"kafka" doc:"the log"`
	S3          objstore.Config       `yaml:"s3" doc:"the object store of the lake"`
	Lake        lake.Config           `yaml:"lake" doc:"where the lake is in the object store"`
	Dedup       dedup.Config          `yaml:"dedup" doc:"what a duplicate is; the same for batcher, rollup and loader"`
	Warehouse   warehouse.Config      `yaml:"warehouse" doc:"Redshift"`
	MetricStore metric.StoreConfig    `yaml:"metric_store" doc:"where cells and their positions are kept"`
	Ingest      ingest.Config         `yaml:"ingest" doc:"the HTTP edge"`
	CDC         cdc.Config            `yaml:"cdc" doc:"the poller of databases"`
	Batcher     batcher.Config        `yaml:"batcher" doc:"Kafka to the lake"`
	Loader      loader.Config         `yaml:"loader" doc:"the lake to Redshift"`
	Models      models.Config         `yaml:"models" doc:"tables and views declared by SQL"`
	Uploads     upload.Config         `yaml:"uploads" doc:"CSV files as tables"`
	Rollup      rollup.Config         `yaml:"rollup" doc:"Kafka to metrics"`
	Serve       serve.Config          `yaml:"serve" doc:"metrics to wallboards"`
	Local       LocalConfig           `yaml:"local" doc:"the embedded servers of millstream dev"`

	sections []section // what the command at hand uses; Validate looks at no others
}

// LocalConfig holds the options of the embedded servers.
type LocalConfig struct {
	Kafka    local.KafkaConfig `yaml:"kafka" doc:"the embedded Kafka"`
	S3       local.S3Config    `yaml:"s3" doc:"the embedded S3 server"`
	Redshift redshift.Config   `yaml:"redshift" doc:"the local Redshift"`
}

// section names a part of the configuration that a command uses.
type section string

func defaultConfig() Config {
	return Config{
		DataDir: "/var/lib/millstream", Log: telemetry.DefaultLogConfig(), Admin: telemetry.DefaultAdminConfig(),
		Kafka: kafka.DefaultConfig(), S3: objstore.DefaultConfig(), Lake: lake.DefaultConfig(), Dedup: dedup.DefaultConfig(),
		Warehouse: warehouse.DefaultConfig(), MetricStore: metric.DefaultStoreConfig(),
		Ingest: ingest.DefaultConfig(), CDC: cdc.DefaultConfig(), Batcher: batcher.DefaultConfig(), Loader: loader.DefaultConfig(), Models: models.DefaultConfig(), Uploads: upload.DefaultConfig(),
		Rollup: rollup.DefaultConfig(), Serve: serve.DefaultConfig(),
		Local: LocalConfig{Kafka: local.DefaultKafkaConfig(), S3: local.DefaultS3Config(), Redshift: redshift.DefaultConfig()},
	}
}

// validators maps each section to its checks.
func (c *Config) validators() map[section]func() error {
	return map[section]func() error{
		"log": c.Log.Validate, "admin": c.Admin.Validate, "kafka": c.Kafka.Validate, "s3": c.S3.Validate, "lake": c.Lake.Validate,
		"dedup": c.Dedup.Validate, "warehouse": c.Warehouse.Validate,
		"metric_store": func() error { return errors.Join(c.MetricStore.Validate(), c.MetricStore.Configured()) },
		"ingest":       c.Ingest.Validate, "cdc": c.CDC.Validate, "batcher": c.Batcher.Validate, "loader": c.Loader.Validate, "models": c.Models.Validate, "uploads": c.Uploads.Validate,
		"rollup": c.Rollup.Validate, "serve": c.Serve.Validate,
		"local": func() error {
			return errors.Join(c.Local.Kafka.Validate(), c.Local.S3.Validate(), c.Local.Redshift.Validate())
		},
	}
}

// Validate returns every problem of the sections that the command uses.
func (c *Config) Validate() error {
	errs := []error{config.NotEmpty("data_dir", c.DataDir)}
	checks := c.validators()
	for _, s := range c.sections {
		errs = append(errs, checks[s]())
	}
	return errors.Join(errs...)
}

// resolve replaces <data_dir> in the paths that are below it by default.
func (c *Config) resolve() {
	for _, path := range []*string{
		&c.Local.Kafka.Dir, &c.Local.S3.Dir, &c.Local.Redshift.Dir, &c.MetricStore.DSN,
		&c.Batcher.Disk.Dir, &c.CDC.DataDir, &c.Ingest.DataDir, &c.Ingest.SourcesFile, &c.Rollup.Definitions, &c.Serve.Boards,
	} {
		*path = strings.ReplaceAll(*path, "<data_dir>", c.DataDir)
	}
	if beside, ok := strings.CutPrefix(c.Models.Dir, "<data_dir>"); ok {
		c.Models.Dir = filepath.Join(c.DataDir, beside) // dev's is beside it, and people read the path in messages
	}
}

// flags are the options of a command that stand for keys of the configuration.
type flags struct {
	set    *flag.FlagSet
	file   string
	values []config.Flag
}

func (p *program) newFlags(name, usage string) *flags {
	f := &flags{set: flag.NewFlagSet(name, flag.ContinueOnError)}
	f.set.SetOutput(p.stderr)
	f.set.Usage = func() {
		fmt.Fprintf(p.stderr, "usage: millstream %s %s\n", name, usage)
		f.set.PrintDefaults()
	}
	f.set.StringVar(&f.file, "config", "", "YAML `file` with the configuration; also MILLSTREAM_CONFIG")
	f.set.Func("set", "`key=value` of the configuration, such as ingest.listen=127.0.0.1:8081; may be repeated", func(arg string) error {
		v, err := config.ParseSet(arg)
		f.values = append(f.values, v)
		return err
	})
	f.key("data-dir", "data_dir", "folder for what is kept on this machine")
	f.key("log-level", "log.level", "debug, info, warn or error")
	return f
}

// key adds a flag that stands for the configuration's key.
func (f *flags) key(name, key, usage string) {
	f.set.Func(name, usage+" ("+key+")", func(value string) error {
		f.values = append(f.values, config.Flag{Name: "--" + name, Key: key, Value: value})
		return nil
	})
}

// load parses args and reads the configuration over the defaults in cfg.
func (p *program) load(f *flags, args []string, cfg Config, sections ...section) (Config, error) {
	if err := f.set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return cfg, errUsage
		}
		return cfg, errUsage
	}
	if f.set.NArg() > 0 {
		return cfg, fmt.Errorf("%s: unexpected argument %q", f.set.Name(), f.set.Arg(0))
	}
	file := f.file
	for _, e := range p.environ {
		if v, ok := strings.CutPrefix(e, configVariable+"="); ok && file == "" {
			file = v
		}
	}
	cfg.sections = append(slices.Clone(sections), "log")
	layers := config.Options{File: file, Environ: p.environ, Ignore: ignoredVariables(), Flags: f.values}
	if len(cfg.Ingest.Sources) > 0 { // those of millstream dev, which give way to a file
		var named Config // no sections: nothing else is looked at, and what is wrong is said below
		_ = config.Load(&named, layers)
		if named.Ingest.SourcesFile != "" {
			cfg.Ingest.Sources = nil
		}
	}
	err := config.Load(&cfg, layers)
	if err == nil && slices.Contains(cfg.sections, "cdc") {
		err = cfg.CDC.ResolveEnv(p.environ)
	}
	cfg.resolve()
	return cfg, err
}

const configVariable = "MILLSTREAM_CONFIG"

// ignoredVariables begin as ours do and mean something else.
func ignoredVariables() []string {
	return []string{configVariable, "MILLSTREAM_TEST_*", "MILLSTREAM_SERVICES"}
}

// config prints the configuration in force, or what there is to configure.
func (p *program) config(_ context.Context, args []string) error {
	f := p.newFlags("config", "[--reference] [--config FILE] [--set KEY=VALUE …]")
	reference := f.set.Bool("reference", false, "print every key with its default and meaning, as Markdown")
	cfg, err := p.load(f, args, defaultConfig())
	if err != nil {
		return err
	}
	if *reference {
		_, err = io.WriteString(p.stdout, config.Reference(defaultConfig()))
		return err
	}
	text, err := config.Dump(cfg)
	if err != nil {
		return err
	}
	_, err = p.stdout.Write(text)
	return err
}

// version prints what this binary was built from.
func (p *program) version(context.Context, []string) error {
	b := telemetry.ReadBuild()
	_, err := fmt.Fprintf(p.stdout, "millstream %s (revision %s, %s)\n", b.Version, b.Revision, b.GoVersion)
	return err
}
