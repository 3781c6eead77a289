import type { ModelConfig, RopeScaling } from '@deos/domain'
import type { Fields } from '../fields.ts'

/** One tensor of a family: its two names and its shape. */
export interface TensorRule {
  /** In GGUF; within a layer without the `blk.N.` in front. */
  readonly gguf: string
  /** In Hugging Face files, within a layer without `model.layers.N.`; `null` if only GGUF has it. */
  readonly huggingFace: string | null
  /** Fastest dim first: a `[rows, columns]` matrix is `[columns, rows]`. */
  shape(config: ModelConfig): readonly number[]
  /** Rows are in rotate-half order per head in Hugging Face files, and interleaved in GGUF. */
  readonly permute?: 'heads' | 'kvHeads'
  /** When the tensor may be absent. Default: never. */
  readonly absent?: 'when tied' | 'always allowed'
}

/** How one Hugging Face model class maps onto the family. */
export interface HuggingFaceClass {
  /** In `config.json`'s `architectures`. */
  readonly name: string
  readonly modelType: string
  slidingWindow(fields: Fields): number | null
}

/**
 * A model family as data: what its files hold and how they are named. Adding a family is one such file and its
 * entry in {@link families}.
 */
export interface Family {
  /** GGUF's `general.architecture`, and `ModelConfig.architecture`. */
  readonly architecture: string
  /** For people. */
  readonly title: string
  readonly classes: readonly HuggingFaceClass[]
  readonly globals: readonly TensorRule[]
  readonly layer: readonly TensorRule[]
  /** Ways to stretch positions that llama.cpp knows for this architecture, beside `none`. */
  readonly ropeScalings: readonly RopeScaling['type'][]
  /** Whether every dimension of a head must be rotated. */
  readonly fullRope: boolean
}

export const layerPrefix = (layer: number): string => `blk.${layer}.`
export const huggingFaceLayerPrefix = (layer: number): string => `model.layers.${layer}.`

/** Every tensor the family may have, by canonical name, in the order in which files are written. */
export function familyTensors(family: Family, config: ModelConfig): Map<string, TensorRule> {
  const rules = new Map(family.globals.map((rule) => [rule.gguf, rule]))
  for (let layer = 0; layer < config.layers; layer += 1) {
    for (const rule of family.layer) rules.set(layerPrefix(layer) + rule.gguf, rule)
  }
  return rules
}

export function mayBeAbsent(rule: TensorRule, config: ModelConfig): boolean {
  return rule.absent === 'always allowed' || (rule.absent === 'when tied' && config.tiedEmbeddings)
}
