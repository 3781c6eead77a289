import { DomainError } from '@deos/domain'

export const kvTypes = ['F16', 'F32', 'Q8_0', 'Q4_0'] as const

/** What K and V are stored as. The quantised ones share a scale among 32 neighbouring values of a head. */
export type KvType = (typeof kvTypes)[number]

const BLOCK = 32

export class KvTypeError extends DomainError {
  readonly code = 'KV_TYPE'
  readonly retriable = false
}

/**
 * Resolves `auto`. ggml's CPU attention accumulates F16 values in vectors of 64 and is several times slower for head
 * dims that are no multiple of that, so `auto` takes F32 there (docs/decisions/0008-kv-type.md).
 *
 * @throws KvTypeError if heads of this size cannot be stored so
 */
export function chooseKvType(wanted: KvType | 'auto', headDim: number): KvType {
  if (wanted === 'auto') return headDim % 64 === 0 ? 'F16' : 'F32'
  checkKvType(wanted, headDim)
  return wanted
}

/** @throws KvTypeError if heads of this size do not fill whole blocks of the type */
export function checkKvType(type: KvType, headDim: number): void {
  if (type === 'F16' || type === 'F32' || headDim % BLOCK === 0) return
  throw new KvTypeError(
    `K and V in ${type} are stored in blocks of ${BLOCK} values; the model's heads of ${headDim} do not fill them.`,
    'Store them as auto, F16 or F32.',
  )
}
