import type { ServingWorkload } from '../plans/index.ts'

/** As much as a fleet gives of requests of usual lengths, without targets, and what a test changes of that. */
export const servingWorkload = (change: Partial<ServingWorkload> = {}): ServingWorkload => ({
  requestsPerS: null,
  promptTokens: { mean: 800, p95: 1600 },
  outputTokens: { mean: 100, p95: 200 },
  trace: null,
  contextTokens: 4096,
  ttftMs: null,
  tpotMs: null,
  goal: 'throughput',
  precisions: ['fp16'],
  kvBytesPerElement: 2,
  roles: 'together',
  maxBatch: 256,
  ...change,
})
