import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { snippet } from '../../dist/snippet.mjs'

const read = name => readFileSync(new URL(name, import.meta.url), 'utf8')

export const bundle = read('../../dist/analytics.min.js')
const scripts = { '/-/bundle.js': bundle, '/-/page.js': read('./page.js') }
const segment = read('./segment-snippet.js')

/** Serves the site of an input, on an origin of its own; `/-/bare` is a page of it without the SDK. */
export async function openSite(input) {
  const html = `<!doctype html><title>A shop</title><link rel=icon href=data:,>`
  const server = createServer((req, res) => {
    const path = req.url.split('?')[0]
    res.setHeader('Content-Type', scripts[path] ? 'text/javascript' : 'text/html; charset=utf-8')
    res.end(scripts[path] || (path.startsWith('/-/') ? html : html + head(input)))
  })
  await new Promise(ready => server.listen(0, '127.0.0.1', ready))
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

function head({ writeKey, apiHost, config = {}, sequences = [] }) {
  const driver = '<script src="/-/page.js"></script>'
  const before = config.beforeLoad || ''
  switch (config.snippet) {
    case 'segment':
      return `${driver}<script>${segment.replaceAll('https://cdn.segment.com', apiHost).replaceAll('YOUR_WRITE_KEY', writeKey)}\n${before}</script>`
    case 'millstream': {
      const [stub, ...bundle] = snippet({ writeKey, endpoint: apiHost }).split('</script>')
      return `${driver}${stub};Object.assign(analytics._loadOptions,conformance.options())\n${before}</script>${bundle.join('</script>')}`
    }
    default:
      return `${driver}<script src="/-/bundle.js"></script>${sequences.length ? '<script>conformance.start()</script>' : ''}`
  }
}
