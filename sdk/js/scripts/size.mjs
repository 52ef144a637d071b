// Fails when a browser bundle, minified and compressed by gzip -9, is larger than promised.
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { browser } from './options.mjs'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))

const limits = [
  { name: 'core: calls, queue, retry, unload, ids, context', entry: 'src/browser/core.ts', kilobytes: 6 },
  { name: 'analytics.min.js: everything', entry: 'src/browser/bundle.ts', kilobytes: 10 },
]

for (const { name, entry, kilobytes } of limits) {
  const { outputFiles } = await build({ ...browser, entryPoints: [entry], format: 'iife', minify: true, write: false })
  const code = outputFiles[0].contents
  const bytes = gzipSync(code, { level: 9 }).length
  const fits = bytes <= kilobytes * 1024
  console.log(`${fits ? 'ok  ' : 'OVER'} ${bytes} of ${kilobytes * 1024} bytes (${code.length} before gzip)  ${name}`)
  if (!fits) process.exitCode = 1
}
