package cdc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// errMySQLDSN does not repeat the DSN, as the parsers' messages would.
var errMySQLDSN = errors.New("must be mysql://user:password@host:port/database, or user:password@tcp(host:port)/database")

// mysqlConfig reads a DSN, as a URL or as the driver writes it. Of its options
// only those of connecting count: tls (true, skip-verify, preferred, false), ca,
// cert and key (files in PEM), and the driver's for logging in. What a session
// is like is set by the origin.
func mysqlConfig(c SourceConfig, dsn string) (*mysql.Config, error) {
	conf, options, err := parseMySQLDSN(dsn)
	if err != nil {
		return nil, err
	}
	if conf.TLS, err = mysqlTLS(options, conf); err != nil {
		return nil, err
	}
	conf.Timeout = c.Connections.Timeout
	conf.ReadTimeout = c.Timeouts.Statement + 10*time.Second // the server's own limit comes first
	conf.WriteTimeout = c.Timeouts.Statement
	conf.ParseTime, conf.MultiStatements, conf.InterpolateParams = false, false, false
	conf.AllowAllFiles, conf.ColumnsWithAlias = false, false
	conf.MaxAllowedPacket = 1 << 30 // the largest that a server sends
	conf.Params = nil
	conf.Logger = &mysql.NopLogger{} // errors are returned as well
	return conf, conf.Apply(mysql.Charset("utf8mb4", ""))
}

// parseMySQLDSN takes the options ca, cert and key apart, which the driver does not know.
func parseMySQLDSN(dsn string) (*mysql.Config, url.Values, error) {
	login := strings.LastIndex(dsn, "@") + 1 // a password may hold anything
	body, query, _ := strings.Cut(dsn[login:], "?")
	body = dsn[:login] + body
	options, err := url.ParseQuery(query)
	if err != nil {
		return nil, nil, errMySQLDSN
	}
	rest := url.Values{}
	for k, v := range options {
		if k != "ca" && k != "cert" && k != "key" {
			rest[k] = v
		}
	}
	if !strings.Contains(body, "://") {
		conf, err := mysql.ParseDSN(body + "?" + rest.Encode())
		if err != nil {
			return nil, nil, errMySQLDSN
		}
		return conf, options, nil
	}
	u, err := url.Parse(body)
	if err != nil || u.Scheme != kindMySQL && u.Scheme != kindMariaDB || u.Host == "" {
		return nil, nil, errMySQLDSN
	}
	conf, err := mysql.ParseDSN("/?" + rest.Encode())
	if err != nil {
		return nil, nil, errMySQLDSN
	}
	conf.User, conf.DBName = u.User.Username(), strings.TrimPrefix(u.Path, "/")
	conf.Passwd, _ = u.User.Password()
	port := u.Port()
	if port == "" {
		port = "3306"
	}
	conf.Net, conf.Addr = "tcp", net.JoinHostPort(u.Hostname(), port)
	return conf, options, nil
}

// mysqlTLS is what ca, cert and key ask for; nil leaves the option tls to the driver.
func mysqlTLS(options url.Values, conf *mysql.Config) (*tls.Config, error) {
	if options.Get("ca") == "" && options.Get("cert") == "" {
		return conf.TLS, nil
	}
	host, _, err := net.SplitHostPort(conf.Addr)
	if err != nil {
		return nil, errMySQLDSN
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, InsecureSkipVerify: conf.TLSConfig == "skip-verify"} //nolint:gosec // by the operator's word
	if ca := options.Get("ca"); ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("option ca: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("option ca: %s holds no certificate in PEM", ca)
		}
	}
	if cert := options.Get("cert"); cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, options.Get("key"))
		if err != nil {
			return nil, fmt.Errorf("options cert and key: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
