import { bytes, formatBytes, kvBytesPerTokenPerLayer, type ModelConfig } from '@deos/domain'
import type { KvType } from '@deos/engine/kv-type'
import { UsageError } from '../cli-error.ts'
import type { StageSplit } from './plan-file.ts'

/** A worker's share of the cache: how many layers it holds, and its memory per layer beside the others'. */
export interface KvShare {
  readonly layers: number
  readonly memory: number
}

export interface KvBudgetRequest {
  readonly config: ModelConfig
  readonly kvType: KvType
  readonly shares: readonly KvShare[]
  /** Asked for by the user; `null` takes the model's, within reason. */
  readonly contextLength: number | null
  /** For all workers together; `null` takes room for several contexts, within `spareBytes`. */
  readonly totalBytes: number | null
  /** Memory that may be taken without asking. */
  readonly spareBytes: number
}

export interface KvBudget {
  readonly contextLength: number
  /** Tokens of all sessions together, as the worker with the least memory holds them. */
  readonly poolTokens: number
  /** One for each share. */
  readonly workerBytes: readonly number[]
}

/** Pages are handed out to attention in buckets of this many tokens. */
const BUCKET_TOKENS = 256
const DEFAULT_CONTEXT = 8192
const DEFAULT_CONTEXTS = 16

/** ggml's block types keep 32 values with one F16 scale. */
const elementBytes: Readonly<Record<KvType, number>> = { F16: 2, F32: 4, Q8_0: 34 / 32, Q4_0: 18 / 32 }

const inBuckets = (tokens: number): number => Math.floor(tokens / BUCKET_TOKENS) * BUCKET_TOKENS

/**
 * Shares KV memory out over the workers of one ring.
 *
 * @throws UsageError if the context exceeds the model's, or the memory does not hold one context
 */
export function planKvBudget(request: KvBudgetRequest): KvBudget {
  const { config, shares, totalBytes } = request
  const wanted = wantedContext(config, request.contextLength)
  const layerBytes = kvBytesPerTokenPerLayer(config, elementBytes[request.kvType])
  const tokenBytes = shares.reduce((sum, { layers, memory }) => sum + layers * memory * layerBytes, 0)
  const held = inBuckets(
    totalBytes === null
      ? Math.min(DEFAULT_CONTEXTS * wanted + BUCKET_TOKENS - 1, request.spareBytes / tokenBytes)
      : totalBytes / tokenBytes,
  )
  const needed = request.contextLength === null ? BUCKET_TOKENS : wanted
  if (held < needed) {
    const leastBytes = Math.ceil(Math.ceil(needed / BUCKET_TOKENS) * BUCKET_TOKENS * tokenBytes)
    throw new UsageError(
      `${formatBytes(bytes(totalBytes ?? request.spareBytes))} of KV memory hold ${held} tokens; ` +
        `a context of ${needed} needs ${formatBytes(bytes(leastBytes))}.`,
      `Give --kv-memory ${Math.ceil(leastBytes / 2 ** 20)}M or more, or a shorter --context.`,
    )
  }
  return {
    contextLength: Math.min(wanted, held),
    poolTokens: held,
    workerBytes: shares.map(({ layers, memory }) => inBuckets(held * memory) * layers * layerBytes),
  }
}

/**
 * What of a stage's share one of its ranks holds: its heads' part of its pages.
 *
 * @param stageBytes - of {@link KvBudget.workerBytes}
 */
export function rankKvBytes(
  stageBytes: number,
  layers: number,
  { config, kvType }: Pick<KvBudgetRequest, 'config' | 'kvType'>,
  { tensor, context }: StageSplit,
): number {
  const tokenBytes = layers * kvBytesPerTokenPerLayer(config, elementBytes[kvType])
  const tokens = Math.ceil(stageBytes / tokenBytes / context / BUCKET_TOKENS) * BUCKET_TOKENS
  const { kvHeads, latentAttention } = config
  // Latent attention has one vector for all heads.
  const heads = latentAttention ? 1 : Math.ceil(kvHeads / tensor) / kvHeads
  return Math.ceil(tokens * tokenBytes * heads)
}

function wantedContext(config: ModelConfig, asked: number | null): number {
  if (asked === null) return Math.min(config.contextLength, DEFAULT_CONTEXT)
  if (asked <= config.contextLength) return asked
  throw new UsageError(
    `--context ${asked} exceeds the ${config.contextLength} positions of ${config.name}.`,
    `Give at most ${config.contextLength}.`,
  )
}
