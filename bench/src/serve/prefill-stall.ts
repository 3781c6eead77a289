import { quantile } from '../contract.ts'
import { type CompletionClient, ServerFailedError } from './completion-client.ts'
import { tokenGaps } from './load.ts'
import type { ServeRequest } from './workload.ts'

/** What a long prompt does to streams that decode meanwhile. */
export interface StallResult {
  /** Median time between tokens of the streams before the prompt came. */
  readonly baselineMs: number
  /** p99 of the time between tokens that prefill fell into. */
  readonly duringP99Ms: number
  /** Tokens the streams got while it lasted. */
  readonly duringTokens: number
  /** From the long request to its first token. */
  readonly prefillMs: number
}

export interface StallOptions {
  /** Requests for more tokens than they will live to get. */
  readonly streams: readonly ServeRequest[]
  readonly long: ServeRequest
  /** Tokens each stream gets before the long prompt, counted from when all of them decode. */
  readonly baselineTokens: number
}

/** Tokens after which a batch of streams has found its step. */
const SETTLING_TOKENS = 8

/** Lets streams decode, sends a long prompt into them, and ends the streams once it has its first token. */
export async function measureStall(
  client: Pick<CompletionClient, 'complete'>,
  { streams, long, baselineTokens }: StallOptions,
): Promise<StallResult> {
  const over = new AbortController()
  const arrivals: (readonly number[])[] = streams.map(() => [])
  let baselineFromMs = 0
  let startLong: () => void
  const baselineDone = new Promise<void>((resolve) => {
    startLong = resolve
  })
  const decoding = streams.map((request, index) =>
    client.complete(request, {
      signal: over.signal,
      onTokens: (tokensMs) => {
        arrivals[index] = tokensMs
        const fewest = Math.min(...arrivals.map(({ length }) => length))
        if (baselineFromMs === 0 && fewest >= SETTLING_TOKENS) baselineFromMs = performance.now()
        if (fewest >= SETTLING_TOKENS + baselineTokens) startLong()
      },
    }),
  )
  const endedEarly = Promise.race(decoding).then((): never => {
    throw new ServerFailedError('A stream ended before the long prompt was read: it has too few tokens.')
  })
  try {
    await Promise.race([baselineDone, endedEarly])
    const { startedMs, tokensMs } = await Promise.race([client.complete(long), endedEarly])
    const [endedMs] = tokensMs as readonly [number]
    const during = arrivals.flatMap((ms) => gapsWithin(ms, startedMs, endedMs))
    const baseline = arrivals.flatMap((ms) => gapsWithin(ms, baselineFromMs, startedMs))
    return {
      baselineMs: quantile(baseline, 0.5),
      duringP99Ms: quantile(during, 0.99),
      duringTokens: during.length,
      prefillMs: endedMs - startedMs,
    }
  } finally {
    over.abort()
    await Promise.allSettled(decoding)
  }
}

/** Gaps between tokens that lie at least partly in `(fromMs, toMs)`. */
export function gapsWithin(tokensMs: readonly number[], fromMs: number, toMs: number): readonly number[] {
  return tokenGaps(tokensMs).filter((_, index) => tokensMs[index]! < toMs && tokensMs[index + 1]! > fromMs)
}
