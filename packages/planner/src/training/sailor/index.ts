/** Sailor's cost model of training and a search in it. */
export {
  SailorJudge,
  type SailorPlan,
  type SailorReplica,
  type SailorStage,
  type SailorVerdict,
} from './judge.ts'
export type { Pool } from './mixes.ts'
export { type SailorFinding, type SailorGoal, type SailorRequest, searchSailor } from './search.ts'
export { type SailorFiles, type SailorTables, sailorTables } from './tables.ts'
