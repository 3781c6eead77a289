import type { RingUsage } from '../messages.ts'

/** What a ring reports that has not served anything. */
export const idleUsage: RingUsage = {
  pages: 0,
  pagesFree: 0,
  pagesCached: 0,
  promptTokens: 0,
  cachedTokens: 0,
  generatedTokens: 0,
  evictions: 0,
  preemptions: 0,
  recomputedTokens: 0,
}
