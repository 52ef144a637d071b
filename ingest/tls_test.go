package ingest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
)

// pairFiles are a certificate and its key on disk.
type pairFiles struct{ cert, key string }

// makePair writes a new pair, whose certificate bears the name, and returns its certificate.
func (p pairFiles) makePair(t *testing.T, name string, life time.Duration) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// setupTLS starts a server with a certificate that it looks at often.
func setupTLS(t *testing.T, change ...func(*Config)) (*edge, pairFiles, *x509.Certificate) {
	t.Helper()
	dir := t.TempDir()
	files := pairFiles{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	cert := files.makePair(t, "first", time.Hour)
	broker, kcfg := testkit.Kafka(t)
	e := setupFaulty(t, kcfg, func(s *Server) { s.certificate.every = 10 * time.Millisecond },
		append([]func(*Config){func(c *Config) { c.TLS = TLS{files.cert, files.key} }}, change...)...)
	e.broker = broker
	e.untilDirect(t)
	return e, files, cert
}

// secure returns a client that trusts cert, with HTTP/2 or without.
func secure(t *testing.T, cert *x509.Certificate, http2 bool) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: http2}
	if !http2 {
		tr.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// over sends a request by c and returns the answer and its protocol.
func (e *edge) over(t *testing.T, c *http.Client, path string, body io.Reader, headers ...string) (answer, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+e.Addr().String()+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Write-Key", "dev-server")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, string(b), resp.Header, resp.Close}, resp.Proto
}

func TestHTTPSWithBothVersionsOfHTTP(t *testing.T) {
	t.Parallel()
	e, _, cert := setupTLS(t)
	for proto, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		a, got := e.over(t, secure(t, cert, http2), "/v1/page", strings.NewReader(page(proto)))
		equal(t, "protocol", got, proto)
		equal(t, proto, a.body, `{"success":true}`)
	}
	e.events(t, 2)
	old := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11} //nolint:gosec // it must be refused
	if c, err := tls.Dial("tcp", e.Addr().String(), old); err == nil {
		c.Close()
		t.Error("TLS 1.1 was accepted")
	}
	if a := e.raw(t, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); a.status != 400 || !strings.Contains(a.body, "HTTPS") {
		t.Errorf("plain HTTP: %d %s", a.status, a.body)
	}
}

func TestCertificateIsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	e, files, first := setupTLS(t)
	name := func() string {
		c, err := tls.Dial("tcp", e.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the name is what is asked for
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	equal(t, "at the start", name(), "first")
	open := secure(t, first, true)
	a, _ := e.over(t, open, "/v1/page", strings.NewReader(page("a")))
	equal(t, "first", a.status, 200)

	write(t, files.cert, []byte("half a file"))
	testkit.Eventually(t, "readiness should be degraded, and name the file", func() error {
		r := e.health.Report(t.Context())
		if r.State != telemetry.StateDegraded || !strings.Contains(r.String(), "ingest.tls.cert_file: "+files.cert+" holds no PEM certificate") {
			return errors.New(r.String())
		}
		return nil
	})
	equal(t, "with a broken file", name(), "first")
	equal(t, "health", e.secureHealth(t, open), `{"status":"degraded"}`)

	files.makePair(t, "second", time.Hour)
	testkit.Eventually(t, "the new certificate should be shown, and all be well", func() error {
		if got, r := name(), e.health.Report(t.Context()); got != "second" || r.State != telemetry.StateReady {
			return fmt.Errorf("%s %s", got, r)
		}
		return nil
	})
	a, _ = e.over(t, open, "/v1/page", strings.NewReader(page("b")))
	equal(t, "a connection from before", a.status, 200)

	files.makePair(t, "third", -time.Minute)
	testkit.Eventually(t, "an ended certificate should be told", func() error {
		if r := e.health.Report(t.Context()); r.State != telemetry.StateDegraded || !strings.Contains(r.String(), "has ended at") {
			return errors.New(r.String())
		}
		return nil
	})
}

func (e *edge) secureHealth(t *testing.T, c *http.Client) string {
	t.Helper()
	resp, err := c.Get("https://" + e.Addr().String() + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStartNamesTheFileOfTheCertificateThatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, other := pairFiles{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}, pairFiles{filepath.Join(dir, "cert2.pem"), filepath.Join(dir, "key2.pem")}
	good.makePair(t, "a", time.Hour)
	other.makePair(t, "b", time.Hour)
	text := filepath.Join(dir, "text")
	write(t, text, []byte("text"))
	for want, files := range map[string]TLS{
		"ingest.tls.cert_file: open /nowhere/cert.pem":              {"/nowhere/cert.pem", good.key},
		"ingest.tls.key_file: open /nowhere/key.pem":                {good.cert, "/nowhere/key.pem"},
		"ingest.tls.cert_file: " + text + " holds no PEM":           {text, good.key},
		"ingest.tls.key_file: " + text + ": tls: failed to find":    {good.cert, text},
		"ingest.tls.key_file: " + other.key + ": tls: private key":  {good.cert, other.key},
		"ingest.tls.cert_file: needs ingest.tls.key_file beside it": {good.cert, ""},
	} {
		cfg := testConfig()
		cfg.DataDir, cfg.TLS = t.TempDir(), files
		_, err := New(cfg, Deps{Kafka: kafka.DefaultConfig(), Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Health: telemetry.NewHealth()})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestLimitsHoldUnderHTTP2(t *testing.T) {
	t.Parallel()
	e, _, cert := setupTLS(t, func(c *Config) { c.Timeouts.Header, c.Timeouts.Body = time.Second, 200*time.Millisecond })
	c := secure(t, cert, true)
	a, _ := e.over(t, c, "/v1/page", strings.NewReader(page("a")), "X-Long", strings.Repeat("x", 15<<10))
	equal(t, "15 KiB of headers", a.status, 200)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+e.Addr().String()+"/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("x", 17<<10))
	if resp, err := c.Do(req); err == nil || !strings.Contains(err.Error(), "larger than peer's advertised limit") { // asked before it is sent
		t.Errorf("17 KiB of headers: %v", err)
		resp.Body.Close()
	}

	a, _ = e.over(t, c, "/v1/batch", io.LimitReader(neverEnding('x'), 5<<20), "X-Write-Key", "dev")
	equal(t, "5 MiB without a length", a.status, 413)
	a, _ = e.over(t, c, "/v1/batch", bytes.NewReader(make([]byte, 5<<20)), "X-Write-Key", "dev")
	equal(t, "5 MiB", a.status, 413)
	a, _ = e.over(t, c, "/v1/batch", bytes.NewReader(make([]byte, 5<<20)), "X-Write-Key", "nobody")
	equal(t, "5 MiB with an unknown key", a.status, 401)

	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = io.WriteString(w, `{"userId":`) }() // and nothing more
	a, _ = e.over(t, c, "/v1/page", r)
	equal(t, "slow body", a.status, 408)
	a, _ = e.over(t, c, "/v1/page", strings.NewReader(page("c")))
	equal(t, "afterwards", a.status, 200)
	equal(t, "connections", e.metric(t, "connections"), 1.0)
	e.events(t, 2)
}

// neverEnding is a reader of one byte.
type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func TestHandshakeThatDoesNotComeIsEnded(t *testing.T) {
	t.Parallel()
	e, _, _ := setupTLS(t, func(c *Config) { c.Timeouts.Header = 200 * time.Millisecond })
	ends(t, "no handshake", e.dial(t, ""))
	if err := os.Remove(e.cfg.TLS.CertFile); err != nil {
		t.Fatal(err)
	}
}
