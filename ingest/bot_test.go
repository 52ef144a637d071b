package ingest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/event"
)

func TestBotsSayTheirName(t *testing.T) {
	for agent, want := range map[string]bool{
		"": false,
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36":             false,
		"Mozilla/5.0 (Linux; Android 13; CUBOT NOTE 21) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36": false,
		"okhttp/4.12.0": false,
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)":                                      true,
		"Mozilla/5.0 (Linux; Android 11; CUBOT) (compatible; bingbot/2.0)":                                              true,
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36": true,
		"Mozilla/5.0 (compatible; Baiduspider/2.0)":                                                                     true,
		"facebookexternalhit/1.1": true,
		strings.Repeat("x", 2000): false,
	} {
		if isBot(agent) != want {
			t.Errorf("%.100q: %v, want %v", agent, !want, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { isBot("Mozilla/5.0 (compatible; Baiduspider/2.0)") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBotsAreFlaggedRejectedOrIgnored(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) {
		for _, policy := range []BotPolicy{BotsReject, BotsIgnore} {
			c.Sources[string(policy)] = Source{Enabled: true, Bots: policy, Keys: []Key{{Key: config.Secret("k-x-" + string(policy)), Kind: KindBrowser}}}
		}
		c.Sources["private"] = Source{Enabled: true, Privacy: rules("drop context.webdriver").Privacy, Keys: []Key{{Key: "private", Kind: KindBrowser}}}
	})
	const driven, bot = `,"context":{"webdriver":true}`, "Googlebot/2.1"
	for _, c := range []struct{ name, key, agent, more, want string }{
		{"a person", "dev", "Firefox", `,"context":{"webdriver":false}`, ``},
		{"a bot", "dev", bot, ``, `"millstream":{"bot":"ua"}`},
		{"a driven page", "dev", "Firefox", driven, `"millstream":{"bot":"webdriver"}`},
		{"a bot and a flag", "dev", bot, `,"timestamp":"odd"`, `"millstream":{"flags":["bad_timestamp"],"bot":"ua"}`},
		{"a bot's own word", "dev", "Firefox", `,"context":{"millstream":{"bot":"ua"}}`, ``},
		{"a server", "dev-server", bot, driven, ``},
		{"driven and cleaned", "private", "Firefox", driven, `"millstream":{"bot":"webdriver"}`},
		{"ignored", "k-x-ignore", bot, driven, ``},
		{"rejected", "k-x-reject", bot, ``, codeOf(event.CodeBot)},
		{"rejected, driven", "k-x-reject", "Firefox", driven, codeOf(event.CodeBot)},
		{"not rejected", "k-x-reject", "Firefox", ``, ``},
	} {
		a := e.do(t, http.MethodPost, "/v1/page", `{"userId":"`+strings.ReplaceAll(c.name, " ", "_")+`"`+c.more+`}`, "X-Write-Key", c.key, "User-Agent", c.agent)
		if rejected := strings.Contains(a.body, codeOf(event.CodeBot)); rejected != (c.want == codeOf(event.CodeBot)) || rejected != (a.status == 400) {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
	e.do(t, http.MethodGet, "/v1/pixel/page?userId=pixel&writeKey=dev-server", "", "User-Agent", bot)
	batch := `{"context":{"webdriver":true},"batch":[{"type":"page","userId":"shared"},{"type":"page","userId":"own","context":{"webdriver":false}}]}`
	e.do(t, http.MethodPost, "/v1/batch", batch, "X-Write-Key", "dev")
	want := map[string]string{
		"app/a_bot": `"millstream":{"bot":"ua"}`, "app/a_driven_page": `"millstream":{"bot":"webdriver"}`,
		"app/a_bot_and_a_flag": `"millstream":{"flags":["bad_timestamp"],"bot":"ua"}`, "private/driven_and_cleaned": `"millstream":{"bot":"webdriver"}`, "app/pixel": `"millstream":{"bot":"ua"}`, "app/shared": `"millstream":{"bot":"webdriver"}`,
	}
	for _, r := range e.events(t, 12) {
		if w := want[string(r.Key)]; !strings.Contains(string(r.Value), w) || w == "" && strings.Contains(string(r.Value), "millstream") {
			t.Errorf("%s: %s lacks %q", r.Key, r.Value, w)
		}
	}
	for _, r := range e.rejected(t, 2) {
		equal(t, "code", r.Code, event.CodeBot)
	}
}

func codeOf(c event.Code) string { return `"code":"` + string(c) + `"` }
