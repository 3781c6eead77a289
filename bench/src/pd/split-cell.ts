import { lossCap, type WanProfile } from '@deos/wan'

/** The way between the machines that compute prompts and those that decode. */
export interface SplitCell {
  readonly mbps: number
  readonly rttMs: number
  readonly loss: number
}

export const PREFILL_SITE = 'prefill'
export const DECODE_SITE = 'decode'
export const GATEWAY_SITE = 'gateway'

export const nameOfCell = ({ mbps, rttMs, loss }: SplitCell): string =>
  `${mbps} Mbit/s, ${rttMs} ms, ${loss * 100} %`

const rates = [1_000, 100, 10]
const roundTrips = [10, 80, 200]
const losses = [0, 0.01]

export const allCells: readonly SplitCell[] = rates.flatMap((mbps) =>
  roundTrips.flatMap((rttMs) => losses.map((loss) => ({ mbps, rttMs, loss }))),
)
/** A fast and distant one, a middling one that loses packets, a slow one. */
export const quickCells: readonly SplitCell[] = [
  { mbps: 1_000, rttMs: 200, loss: 0 },
  { mbps: 100, rttMs: 80, loss: 0.01 },
  { mbps: 10, rttMs: 10, loss: 0 },
]

/** The gateway stands beside the decode ring, and far from the other; only what moves KV is slow and loses packets. */
export function profileOf({ mbps, rttMs, loss }: SplitCell): WanProfile {
  const oneWayMs = rttMs / 2
  return {
    name: 'split',
    title: 'A ring that computes prompts, far from the one that decodes',
    source: 'Settings of the bench.',
    licence: 'CC0-1.0',
    sites: [{ name: PREFILL_SITE }, { name: DECODE_SITE }, { name: GATEWAY_SITE }],
    inside: { oneWayMs: 0 },
    links: [
      { from: PREFILL_SITE, to: DECODE_SITE, oneWayMs, mbps, loss },
      { from: PREFILL_SITE, to: GATEWAY_SITE, oneWayMs },
      { from: DECODE_SITE, to: GATEWAY_SITE, oneWayMs: 0 },
    ],
  }
}

/** Bytes a second of one connection of several that share the way. */
export function connectionRate({ mbps, rttMs, loss }: SplitCell, connections: number): number {
  return Math.min((mbps * 125_000) / connections, lossCap(rttMs, loss))
}

/** Bytes a second of one connection while the others are idle. */
export const soleRate = (cell: SplitCell): number => connectionRate(cell, 1)

/** What may be exposed: the last layer's keys and values on their way, and one more block on its way. */
export function exposedBoundMs(cell: SplitCell, blockBytes: number, parts: number): number {
  const wayMs = (bytes: number): number => cell.rttMs / 2 + (1000 * bytes) / soleRate(cell)
  return wayMs(parts * blockBytes) + wayMs(blockBytes)
}
