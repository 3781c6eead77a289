export type KvType = 'F16' | 'F32'

/**
 * What K and V are stored as. ggml's CPU attention accumulates F16 values in vectors of 64 and is several times
 * slower for head dims that are no multiple of that, so `auto` takes F32 there (docs/decisions/0008-kv-type.md).
 */
export const chooseKvType = (wanted: KvType | 'auto', headDim: number): KvType =>
  wanted !== 'auto' ? wanted : headDim % 64 === 0 ? 'F16' : 'F32'
