/** Numbers of clients whose tokens/s are compared. */
export const clientCounts = [1, 2, 4, 8, 16, 32, 64] as const
export type ClientCount = (typeof clientCounts)[number]

/** How much is measured; what is measured is the same in every plan. */
export interface ServePlan {
  /** Rounds of each scenario, every contender once in each. */
  readonly rounds: number
  /** Requests of one measurement at each number of clients. */
  readonly requests: Record<ClientCount, number>
  readonly openRequests: number
  readonly sharedPrefixRequests: number
}

export const fullPlan: ServePlan = {
  rounds: 3,
  requests: { 1: 3, 2: 4, 4: 8, 8: 16, 16: 16, 32: 32, 64: 64 },
  openRequests: 20,
  sharedPrefixRequests: 16,
}

export const quickPlan: ServePlan = {
  rounds: 2,
  requests: { 1: 6, 2: 8, 4: 12, 8: 24, 16: 24, 32: 32, 64: 64 },
  openRequests: 24,
  sharedPrefixRequests: 16,
}

/** What is the same in every plan. */
export const serveSettings = {
  /** What DeOS answers before anything counts: until its code is compiled. */
  warmUp: { requests: 96, tokens: 64, clients: 8 },
  /** Longest sequence of the mixed workload, rounded up. */
  mixedTokens: 512,
  /** Latencies of a closed loop are those at so many clients. */
  closedClients: 8,
  /** Capacity is the rate of requests answered for so many clients, by the slower contender. */
  capacityClients: 16,
  openLoadShare: 0.7,
  /** More than are in flight at that load. */
  openSlots: 32,
  prefillTokens: 4096,
  decodingStreams: 4,
  /** Tokens of each stream before the prefill, from the moment all of them decode. */
  baselineTokens: 48,
  prefixPromptTokens: 2048,
  sharedShare: 0.9,
  /** Longest sequence of the scenarios with long prompts. */
  longTokens: 5120,
  longSlots: 8,
  sharedPrefixClients: 8,
} as const
