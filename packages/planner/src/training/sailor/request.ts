import type { Pool } from './mixes.ts'
import type { SailorTables } from './tables.ts'

/** What to look for; a limit that no plan keeps gives no plan. */
export type SailorGoal =
  | { readonly kind: 'fastest'; readonly mostUsd?: number }
  | { readonly kind: 'cheapest'; readonly leastPerSecond?: number }

export interface SailorRequest {
  readonly tables: SailorTables
  readonly globalBatch: number
  readonly pools: readonly Pool[]
  readonly goal: SailorGoal
  readonly mostStages?: number
}
