package warehouse

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// Config says where Redshift is and how to talk to it; start from
// DefaultConfig.
type Config struct {
	DSN              string        `yaml:"dsn" doc:"postgres://user@host:5439/database; the password stands apart"`
	Password         config.Secret `yaml:"password" doc:"password of the user in dsn"`
	Auth             string        `yaml:"auth" doc:"password; iam-provisioned or iam-serverless: temporary credentials for the process's AWS identity"`
	Cluster          string        `yaml:"cluster" doc:"cluster identifier (iam-provisioned) or workgroup (iam-serverless)"`
	CopyRole         string        `yaml:"copy_role" doc:"role by which COPY reads the lake: an ARN, ARNs joined by commas, or default"`
	SSLMode          string        `yaml:"sslmode" doc:"verify-full, verify-ca, require, or disable (loopback only)"`
	SSLRootCert      string        `yaml:"sslrootcert" doc:"PEM file of authorities; empty: the system's"`
	ConnectTimeout   time.Duration `yaml:"connect_timeout" doc:"time to open a session"`
	StatementTimeout time.Duration `yaml:"statement_timeout" doc:"time for a statement, queueing included"`
	QueryGroup       string        `yaml:"query_group" doc:"query group of all statements, for a WLM queue of their own"`
	Keys             string        `yaml:"keys" doc:"rules: DISTKEY, SORTKEY and ENCODE by kind of table; auto: left to Redshift"`
	Grants           []string      `yaml:"grants" doc:"who may use new schemas and read new tables: groups, as analysts or group:analysts, role:analysts, user:ada"`
	// Tables are by schema.table.
	Tables map[string]TableConfig `yaml:"tables" doc:"tables that differ from the rules, by schema.table, such as app.order_completed: {distkey: user_id, dedupe: 72h}; keys hold for new tables and by millstream loader reload"`
}

// The values of Config.Keys.
const (
	KeysRules = "rules"
	KeysAuto  = "auto"
)

// DefaultConfig returns the values used in production.
func DefaultConfig() Config {
	return Config{
		Auth: AuthPassword, CopyRole: "default", SSLMode: "verify-full", ConnectTimeout: 15 * time.Second, StatementTimeout: 45 * time.Minute,
		QueryGroup: "millstream_load", Keys: KeysRules,
	}
}

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	return errors.Join(
		c.validateDSN(),
		c.validateAuth(),
		validateRole(c.CopyRole),
		config.OneOf("warehouse.sslmode", c.SSLMode, "verify-full", "verify-ca", "require", "disable"),
		config.Positive("warehouse.connect_timeout", c.ConnectTimeout),
		config.Positive("warehouse.statement_timeout", c.StatementTimeout),
		config.OneOf("warehouse.keys", c.Keys, KeysRules, KeysAuto),
		c.validateGrants(),
		c.validateTables(),
	)
}

// iam says that the password is a temporary one.
func (c Config) iam() bool { return c.Auth == AuthIAMProvisioned || c.Auth == AuthIAMServerless }

func (c Config) validateAuth() error {
	err := config.OneOf("warehouse.auth", c.Auth, AuthPassword, AuthIAMProvisioned, AuthIAMServerless)
	switch {
	case c.iam() && c.Cluster == "":
		err = errors.Join(err, config.Invalid("warehouse.cluster", "must name the cluster or workgroup for warehouse.auth %s", c.Auth))
	case c.iam() && c.Password != "":
		err = errors.Join(err, config.Invalid("warehouse.password", "must be empty with warehouse.auth %s, which fetches its own", c.Auth))
	}
	return err
}

func (c Config) validateDSN() error {
	if c.DSN == "" {
		return config.Invalid("warehouse.dsn", "must not be empty; for example postgres://millstream@cluster.example.eu-west-1.redshift.amazonaws.com:5439/millstream")
	}
	u, err := url.Parse(c.DSN)
	if err != nil { // the error holds the DSN, and perhaps a password
		return config.Invalid("warehouse.dsn", "must be a URL such as postgres://user@host:5439/database")
	}
	switch {
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		return config.Invalid("warehouse.dsn", "must begin with postgres:// (got %q)", u.Scheme)
	case u.Hostname() == "":
		return config.Invalid("warehouse.dsn", "must name a host")
	case u.User.Username() == "" && !c.iam():
		return config.Invalid("warehouse.dsn", "must name a user before the host, as in postgres://user@host:5439/database")
	case strings.Trim(u.Path, "/") == "":
		return config.Invalid("warehouse.dsn", "must name a database after the host, as in postgres://user@host:5439/database")
	}
	if _, has := u.User.Password(); has {
		return config.Invalid("warehouse.dsn", "must not hold a password; it belongs under warehouse.password, where it is never printed")
	}
	if c.SSLMode == "disable" && !loopback(u.Hostname()) {
		return config.Invalid("warehouse.sslmode", "may be disable for a server on this machine only (the host is %s)", u.Hostname())
	}
	return nil
}

var arn = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$`)

func validateRole(role string) error {
	if role == "default" {
		return nil
	}
	for one := range strings.SplitSeq(role, ",arn:") {
		if !strings.HasPrefix(one, "arn:") {
			one = "arn:" + one
		}
		if !arn.MatchString(one) {
			return config.Invalid("warehouse.copy_role", "must be default or an ARN such as arn:aws:iam::123456789012:role/millstream-load (got %q)", one)
		}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// url is the DSN with the options that are keys of their own.
func (c Config) url() (string, error) {
	u, err := url.Parse(c.DSN)
	if err != nil {
		return "", errors.New("warehouse.dsn: not a URL")
	}
	if c.Password != "" {
		u.User = url.UserPassword(u.User.Username(), c.Password.Reveal())
	}
	q := u.Query()
	q.Set("sslmode", c.SSLMode)
	if c.SSLRootCert != "" {
		q.Set("sslrootcert", c.SSLRootCert)
	}
	q.Set("connect_timeout", fmt.Sprint(max(1, int(c.ConnectTimeout.Seconds()))))
	u.RawQuery = q.Encode()
	return u.String(), nil
}
