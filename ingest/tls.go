package ingest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// certificate is the pair of ingest.tls. It is read again when its files change; a pair that is not right leaves the one
// before in force.
type certificate struct {
	files   TLS
	log     *slog.Logger
	every   time.Duration // between looks at the files
	pair    atomic.Pointer[tls.Certificate]
	broken  atomic.Pointer[string] // what is wrong with the files, or nil
	content []byte                 // of both files, as they were last read; belongs to watch
}

// newCertificate reads the pair, or returns nil if there is to be none. What is wrong is led by the key of its file.
func newCertificate(files TLS, log *slog.Logger) (*certificate, error) {
	if files == (TLS{}) {
		return nil, nil //nolint:nilnil // plain HTTP
	}
	c := &certificate{files: files, log: log, every: 2 * time.Second}
	cert, key, err := c.read()
	if err == nil {
		err = c.use(cert, key)
	}
	c.content = slices.Concat(cert, key)
	return c, err
}

// read returns the bytes of both files.
func (c *certificate) read() (cert, key []byte, err error) {
	if cert, err = os.ReadFile(c.files.CertFile); err != nil {
		return nil, nil, fmt.Errorf("ingest.tls.cert_file: %w", err)
	}
	if key, err = os.ReadFile(c.files.KeyFile); err != nil {
		return nil, nil, fmt.Errorf("ingest.tls.key_file: %w", err)
	}
	return cert, key, nil
}

// use puts a pair in force, if it is one.
func (c *certificate) use(cert, key []byte) error {
	block, _ := pem.Decode(cert)
	if block == nil || block.Type != "CERTIFICATE" {
		return fmt.Errorf("ingest.tls.cert_file: %s holds no PEM certificate", c.files.CertFile)
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return fmt.Errorf("ingest.tls.cert_file: %s: %w", c.files.CertFile, err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("ingest.tls.key_file: %s: %w", c.files.KeyFile, err)
	}
	c.pair.Store(&pair)
	return nil
}

// config is that of the server; net/http adds HTTP/2.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Load(), nil },
	}
}

// watch looks at the files until ctx ends. They are compared by their bytes: a file that is a link, as Kubernetes has
// them, changes without a new time of its own.
func (c *certificate) watch(ctx context.Context) {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		cert, key, err := c.read()
		if err == nil {
			now := slices.Concat(cert, key)
			if bytes.Equal(now, c.content) && c.broken.Load() == nil {
				continue
			}
			if err = c.use(cert, key); err == nil {
				c.content, said = now, ""
				c.broken.Store(nil)
				c.log.Info("tls certificate read again", "ends", c.pair.Load().Leaf.NotAfter)
				continue
			}
		}
		text := err.Error()
		c.broken.Store(&text)
		if text != said { // two files are not written at once: one look may see half of a change
			c.log.Error("tls certificate is wrong; the one before stays", "err", err)
			said = text
		}
	}
}

// trouble says in a sentence what is wrong with the pair, or returns "".
func (c *certificate) trouble(now time.Time) string {
	if c == nil {
		return ""
	}
	if text := c.broken.Load(); text != nil {
		return "The TLS certificate was not read again: " + *text + "."
	}
	if ends := c.pair.Load().Leaf.NotAfter; now.After(ends) {
		return "The TLS certificate has ended at " + ends.UTC().Format(time.RFC3339) + "."
	}
	return ""
}

func (t TLS) validate() error {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return errors.New("ingest.tls.cert_file: needs ingest.tls.key_file beside it, and the other way round")
	}
	return nil
}
