import { setTimeout } from 'node:timers/promises'
import { quantile } from '../contract.ts'
import type { CompletionClient, StreamRecord } from './completion-client.ts'
import type { ServeRequest } from './workload.ts'

export interface LoadResult {
  readonly streams: readonly StreamRecord[]
  /** From the first request to the end of the last answer. */
  readonly elapsedMs: number
}

type Complete = Pick<CompletionClient, 'complete'>

/** So many clients, each of which sends its next request as soon as its last one is answered. */
export async function closedLoop(
  client: Complete,
  requests: readonly ServeRequest[],
  clients: number,
): Promise<LoadResult> {
  const startedMs = performance.now()
  const streams: StreamRecord[] = []
  const queue = requests.values()
  const work = async () => {
    for (const request of queue) streams.push(await client.complete(request))
  }
  await allOrFirstFailure(Array.from({ length: Math.min(clients, requests.length) }, work))
  return { streams, elapsedMs: performance.now() - startedMs }
}

/**
 * Requests sent at their times, however many are still unanswered.
 *
 * @param arrivalsMs - from the start, one for each request, never falling
 */
export async function openLoop(
  client: Complete,
  requests: readonly ServeRequest[],
  arrivalsMs: readonly number[],
): Promise<LoadResult> {
  const startedMs = performance.now()
  const answers: Promise<StreamRecord>[] = []
  for (const [index, request] of requests.entries()) {
    const waitMs = startedMs + arrivalsMs[index]! - performance.now()
    if (waitMs > 0) await setTimeout(waitMs)
    const answer = client.complete(request)
    // It is awaited with the others; until then its failure must not count as unhandled.
    answer.catch(() => undefined)
    answers.push(answer)
  }
  const streams = await allOrFirstFailure(answers)
  return { streams, elapsedMs: performance.now() - startedMs }
}

/** Waits for all even if one fails: what still runs would disturb what is measured next. */
async function allOrFirstFailure<T>(promises: readonly Promise<T>[]): Promise<readonly T[]> {
  await Promise.allSettled(promises)
  return Promise.all(promises)
}

/** Milliseconds from request to first token. */
export const timeToFirstToken = ({ startedMs, tokensMs }: StreamRecord): number => tokensMs[0]! - startedMs

/** Milliseconds between successive tokens. */
export const tokenGaps = (tokensMs: readonly number[]): readonly number[] =>
  tokensMs.slice(1).map((ms, index) => ms - tokensMs[index]!)

export interface Percentiles {
  readonly p50: number
  readonly p99: number
}

export interface LoadSummary {
  readonly tokensPerSecond: number
  readonly requestsPerSecond: number
  readonly ttftMs: Percentiles
  readonly tpotMs: Percentiles
  /** Prompt tokens that were not computed again. */
  readonly cachedTokens: number
  /** Tokens that arrived together with another one. */
  readonly mergedTokens: number
}

export function summarize({ streams, elapsedMs }: LoadResult): LoadSummary {
  const tokens = sum(streams.map((stream) => stream.tokens))
  return {
    tokensPerSecond: (1000 * tokens) / elapsedMs,
    requestsPerSecond: (1000 * streams.length) / elapsedMs,
    ttftMs: percentiles(streams.map(timeToFirstToken)),
    tpotMs: percentiles(streams.flatMap(({ tokensMs }) => tokenGaps(tokensMs))),
    cachedTokens: sum(streams.map(({ cachedTokens }) => cachedTokens)),
    mergedTokens: tokens - sum(streams.map(({ tokensMs }) => new Set(tokensMs).size)),
  }
}

const percentiles = (values: readonly number[]): Percentiles => ({
  p50: quantile(values, 0.5),
  p99: quantile(values, 0.99),
})

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
