import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Router, type ServingFleet, simulateServing } from '@deos/simulator'
import { z } from 'zod'
import { type HelixProfiles, stageFleet } from '../plan/helix-cluster.ts'
import { percentiles } from '../plan/helix-rows.ts'
import { prototypeLimits, prototypeOverheads } from '../plan/helix-settings.ts'

const layer = z.number().nullable()
const end = z.union([z.number(), z.literal('source'), z.literal('sink')])
const schema = z.object({
  machines: z.array(z.tuple([z.string(), layer, layer])),
  links: z.array(z.tuple([end, end])),
  runs: z.array(
    z.object({
      name: z.string(),
      decode_tokens_per_s: z.number(),
      prompt_s: z.array(z.number()),
      decode_s: z.array(z.number()),
      requests: z.array(z.tuple([z.number(), z.number(), z.number(), z.array(z.number())])),
    }),
  ),
})

export interface ReplayedRun {
  readonly name: string
  /** Of throughput and of each decode percentile, relative. */
  readonly errors: readonly number[]
  /** The same without the host's overheads. */
  readonly errorsWithoutOverheads: readonly number[]
}

/** Beside the sources and, after a build, beside the bundle. */
const here = dirname(fileURLToPath(import.meta.url))
const folder = [join(here, '../../data/helix'), join(here, '../../bench/data/helix')].find(existsSync)

/** NICs of the machines: 10 Gbit/s, a millisecond. */
const wire = { bytesPerMs: 1.25e6, latencyMs: 1 }
const window = { fromMs: 60_000, toMs: 300_000 }

/**
 * Runs that Helix's authors recorded on real machines, replayed request by request over the recorded routes. The host's
 * overheads were fitted to these, so their error says how well they fit, not how well they predict.
 */
export function replayRecordedRuns(profiles: HelixProfiles): readonly ReplayedRun[] {
  if (folder === undefined) throw new Error('bench/data/helix is missing.')
  const { machines, links, runs } = schema.parse(
    JSON.parse(readFileSync(join(folder, 'recorded-runs.json'), 'utf8')),
  )
  const placement = machines.map(([, first, end]) => (first === null || end === null ? null : { first, end }))
  const cluster = {
    kinds: machines.map(([kind]) => kind),
    links: links.flatMap(([from, to]) => (from === 'sink' || to === 'source' ? [] : [{ from, to, ...wire }])),
  }
  const options = { limits: prototypeLimits, batching: 'promptsFirst' as const }
  const plain = stageFleet(cluster, profiles, 'llama2_70b', placement, options)
  const fitted = stageFleet(cluster, profiles, 'llama2_70b', placement, {
    ...options,
    overheads: prototypeOverheads,
  })
  const index = new Map(
    placement.flatMap((range, device) => (range === null ? [] : [device])).map((device, at) => [device, at]),
  )
  return runs.map(({ name, requests, decode_s: decode, decode_tokens_per_s: tokensPerSecond }) => {
    const replay = (fleet: ServingFleet) => {
      const paths = requests.map(([, , , path]) => path.map((device) => index.get(device)!))
      const result = simulateServing({
        fleet,
        router: new RecordedRouter(paths),
        workload: {
          kind: 'open',
          arrivals: requests.map(([atMs, promptTokens, outputTokens]) => ({
            atMs,
            promptTokens,
            outputTokens,
          })),
        },
        window,
      })
      return [
        result.decodeTokensPerSecond / tokensPerSecond - 1,
        ...percentiles(result.decodeMs).map((seconds, at) => seconds / decode[at]! - 1),
      ]
    }
    return { name, errors: replay(fitted), errorsWithoutOverheads: replay(plain) }
  })
}

/** Sends the n-th request where the n-th path says. */
class RecordedRouter implements Router {
  constructor(private readonly paths: readonly (readonly number[])[]) {}

  admit(): boolean {
    return true
  }

  next({ id, path }: Parameters<Router['next']>[0]): number {
    return this.paths[id]![path.length] ?? -1
  }

  stepBegins(): void {
    // The paths are known.
  }

  served(): void {
    // The paths are known.
  }

  finished(): void {
    // Nothing is kept for single requests.
  }

  kvUsage(): number {
    return 0
  }
}
