// Runs the unit tests on what `npm run build` built. The inner parts are bundled once more, for tests that look into them.
// Usage: node scripts/test.mjs [file…]
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { node } from './options.mjs'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
if (!existsSync('dist/node.mjs')) {
  console.error('dist/ is missing: run npm run build first')
  process.exit(1)
}

const parts = ['core/encode', 'core/event', 'core/index', 'core/policy', 'core/uuid', 'node/core', 'node/proxy', 'node/spool/owner', 'node/spool/queue', 'node/spool/segment']
await build({
  ...node, format: 'esm', mangleProps: undefined, outfile: 'dist/test/parts.mjs',
  stdin: { contents: parts.map(part => `export * from './src/${part}.ts'`).join('\n'), resolveDir: '.' },
})

const named = process.argv.slice(2)
const files = named.length ? named : readdirSync('test').filter(name => name.endsWith('.test.mjs')).map(name => `test/${name}`)
const { status } = spawnSync(process.execPath, ['--test', ...files], { stdio: 'inherit' })
process.exit(status ?? 1)
