// A spool's folder, clients that use it, and the files of earlier ones.
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '../dist/node.mjs'
import { serve } from './server.mjs'

export const away = 'http://127.0.0.1:1'
export const dead = 'aaaaaaaaaaaaaaaa'

export function setup(t) {
  const dir = fs.mkdtempSync(join(tmpdir(), 'spool-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  const open = (endpoint, options = {}, spool = {}) => {
    const results = []
    const logged = []
    const client = createClient({
      writeKey: 'k', endpoint, flushIntervalMs: 10, backoffBaseMs: 10, backoffMaxMs: 50, log: line => logged.push(line),
      onResult: r => results.push(...r), spool: { dir, fsync: 'always', ...spool }, ...options,
    })
    t.after(() => client.close({ timeoutMs: 0 }))
    return Object.assign(client, { results, logged })
  }
  const track = (client, from, to) => {
    for (let n = from; n < to; n++) client.track({ userId: 'u', event: 'e', properties: { n } })
  }
  const files = () => fs.readdirSync(dir).sort()
  const lay = (name, text, age = 0) => {
    fs.writeFileSync(join(dir, name), text)
    const time = new Date(Date.now() - age)
    fs.utimesSync(join(dir, name), time, time)
  }
  return { dir, open, track, files, lay }
}

export const line = n => JSON.stringify({ type: 'track', userId: 'u', event: 'e', messageId: 'm' + n, properties: { n } }) + '\n'
export const segment = (sequence, owner = dead) => `${owner}-${String(sequence).padStart(16, '0')}.ndjson`
export const numbers = server => server.events().map(e => e.properties.n)
export const upTo = (n, from = 0) => Array.from({ length: n - from }, (_, i) => from + i)

export async function drained(t, s, spool) {
  const server = await serve()
  t.after(() => server.close())
  const client = s.open(server.endpoint, {}, spool)
  await client.close({ timeoutMs: 5000 })
  return { server, client }
}
