import { describeModel, type ModelSource } from '@deos/engine/weights'

/**
 * Bytes that one decoded token has to read from memory: every weight it is multiplied with once, of experts those it is
 * sent to, and the F16 KV cache of the `depth` positions before it. Rows of the embedding do not count.
 */
export function stepBytes(source: ModelSource, depth: number): number {
  const { config, tensors } = source
  const expertShare = config.experts === null ? 1 : config.experts.used / config.experts.count
  let weights = 0
  for (const { name, sizeBytes } of tensors.values()) {
    if (name === 'token_embd.weight' && !config.tiedEmbeddings) continue
    weights += name.includes('_exps.') ? sizeBytes * expertShare : sizeBytes
  }
  return weights + describeModel(source).kvBytesPerToken.f16 * depth
}
