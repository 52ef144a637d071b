// Builds dist/ from src/: ESM and CommonJS for both platforms, the browser bundle, and the types.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { browser, node } from './options.mjs'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))

const entries = [
  { in: 'src/node/index.ts', out: 'node.mjs', options: { ...node, format: 'esm' } },
  { in: 'src/node/index.ts', out: 'node.cjs', options: { ...node, format: 'cjs' } },
  { in: 'src/browser/index.ts', out: 'browser.mjs', options: { ...browser, format: 'esm' } },
  { in: 'src/browser/index.ts', out: 'browser.cjs', options: { ...browser, format: 'cjs' } },
  { in: 'src/snippet/index.ts', out: 'snippet.mjs', options: { ...browser, format: 'esm' } },
  { in: 'src/snippet/index.ts', out: 'snippet.cjs', options: { ...browser, format: 'cjs' } },
  { in: 'src/browser/bundle.ts', out: 'analytics.min.js', options: { ...browser, format: 'iife', minify: true } },
]

function types() {
  for (const project of ['tsconfig.json', 'tsconfig.node.json']) {
    execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', project, '--declaration', '--emitDeclarationOnly',
      '--outDir', 'dist/types'], { stdio: 'inherit' })
  }
  // The same declarations again, as CommonJS: TypeScript tells the two apart by the nearest package.json.
  cpSync('dist/types', 'dist/types-cjs', { recursive: true })
  writeFileSync('dist/types-cjs/package.json', '{"type":"commonjs"}\n')
}

rmSync('dist', { recursive: true, force: true })
mkdirSync('dist')
await Promise.all(entries.filter(e => existsSync(e.in)).map(e => build({ ...e.options, entryPoints: [e.in], outfile: `dist/${e.out}` })))
types()
