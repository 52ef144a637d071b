package warehouse

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// api is a fake of AWS's two services; answer makes what it says.
func api(t *testing.T, answer func(r *http.Request, body string) (int, string)) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") {
			t.Errorf("request is not signed: %q", r.Header.Get("Authorization"))
		}
		status, text := answer(r, string(body))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	return s
}

func iamConfig(auth string) Config {
	cfg := DefaultConfig()
	cfg.Auth, cfg.Cluster = auth, "analytics"
	cfg.DSN = "postgres://analytics.abc123.eu-west-1.redshift.amazonaws.com:5439/dev"
	return cfg
}

func identity(t *testing.T) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
}

const provisionedAnswer = `<GetClusterCredentialsWithIAMResponse xmlns="http://redshift.amazonaws.com/doc/2012-12-01/"><GetClusterCredentialsWithIAMResult>
<DbUser>IAMR:loader</DbUser><DbPassword>p%d</DbPassword><Expiration>%s</Expiration></GetClusterCredentialsWithIAMResult></GetClusterCredentialsWithIAMResponse>`

func TestIAMCredentialsAreRenewedBeforeTheyExpire(t *testing.T) {
	identity(t)
	calls, life := 0, time.Hour
	s := api(t, func(r *http.Request, body string) (int, string) {
		calls++
		form, err := url.ParseQuery(body)
		if err != nil || form.Get("Action") != "GetClusterCredentialsWithIAM" || form.Get("ClusterIdentifier") != "analytics" || form.Get("DbName") != "dev" {
			t.Errorf("asked for %s, %v", body, err)
		}
		if !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/redshift/aws4_request") {
			t.Errorf("signed for %s", r.Header.Get("Authorization"))
		}
		return http.StatusOK, fmt.Sprintf(provisionedAnswer, calls, time.Now().Add(life).UTC().Format(time.RFC3339))
	})
	c, err := Open(iamConfig(AuthIAMProvisioned))
	if err != nil {
		t.Fatal(err)
	}
	c.issuer.endpoint = s.URL
	get := func(want string) {
		t.Helper()
		got, err := c.issuer.get(t.Context())
		if err != nil || got.user != "IAMR:loader" || got.password != want {
			t.Errorf("%q for %q, %v, want %q", got.password, got.user, err, want)
		}
	}
	get("p1")
	get("p1")
	c.issuer.last.expires = time.Now().Add(renewBefore - time.Second)
	get("p2")
	c.issuer.forget()
	get("p3")
}

func TestServerlessCredentials(t *testing.T) {
	identity(t)
	s := api(t, func(r *http.Request, body string) (int, string) {
		var in map[string]any
		if err := json.Unmarshal([]byte(body), &in); err != nil || in["workgroupName"] != "analytics" || r.Header.Get("X-Amz-Target") != "RedshiftServerless.GetCredentials" {
			t.Errorf("asked %s for %s, %v", r.Header.Get("X-Amz-Target"), body, err)
		}
		return http.StatusOK, fmt.Sprintf(`{"dbUser":"IAM:loader","dbPassword":"pw","expiration":%d.5}`, time.Now().Add(time.Hour).Unix())
	})
	i := &issuer{cfg: iamConfig(AuthIAMServerless), database: "dev", endpoint: s.URL}
	got, err := i.get(t.Context())
	if left := time.Until(got.expires); err != nil || got.user != "IAM:loader" || got.password != "pw" || left < 59*time.Minute || left > 61*time.Minute {
		t.Errorf("%s, %s left, %v", got.user, left, err)
	}
}

func TestRefusedCredentialsSayWhyAndNoSecret(t *testing.T) {
	identity(t)
	for _, c := range []struct{ auth, body, want string }{
		{AuthIAMProvisioned, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>not authorized</Message></Error></ErrorResponse>`, "GetClusterCredentialsWithIAM of analytics: 403 AccessDenied: not authorized"},
		{AuthIAMServerless, `{"__type":"AccessDeniedException","message":"no"}`, "GetCredentials of analytics: 403 AccessDeniedException: no"},
		{AuthIAMServerless, `<html>`, "403 Forbidden"},
	} {
		s := api(t, func(*http.Request, string) (int, string) { return http.StatusForbidden, c.body })
		client, err := Open(iamConfig(c.auth))
		if err != nil {
			t.Fatal(err)
		}
		client.issuer.endpoint = s.URL
		err = client.Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "redshift:GetClusterCredentialsWithIAM") {
			t.Errorf("%s: %v", c.auth, err)
		}
	}
	s := api(t, func(*http.Request, string) (int, string) { return http.StatusOK, `{"dbPassword":"hunter2"}` })
	i := &issuer{cfg: iamConfig(AuthIAMServerless), endpoint: s.URL}
	if _, err := i.get(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("half an answer: %v", err)
	}
}

func TestAuthIsValidated(t *testing.T) {
	t.Parallel()
	cfg := iamConfig(AuthIAMServerless)
	if err := cfg.Validate(); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
	cfg.Cluster, cfg.Password = "", "hunter2"
	err := cfg.Validate()
	if err == nil || !strings.Contains(err.Error(), "warehouse.cluster") {
		t.Errorf("no cluster: %v", err)
	}
	cfg.Cluster = "x"
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "warehouse.password") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password beside iam: %v", err)
	}
	for dsn, want := range map[string]string{
		"postgres://wg.123456789012.us-gov-west-1.redshift-serverless.amazonaws.com:5439/dev": "us-gov-west-1", "postgres://localhost:5439/dev": "",
	} {
		if got := regionOf(dsn); got != want {
			t.Errorf("region of %s: %q", dsn, got)
		}
	}
}
