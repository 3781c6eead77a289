import { existsSync, readdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { defineConfig } from 'tsdown'
import { cachedImage, imageName } from './apps/control-plane/src/database/embedded/engine-image.ts'

/** One file per process the product starts; a bench is a process too. */
const processes = {
  deos: 'apps/cli/src/main.ts',
  worker: 'apps/worker/src/main.ts',
  agent: 'apps/worker/src/agent.ts',
  'agent-hardware': 'apps/worker/src/agent/hardware/hardware-process.ts',
  'worker-engine': 'apps/worker/src/engine-process/main.ts',
  'worker-grammar': 'apps/worker/src/grammar-thread.ts',
  'worker-codec': 'apps/worker/src/codec-thread.ts',
  'worker-vocabulary': 'apps/worker/src/vocabulary-thread.ts',
  wan: 'apps/cli/src/wan/main.ts',
  gateway: 'apps/gateway/src/main.ts',
  'control-plane': 'apps/control-plane/src/main.ts',
  'bench-figures': 'bench/src/figures-page.main.ts',
  'tokenizer-thread': 'packages/engine/src/tokenizer/thread.ts',
  'database-thread': 'apps/control-plane/src/database/embedded/thread.ts',
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
  copy: ['apps/control-plane/migrations'],
  hooks: {
    // The first start unpacks it; one that is missing is made then, which takes longer.
    'build:done': async ({ options }) => {
      try {
        await writeFile(join(options.outDir, imageName), await cachedImage())
      } catch (error) {
        console.warn('The image of the embedded database could not be built:', error)
      }
    },
  },
  // Our own packages are bundled from source; everything else stays in node_modules.
  deps: { alwaysBundle: [/^@deos\//], neverBundle: [/^(?!@deos\/)[a-z@]/] },
})
