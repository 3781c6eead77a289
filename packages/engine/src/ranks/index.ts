export { bytesOf, type Collective, floatsOf, sumOver } from './collective.ts'
export { MemoryRanks } from './memory-collective.ts'
export {
  type BytePieces,
  type RankModel,
  type RankShares,
  type RankTensor,
  rankModel,
} from './rank-weights.ts'
export {
  type RankPlace,
  RankSplitError,
  rankCount,
  rankPlace,
  type StageRank,
  type StageSplit,
  unsplit,
} from './stage-split.ts'
