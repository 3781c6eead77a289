/** How the leader of a ring admits, batches and watches. */
export interface RingLeaderOptions {
  readonly stages: number
  /**
   * Steps in flight at once, at least; the number of stages keeps all of them busy. Where links take longer than
   * stages, the leader adds as many as they hold.
   */
  readonly microbatches: number
  /** Largest step in tokens; the ring's own limit holds if it is smaller. */
  readonly maxBatchTokens: number
  /**
   * Most prompt tokens in one step, over all sessions. `auto` measures: while sessions decode, a step takes so many
   * prompt tokens that it lasts less than twice as long as without them, and as many as fit when none does.
   */
  readonly prefillChunkTokens: number | 'auto'
  /**
   * In a ring of one stage, send the next step before the tokens of the one before are back: the engine knows them
   * first and need not wait. Costs one step more for each session that ends at a stop token.
   */
  readonly ahead: boolean
  /** Keep the KV of ended sessions while there is room, for prompts that begin alike. */
  readonly prefixCache: boolean
  /** Sessions that hold pages at once. */
  readonly maxSessions: number
  /** Sessions that wait for pages or for a place; more are rejected. */
  readonly maxQueued: number
  readonly probeIntervalMs: number
  /** A probe that takes longer means a fault. Probes overtake computation, so this covers links only. */
  readonly probeTimeoutMs: number
  /** A step that takes longer means a fault: an engine hangs. */
  readonly stepTimeoutMs: number
  /** How long requests may wait for a ring that is not ready before they are handed back. */
  readonly readyPatienceMs: number
  /** Between status messages to gateways when nothing changes. */
  readonly statusIntervalMs: number
  /** Token ids must be below; `null` leaves that to the engine. */
  readonly vocabSize: number | null
  /**
   * Epoch to begin with. Must exceed every epoch of an earlier life of this ring, so that stages which outlived
   * the leader follow it: seconds since 1970 serve.
   */
  readonly firstEpoch: number
}

export const defaultLeaderOptions: Omit<
  RingLeaderOptions,
  'stages' | 'microbatches' | 'vocabSize' | 'firstEpoch'
> = {
  maxBatchTokens: 512,
  prefillChunkTokens: 'auto',
  prefixCache: true,
  ahead: true,
  maxSessions: 256,
  maxQueued: 256,
  probeIntervalMs: 500,
  probeTimeoutMs: 5_000,
  stepTimeoutMs: 60_000,
  readyPatienceMs: 30_000,
  statusIntervalMs: 1_000,
}

/** @throws RangeError naming the option that makes no sense */
export function checkLeaderOptions(options: RingLeaderOptions): void {
  const positive = [
    'stages',
    'microbatches',
    'maxBatchTokens',
    'maxSessions',
    'probeIntervalMs',
    'probeTimeoutMs',
    'stepTimeoutMs',
    'statusIntervalMs',
    'firstEpoch',
  ] as const
  for (const name of positive) {
    if (!(options[name] >= 1))
      throw new RangeError(`Ring option ${name} is ${options[name]}; it must be at least 1.`)
  }
  if (options.prefillChunkTokens !== 'auto' && !(options.prefillChunkTokens >= 1)) {
    throw new RangeError(
      `Ring option prefillChunkTokens is ${options.prefillChunkTokens}; it must be at least 1, or "auto".`,
    )
  }
  for (const name of ['maxQueued', 'readyPatienceMs'] as const) {
    if (!(options[name] >= 0))
      throw new RangeError(`Ring option ${name} is ${options[name]}; it cannot be negative.`)
  }
}
