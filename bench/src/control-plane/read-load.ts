import { setTimeout as sleep } from 'node:timers/promises'
import { apiPrefix } from '@deos/sdk'
import { Pool } from 'undici'
import { quantile } from '../contract.ts'

/** The API reads that consoles and commands make, in equal shares. */
export const readKinds = [
  'machines.list',
  'machines.show',
  'deployments.list',
  'deployments.show',
  'events.list',
  'status.show',
] as const
export type ReadKind = (typeof readKinds)[number]

export interface ReadTargets {
  readonly machines: readonly string[]
  readonly deployments: readonly string[]
}

export interface ReadTime {
  readonly kind: ReadKind
  /** From the request to the end of its answer. */
  readonly ms: number
}

/**
 * The address of the n-th read: every kind in turn, and things in turn, far apart. Lists are asked for page by page.
 *
 * @param cursors - of the page that comes next in each list, if it has begun
 */
export function readPath(
  n: number,
  { machines, deployments }: ReadTargets,
  cursors: Readonly<Partial<Record<ReadKind, string>>>,
): { readonly kind: ReadKind; readonly path: string } {
  const kind = readKinds[n % readKinds.length]!
  const round = Math.floor(n / readKinds.length)
  const one = (things: readonly string[]) => things[(round * 7919) % things.length]!
  const cursor = cursors[kind]
  const page = cursor === undefined ? '' : `?cursor=${cursor}`
  switch (kind) {
    case 'machines.list':
      return { kind, path: `/machines${page}` }
    case 'machines.show':
      return { kind, path: `/machines/${one(machines)}` }
    case 'deployments.list':
      return { kind, path: `/deployments${page}` }
    case 'deployments.show':
      return { kind, path: `/deployments/${one(deployments)}` }
    case 'events.list':
      return { kind, path: `/events${page}` }
    case 'status.show':
      return { kind, path: '/status' }
  }
}

/** p50 and p99 of all reads, and of each kind. */
export function summarizeReads(times: readonly ReadTime[]) {
  const of = (some: readonly ReadTime[]) => {
    const all = some.map(({ ms }) => ms)
    return { n: all.length, p50Ms: quantile(all, 0.5), p99Ms: quantile(all, 0.99), maxMs: Math.max(...all) }
  }
  const kinds = readKinds.flatMap((kind) => {
    const some = times.filter((time) => time.kind === kind)
    return some.length === 0 ? [] : [[kind, of(some)] as const]
  })
  return { all: of(times), ...Object.fromEntries(kinds) }
}

export interface ReadLoadOptions {
  readonly url: string
  readonly key: string
  readonly perSecond: number
  readonly durationMs: number
}

/**
 * Reads at their times, however many are still unanswered.
 *
 * @throws Error if one is answered with something else than 200
 */
export async function readLoad(
  { url, key, perSecond, durationMs }: ReadLoadOptions,
  targets: ReadTargets,
): Promise<readonly ReadTime[]> {
  const pool = new Pool(url, { connections: 8 })
  const cursors: Partial<Record<ReadKind, string>> = {}
  const times: ReadTime[] = []
  const read = async (n: number) => {
    const { kind, path } = readPath(n, targets, cursors)
    const startedMs = performance.now()
    const answer = await pool.request({
      ...{ method: 'GET', path: apiPrefix + path, headers: { authorization: `Bearer ${key}` } },
    })
    const text = await answer.body.text()
    times.push({ kind, ms: performance.now() - startedMs })
    if (answer.statusCode !== 200) throw new Error(`GET ${path} was answered ${answer.statusCode}: ${text}`)
    if (!kind.endsWith('.list')) return
    const { nextCursor } = JSON.parse(text) as { nextCursor: string | null }
    if (nextCursor === null) delete cursors[kind]
    else cursors[kind] = nextCursor
  }
  const startedMs = performance.now()
  const reads: Promise<void>[] = []
  for (let n = 0; (n / perSecond) * 1000 < durationMs; n += 1) {
    const waitMs = startedMs + (n / perSecond) * 1000 - performance.now()
    if (waitMs > 0) await sleep(waitMs)
    const reading = read(n)
    // It is awaited with the others; until then its failure must not count as unhandled.
    reading.catch(() => undefined)
    reads.push(reading)
  }
  try {
    await Promise.all(reads)
  } finally {
    await pool.destroy()
  }
  return times
}
