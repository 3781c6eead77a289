import {
  type FleetSnapshot,
  type HeldRing,
  type LayerRange,
  layerCount,
  type ModelFootprint,
  type PlacementCandidate,
} from '@deos/domain'
import { LinkTimes } from '../../link-times.ts'

/** Requests as they usually are; what a deployment's own will be is not known when it is placed. */
export interface UsualRequests {
  readonly promptTokens: number
  readonly outputTokens: number
  /** Requests answered at once. */
  readonly sessions: number
}

export const usualRequests: UsualRequests = { promptTokens: 512, outputTokens: 128, sessions: 4 }

export interface RingForecast {
  readonly ttftMs: number
  readonly tpotMs: number
  /** Tokens of answers of all sessions together. */
  readonly tokensPerS: number
  /** A request from its arrival to its last token. */
  readonly requestMs: number
  /** The stage that sets the pace, and what of it does. */
  readonly slowest: { readonly stage: number; readonly bound: 'compute' | 'memory' }
}

/** Bytes of an element with the scales of its block, as GGUF stores them. */
export const elementBytes: Readonly<Record<string, number>> = {
  F32: 4,
  F16: 2,
  BF16: 2,
  Q8_0: 34 / 32,
  Q6_K: 210 / 256,
  Q5_K: 176 / 256,
  Q5_0: 22 / 32,
  Q4_K: 144 / 256,
  Q4_0: 18 / 32,
  Q3_K: 110 / 256,
  Q2_K: 84 / 256,
}

/** A stage where it is, and what was measured there makes of it. */
export interface StageCost {
  readonly candidate: PlacementCandidate
  readonly layers: LayerRange
  /** Reading its weights once. */
  readonly readMs: number
  /** Products of one token. */
  readonly productMs: number
}

/** @returns null if reading weights, or products in the model's weight type, were not measured on all devices */
export function stageCosts(
  model: ModelFootprint,
  stages: HeldRing,
  { candidates }: FleetSnapshot,
): readonly StageCost[] | null {
  const each = elementBytes[model.weightType]
  if (each === undefined) return null
  const costs: StageCost[] = []
  for (const { machine, device, layers } of stages) {
    const candidate = candidates.find((other) => other.machine === machine && other.device === device)
    const flops = candidate?.benchmark.flopsPerSecond[model.weightType]
    if (candidate === undefined || flops === undefined || !(flops > 0)) return null
    if (!(candidate.benchmark.weightBytesPerSecond > 0)) return null
    const size = bytesOf(model, layers)
    const readMs = (size / candidate.benchmark.weightBytesPerSecond) * 1000
    costs.push({ candidate, layers, readMs, productMs: ((2 * size) / each / flops) * 1000 })
  }
  return costs
}

/** Of so many tokens that go through a stage together. */
export const stageMs = ({ readMs, productMs }: StageCost, tokens: number): number =>
  Math.max(readMs, tokens * productMs)

/**
 * What a ring that computes prompts and answers does to requests, from what was measured of its devices: weights are
 * read once a step, products are as fast as in a long prompt, sessions share steps.
 */
export function forecastRing(
  { boundaryBytes }: ModelFootprint,
  stages: readonly StageCost[],
  { links }: FleetSnapshot,
  requests: UsualRequests,
): RingForecast {
  const order = stages.map(({ candidate }) => candidate)
  const { promptTokens, outputTokens, sessions } = requests
  const tokenLinkMs = new LinkTimes(links, boundaryBytes).aroundMs(order)
  const promptLinkMs = new LinkTimes(links, boundaryBytes * promptTokens).aroundMs(order)
  const ttftMs = stages.reduce((sum, stage) => sum + stageMs(stage, promptTokens), promptLinkMs)
  // As many groups of sessions as there are stages go round one behind the other.
  const batch = Math.max(1, Math.ceil(sessions / stages.length))
  const steps = stages.map((stage) => stageMs(stage, batch))
  const paceMs = Math.max(...steps)
  const groups = Math.min(stages.length, sessions)
  const ringMs = steps.reduce((sum, step) => sum + step, tokenLinkMs)
  const tpotMs = Math.max(ringMs, groups * paceMs)
  const slowest = steps.indexOf(paceMs)
  const { readMs, productMs } = stages[slowest]!
  return {
    ttftMs,
    tpotMs,
    tokensPerS: (Math.min(sessions, groups * batch) * 1000) / tpotMs,
    requestMs: ttftMs + outputTokens * tpotMs,
    slowest: { stage: slowest, bound: batch * productMs > readMs ? 'compute' : 'memory' },
  }
}

/** Of layers, and of the head for whoever holds the last. */
function bytesOf({ layerBytes, headBytes }: ModelFootprint, range: LayerRange): number {
  const layers = layerBytes.slice(range.first, range.first + layerCount(range))
  return layers.reduce<number>((sum, each) => sum + each, range.end === layerBytes.length ? headBytes : 0)
}
