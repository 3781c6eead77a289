import { existsSync, readdirSync } from 'node:fs'
import { defineConfig } from 'tsdown'

/** One file per process the product starts; a bench is a process too. */
const processes = {
  deos: 'apps/cli/src/main.ts',
  worker: 'apps/worker/src/main.ts',
  'worker-engine': 'apps/worker/src/engine-process/main.ts',
  'worker-grammar': 'apps/worker/src/grammar-thread.ts',
  'worker-vocabulary': 'apps/worker/src/vocabulary-thread.ts',
  gateway: 'apps/gateway/src/main.ts',
  'bench-figures': 'bench/src/figures-page.main.ts',
  'tokenizer-thread': 'packages/engine/src/tokenizer/thread.ts',
}
const benches = Object.fromEntries(
  readdirSync('bench/src')
    .filter((name) => name.endsWith('.bench.ts'))
    .map((name) => [`bench/${name.replace('.bench.ts', '')}`, `bench/src/${name}`]),
)
const entry = Object.fromEntries(
  Object.entries({ ...processes, ...benches }).filter(([, path]) => existsSync(path)),
)

export default defineConfig({
  entry,
  outDir: 'dist',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  dts: false,
  sourcemap: true,
  clean: true,
  // Our own packages are bundled from source; everything else stays in node_modules.
  deps: { alwaysBundle: [/^@deos\//], neverBundle: [/^(?!@deos\/)[a-z@]/] },
})
