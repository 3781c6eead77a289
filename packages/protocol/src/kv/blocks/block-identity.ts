import { DomainError, type KvPart } from '@deos/domain'

/** Handed in: SHA-256 of the bytes, 32 of them. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array

/** Positions of a block unless a ring agrees on others: 8 pages of 16, small enough to leave while the next is computed. */
export const KV_BLOCK_TOKENS = 128
export const KV_RUN_BYTES = 32

/** Raised whenever what is hashed changes. */
const SCHEME = 'deos-kv-1'

/** Everything besides tokens that decides what K and V are. */
export interface KvIdentity {
  /** Fingerprint of the model's weights. */
  readonly model: string
  /** What else changes values: types that weights are converted to at load, a context length that stretches rotations. */
  readonly numerics: string
  /** Fingerprint of the adapter that computes them, `null` for none. */
  readonly adapter: string | null
  /**
   * Who shares them: a tenant whose prompts must not be told from how fast others are answered has a scope of its own.
   * Empty for all.
   */
  readonly scope: string
  /** Positions of a block. */
  readonly blockTokens: number
}

export class KvIdentityError extends DomainError {
  readonly code = 'KV_IDENTITY'
  readonly retriable = false
}

/**
 * What the ids of all prompts of an identity begin with.
 *
 * @throws KvIdentityError if a block's positions are no whole number from 1 on
 */
export function kvRoot(sha256: Sha256, identity: KvIdentity): Uint8Array {
  const { model, numerics, adapter, scope, blockTokens } = identity
  if (!Number.isInteger(blockTokens) || blockTokens < 1) {
    throw new KvIdentityError(
      `Blocks of ${blockTokens} positions are not possible.`,
      'Take a multiple of the page size.',
    )
  }
  const fields = JSON.stringify([SCHEME, model, numerics, adapter, scope, blockTokens])
  return sha256(new TextEncoder().encode(fields))
}

/**
 * Ids of the blocks of positions of a prompt: each stands for its tokens and all before them, so prompts share ids as far
 * as they begin alike. The last block may be shorter than the others; its id is another one than that of a full block.
 *
 * @param before - id of the block before the first of the tokens, or the root
 */
export function kvRunIds(
  sha256: Sha256,
  before: Uint8Array,
  tokens: Int32Array,
  blockTokens: number,
): readonly Uint8Array[] {
  const ids: Uint8Array[] = []
  let previous = before
  for (let first = 0; first < tokens.length; first += blockTokens) {
    const own = tokens.subarray(first, first + blockTokens)
    const hashed = new Uint8Array(KV_RUN_BYTES + 4 * own.length)
    hashed.set(previous)
    const view = new DataView(hashed.buffer)
    for (const [index, token] of own.entries()) view.setInt32(KV_RUN_BYTES + 4 * index, token, true)
    previous = sha256(hashed)
    ids.push(previous)
  }
  return ids
}

/** How the bytes of a block were made. */
export interface KvCoding {
  /** Of the codec that wrote them. */
  readonly version: number
  /** 0 is exact; higher is coarser. */
  readonly level: number
  /** Version of the basis they are coded in; 0 for levels without one. */
  readonly basis: number
}

/** One block: the positions of a run id, in one part of one layer, in one coding. */
export interface KvBlockAddress extends KvCoding {
  readonly run: Uint8Array
  readonly layer: number
  readonly part: KvPart
}

const hexOfByte = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** A name for what a block holds, the same on every machine; of characters that file names may have everywhere. */
export function kvBlockKey({ run, layer, part, version, level, basis }: KvBlockAddress): string {
  // Long prompts have tens of thousands of blocks.
  let id = ''
  for (const byte of run) id += hexOfByte[byte]!
  return `${id}-${layer}${part === 'key' ? 'k' : 'v'}-${version}.${level}.${basis}`
}
