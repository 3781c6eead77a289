/** Content-addressed blocks of K and V: what they are called, how they are numbered, which of them are missing. */
export {
  KV_BLOCK_TOKENS,
  KV_RUN_BYTES,
  type KvBlockAddress,
  type KvCoding,
  type KvIdentity,
  KvIdentityError,
  kvBlockKey,
  kvRoot,
  kvRunIds,
  type Sha256,
} from './block-identity.ts'
export {
  blockCount,
  blockPlace,
  blockSlice,
  blocksPerRun,
  type KvBlockGrid,
  type KvBlockPlace,
  runCount,
} from './block-order.ts'
export { BlockRanking, type ValuedBlock } from './block-ranking.ts'
export { KvBlockSet, KvBlockSetError } from './block-set.ts'
export { blockKeys, missingBlocks, type WantedBlocks } from './missing-blocks.ts'
