/** Blocks of K and V that a machine keeps: in memory, on disk, by what they are worth. Start at {@link KvBlockStore}. */
export { type BlockFiles, DiskBlockFiles, type StoredBlock } from './block-files.ts'
export {
  KvBlockStore,
  type KvBlockStoreOptions,
  type KvStoreCounters,
  KvStoreError,
  type KvStoreUsage,
} from './kv-block-store.ts'
