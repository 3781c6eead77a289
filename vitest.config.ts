import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['packages/**/*.test.ts', 'apps/**/*.test.ts', 'bench/**/*.test.ts', 'tests/**/*.test.ts'],
    setupFiles: ['./tests/support/patience.ts', './tests/support/property-seed.ts'],
    reporters: ['default', './tests/support/closing-line-reporter.ts'],
    isolate: false,
    // Each file may own native memory and threads; two at a time suits the smallest machine.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
