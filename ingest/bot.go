package ingest

import (
	"bytes"
	"slices"

	"github.com/millstream-data/millstream/internal/event"
)

// botWords are what programs that visit pages by themselves call themselves, in lower case. Words that people's own
// browsers and apps use, such as okhttp, are not among them.
var botWords = [...]string{
	"bot", "crawl", "spider", "slurp", "headless", "lighthouse", "preview", "scrap", "phantomjs", "puppeteer", "playwright", "selenium",
	"facebookexternalhit", "embedly", "feedfetcher", "mediapartners-google", "google-read-aloud", "apis-google", "pagespeed", "gtmetrix", "ptst/",
	"pingdom", "uptime", "statuscake", "synthetic", "monitoring", "curl/", "wget/", "python-requests", "python-urllib", "aiohttp", "libwww-perl", "archiver",
}

// isBot says whether a user agent says of itself that nobody sits before it. What a long one says after its first
// kilobyte is not heard.
func isBot(userAgent string) bool {
	var buf [1024]byte
	low := buf[:copy(buf[:], userAgent)]
	for i, c := range low {
		if c >= 'A' && c <= 'Z' {
			low[i] = c + 'a' - 'A'
		}
	}
	for at := bytes.Index(low, []byte("cubot")); at >= 0; at = bytes.Index(low, []byte("cubot")) {
		low[at+2] = ' ' // makes telephones, whose browsers name them
	}
	for _, word := range botWords {
		if bytes.Contains(low, []byte(word)) {
			return true
		}
	}
	return false
}

// Values of context.millstream.bot.
const (
	botAgent     = "ua"
	botWebdriver = "webdriver"
)

// judgeBot notes of ev that it comes from a program, and says what its source makes of that.
func (rq *request) judgeBot(ev *eventIndex, f *facts) verdict {
	if f.bot = rq.botOf(ev); f.bot != "" && rq.access.source.bots == BotsReject {
		return verdict{event.CodeBot, "this source takes no events of programs that visit pages by themselves"}
	}
	return verdict{}
}

// botOf says by what ev can be told to come from a program, if by anything: by the user agent of its request, or
// because its page was driven by one. The event's own context comes before the batch's.
func (rq *request) botOf(ev *eventIndex) string {
	if !rq.caller.suspect {
		return ""
	}
	if rq.caller.bot {
		return botAgent
	}
	env := &rq.idx.env
	for _, part := range [2]part{ev.context, env.contextParts} {
		for _, m := range slices.Backward(rq.idx.sub[part.lo:part.hi]) {
			if m.field != fieldWebdriver {
				continue
			}
			if string(m.val.of(rq.body.b)) == "true" {
				return botWebdriver
			}
			return ""
		}
	}
	return ""
}
