import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const lock = readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')

function packed() {
  const out = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  const [pack] = Object.values(JSON.parse(out))
  return pack.files.map(file => file.path)
}

test('the package holds what it exports, its licence and its description, and nothing else', () => {
  const files = packed()
  const wanted = text => [...text.matchAll(/"\.\/([^"]+)"/g)].map(match => match[1]).filter(path => path.startsWith('dist/'))
  for (const path of [...wanted(JSON.stringify(manifest)), 'LICENSE', 'README.md', 'package.json']) {
    assert.ok(files.includes(path), `${path} is missing`)
    assert.ok(existsSync(root + path), path)
  }
  for (const path of files) assert.match(path, /^(dist\/(types|types-cjs)\/|dist\/[^/]+$|LICENSE$|README\.md$|package\.json$)/)
})

test('there is no runtime dependency, versions are exact, and the lock file names no registry', () => {
  for (const kind of ['dependencies', 'peerDependencies', 'optionalDependencies']) assert.equal(manifest[kind], undefined)
  for (const version of Object.values(manifest.devDependencies)) assert.match(version, /^\d+\.\d+\.\d+$/)
  assert.doesNotMatch(lock, /https?:\/\/(?!(opencollective|github|www\.patreon|feross|tidelift))/)
})

test('it is imported and required by name', async () => {
  const { createClient } = await import('@millstream-data/analytics/node')
  const required = createRequire(import.meta.url)('@millstream-data/analytics')
  assert.equal(typeof createClient, 'function')
  assert.equal(typeof required.createClient, 'function')
  const c = required.createClient({ writeKey: 'k', endpoint: 'http://127.0.0.1:1' })
  assert.equal(typeof c.track({ userId: 'u', event: 'e' }), 'string')
  assert.deepEqual(await c.close({ timeoutMs: 0 }), { ok: false, queued: 1, spooled: 0 })
  assert.equal(typeof (await import('@millstream-data/analytics/browser')).createClient, 'function')
})

test('its types hold under strict settings, as ESM and as CommonJS, without the types of Node', () => {
  const { status, stdout } = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'test/types'], { cwd: root, encoding: 'utf8' })
  assert.equal(status, 0, stdout)
})
