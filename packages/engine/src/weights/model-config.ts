import type { ModelConfig } from '@deos/domain'
import { ModelFileError } from './errors.ts'
import type { Family } from './families/index.ts'

/**
 * Checks what single fields cannot show.
 *
 * @throws ModelFileError naming the file and the two values that disagree
 */
export function checkConfig(config: ModelConfig, family: Family, file: string): ModelConfig {
  const { heads, kvHeads, headDim, ropeDim } = config
  const refuse = (reason: string) => {
    throw new ModelFileError(file, reason)
  }
  if (heads % kvHeads !== 0) refuse(`has ${heads} attention heads, not a multiple of its ${kvHeads} KV heads`)
  if (ropeDim > headDim || ropeDim % 2 !== 0) {
    refuse(`rotates ${ropeDim} of ${headDim} dimensions per head; it must be an even number of them`)
  }
  if (family.fullRope && ropeDim !== headDim) {
    refuse(`rotates ${ropeDim} of ${headDim} dimensions per head; ${family.architecture} rotates all of them`)
  }
  const tokens = [...config.eosTokens, ...(config.bosToken === null ? [] : [config.bosToken])]
  const outside = tokens.find((token) => token >= config.vocabSize)
  if (outside !== undefined) refuse(`has the special token ${outside} in a vocabulary of ${config.vocabSize}`)
  return config
}

/** Head width where a file does not give it. @throws ModelFileError if the hidden size is not a multiple of the heads */
export function impliedHeadDim(file: string, hiddenSize: number, heads: number): number {
  if (hiddenSize % heads === 0) return hiddenSize / heads
  throw new ModelFileError(
    file,
    `has a hidden size of ${hiddenSize}, not a multiple of its ${heads} attention heads`,
  )
}
