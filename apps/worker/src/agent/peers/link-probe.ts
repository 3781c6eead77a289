import { type PeerAccess, PeerClient } from './peer-client.ts'

export interface MeasuredLink {
  readonly roundTripMs: number
  readonly bytesPerSecond: number
}

const ROUND_TRIPS = 9
const FIRST_BYTES = 256 * 1024
const MANY_BYTES = 4 * 2 ** 20
/** A link on which the first bytes take longer is slow enough to be measured by them. */
const QUICK_MS = 250

/**
 * Measures the way to another machine and back: the median of several small round trips, and the rate at which a few
 * megabytes arrive there, or less over slow links.
 *
 * @throws PeerChannelError
 */
export async function measureLink(access: PeerAccess, signal: AbortSignal): Promise<MeasuredLink> {
  const client = await PeerClient.open(access, signal)
  const abort = () => client.close()
  signal.addEventListener('abort', abort, { once: true })
  try {
    const trips: number[] = []
    await client.ping() // pays for what happens only once
    for (let trip = 0; trip < ROUND_TRIPS; trip += 1) trips.push(await timed(() => client.ping()))
    const roundTripMs = trips.sort((a, b) => a - b)[ROUND_TRIPS >> 1]!
    const firstMs = await timed(() => client.give(new Uint8Array(FIRST_BYTES)))
    if (firstMs > QUICK_MS) return { roundTripMs, bytesPerSecond: rate(FIRST_BYTES, firstMs - roundTripMs) }
    const manyMs = await timed(() => client.give(new Uint8Array(MANY_BYTES)))
    return { roundTripMs, bytesPerSecond: rate(MANY_BYTES, manyMs - roundTripMs) }
  } finally {
    signal.removeEventListener('abort', abort)
    client.close()
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startMs = performance.now()
  await work()
  return performance.now() - startMs
}

const rate = (sizeBytes: number, ms: number): number => (sizeBytes * 1000) / Math.max(ms, 0.01)
