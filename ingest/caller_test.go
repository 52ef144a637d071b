package ingest

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func TestClientAddressIsBelievedFromTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	s := &Server{
		cfg:     Config{ClientIPHeader: "X-Forwarded-For"},
		proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
	}
	for _, c := range []struct {
		peer string
		xff  []string
		want string
	}{
		{"203.0.113.9:5", nil, "203.0.113.9"},
		{"203.0.113.9:5", []string{"1.2.3.4"}, "203.0.113.9"},
		{"10.1.1.1:5", []string{"6.6.6.6, 1.2.3.4"}, "1.2.3.4"},
		{"10.1.1.1:5", []string{"6.6.6.6, 1.2.3.4, 10.2.2.2"}, "1.2.3.4"},
		{"10.1.1.1:5", []string{"6.6.6.6", "1.2.3.4"}, "1.2.3.4"},
		{"10.1.1.1:5", []string{"1.2.3.4:4711"}, "1.2.3.4"},
		{"10.1.1.1:5", []string{"1.2.3.4, forged"}, "10.1.1.1"},
		{"10.1.1.1:5", nil, "10.1.1.1"},
		{"[fd00::1]:5", []string{"[2001:db8::7]:443"}, "2001:db8::7"},
		{"[::ffff:203.0.113.9]:5", nil, "203.0.113.9"},
		{"[::ffff:203.0.113.9]:5", []string{"1.2.3.4"}, "203.0.113.9"},
		{"[::ffff:10.1.1.1]:5", []string{"::ffff:1.2.3.4"}, "1.2.3.4"},
		{"10.1.1.1:5", []string{"2001:db8::7"}, "2001:db8::7"},
		{"10.1.1.1:5", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"10.1.1.1:5", []string{"6.6.6.6, 2001:db8::7,fd00::2 , 10.3.3.3"}, "2001:db8::7"},
		{"[fe80::1%eth0]:5", nil, "fe80::1"},
		{"10.1.1.1:5", []string{"10.9.9.9, 10.2.2.2"}, "10.9.9.9"},
		{"10.1.1.1:5", []string{"1.2.3.4, "}, "10.1.1.1"},
		{"10.1.1.1:5", []string{"1.2.3.4, unknown, 10.2.2.2"}, "10.2.2.2"},
		{"10.1.1.1:5", []string{""}, "10.1.1.1"},
		{"nonsense", nil, "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.xff}}
		if got := s.clientAddr(r).String(); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.peer, c.xff, got, c.want)
		}
	}
}

func TestBrowserKeysFillTheContextFromTheRequest(t *testing.T) {
	t.Parallel()
	e := setup(t)
	send := func(key string) string {
		a := e.do(t, http.MethodPost, "/v1/page", `{"userId":"`+key+`","context":{"ip":"6.6.6.6"}}`, "X-Write-Key", key,
			"User-Agent", `Fire"fox`, "Accept-Language", "de-AT;q=0.9, en")
		return a.body
	}
	equal(t, "browser", send("dev"), `{"success":true}`)
	equal(t, "server", send("dev-server"), `{"success":true}`)
	for _, r := range e.events(t, 2) {
		want := `"context":{"ip":"6.6.6.6"}`
		if string(r.Key) == "app/dev" {
			want = `"context":{"ip":"127.0.0.1","userAgent":"Fire\"fox","locale":"de-AT"}`
		}
		if !strings.Contains(string(r.Value), want) {
			t.Errorf("%s lacks %s", r.Value, want)
		}
	}
}

func TestImportKeepsTimesForServersOnly(t *testing.T) {
	t.Parallel()
	e := setup(t)
	for _, key := range []string{"dev", "dev-server"} {
		a := e.do(t, http.MethodPost, "/v1/import", `{"batch":[{"type":"page","userId":"`+key+`","timestamp":"1999-05-05T00:00:00Z"}]}`, "X-Write-Key", key)
		equal(t, key, a.body, `{"success":true}`)
	}
	for _, r := range e.events(t, 2) {
		want := `"timestamp":"1999-05-05T00:00:00.000Z"`
		if string(r.Key) == "app/dev" {
			want = `"timestamp":"2026-03-01T10:00:01.200Z"`
		}
		if !strings.Contains(string(r.Value), want) {
			t.Errorf("%s lacks %s", r.Value, want)
		}
	}
}
