import { quantile } from '../contract.ts'
import { type CompletionClient, ServerFailedError } from './completion-client.ts'
import { tokenGaps } from './load.ts'
import type { ServeRequest } from './workload.ts'

/** What a long prompt does to streams that decode meanwhile. */
export interface StallResult {
  /** Median time between tokens of the streams before the prompt came and after it: contexts grow meanwhile. */
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
  /** Tokens each stream gets before the long prompt, counted from when all of them decode, and after it. */
  readonly baselineTokens: number
}

/** Tokens after which a batch of streams has found its step. */
const SETTLING_TOKENS = 8

/** When tokens of several streams arrived, and how to wait for so many of each. */
class Arrivals {
  readonly streams: (readonly number[])[]
  #awaited = Number.POSITIVE_INFINITY
  #resolve: () => void = () => undefined

  constructor(count: number) {
    this.streams = Array.from({ length: count }, () => [])
  }

  get fewest(): number {
    return Math.min(...this.streams.map(({ length }) => length))
  }

  add(stream: number, tokensMs: readonly number[]): void {
    this.streams[stream] = tokensMs
    if (this.fewest >= this.#awaited) this.#resolve()
  }

  /** Until every stream has got so many more tokens. */
  more(tokens: number): Promise<void> {
    this.#awaited = this.fewest + tokens
    return new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  gaps(fromMs: number, toMs: number): readonly number[] {
    return this.streams.flatMap((tokensMs) => gapsWithin(tokensMs, fromMs, toMs))
  }
}

/** Lets streams decode, sends a long prompt into them, and ends the streams some time after its first token. */
export async function measureStall(
  client: Pick<CompletionClient, 'complete'>,
  { streams, long, baselineTokens }: StallOptions,
): Promise<StallResult> {
  const over = new AbortController()
  const arrivals = new Arrivals(streams.length)
  const decoding = streams.map((request, index) =>
    client.complete(request, {
      signal: over.signal,
      onTokens: (tokensMs) => arrivals.add(index, tokensMs),
    }),
  )
  const endedEarly = Promise.race(decoding).then((): never => {
    throw new ServerFailedError('A stream ended before the long prompt was read: it has too few tokens.')
  })
  try {
    await Promise.race([arrivals.more(SETTLING_TOKENS), endedEarly])
    const settledMs = performance.now()
    await Promise.race([arrivals.more(baselineTokens), endedEarly])
    const { startedMs, tokensMs } = await Promise.race([client.complete(long), endedEarly])
    const [endedMs] = tokensMs as readonly [number]
    await Promise.race([arrivals.more(baselineTokens), endedEarly])
    const baseline = [...arrivals.gaps(settledMs, startedMs), ...arrivals.gaps(endedMs, performance.now())]
    const during = arrivals.gaps(startedMs, endedMs)
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
