export type { BatchEntry, Outputs } from './attention-plan.ts'
export { type KvBlock, KvCache, type KvCacheOptions, type KvType, kvPageBytes } from './kv-cache.ts'
export { OutOfPagesError, PageTable } from './page-table.ts'
export { Stage, type StageBatch, StageConfigError, type StageOptions, type StageOutput } from './stage.ts'
