/** Sailor's cost model of training and a search in it. */
export { SailorJudge, type SailorVerdict } from './judge.ts'
export type { Pool } from './mixes.ts'
export type { SailorPlan, SailorReplica, SailorStage } from './plan.ts'
export { type PlayedIteration, playSailorPlan } from './played.ts'
export type { SailorGoal, SailorRequest } from './request.ts'
export { type SailorFinding, searchSailor } from './search.ts'
export { type SailorFiles, type SailorTables, sailorTables } from './tables.ts'
