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
  if (config.experts) {
    const { count, used, groups, groupsUsed, groupJudges } = config.experts
    if (used > count) refuse(`sends each token through ${used} of ${count} experts`)
    if (count % groups !== 0) refuse(`has ${count} experts, not a multiple of its ${groups} groups`)
    if (groupsUsed > groups) refuse(`chooses from ${groupsUsed} of ${groups} groups of experts`)
    if (groupJudges > count / groups) refuse(`judges groups of ${count / groups} experts by ${groupJudges}`)
    const reachable = (count / groups) * groupsUsed
    if (used > reachable) refuse(`sends each token through ${used} experts and looks at only ${reachable}`)
  }
  if (config.ropeScaling.type === 'longrope' && config.ropeScaling.factors !== null) {
    const { long, short } = config.ropeScaling.factors
    if (long.length !== ropeDim / 2 || short.length !== ropeDim / 2) {
      refuse(
        `rotates ${ropeDim / 2} pairs per head, but has ${long.length} long and ${short.length} short factors`,
      )
    }
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
