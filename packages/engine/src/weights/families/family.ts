import type { ModelConfig, RopeScaling, SlidingWindow } from '@deos/domain'
import type { TensorType } from '../../ggml/tensor-type.ts'
import type { Fields } from '../fields.ts'
import type { GgufValue } from '../gguf-values.ts'
import type { TensorInfo, TensorPart } from '../model-source.ts'

/** A tensor in a Hugging Face file of which tensors of ours are made. */
export interface StoredTensor {
  /** Within a layer without `model.layers.N.`. */
  readonly name: string
  /** Fastest dim first. */
  readonly shape: readonly number[]
  /** Whether it holds packed bytes instead of numbers. */
  readonly packed?: boolean
}

/** One way to put a tensor together from those in Hugging Face files. */
export interface Assembly {
  stored(config: ModelConfig): readonly StoredTensor[]
  /** @param found - the stored tensors in that order, shapes checked */
  parts(config: ModelConfig, found: readonly TensorInfo[]): readonly TensorPart[]
  /** What packed bytes hold; elsewhere the type is that of the stored tensors. */
  readonly packedType?: TensorType
}

/** One tensor of a family: its two names and its shape. */
export interface TensorRule {
  /** In GGUF; within a layer without the `blk.N.` in front. */
  readonly gguf: string
  /** In Hugging Face files, within a layer without `model.layers.N.`; `null` if they do not hold it as it is. */
  readonly huggingFace: string | null
  /** Ways in which Hugging Face files hold it otherwise; the first of which there is anything counts. */
  readonly assemblies?: readonly Assembly[]
  /** Fastest dim first: a `[rows, columns]` matrix is `[columns, rows]`. */
  shape(config: ModelConfig): readonly number[]
  /** Rows are in rotate-half order per head in Hugging Face files, and interleaved in GGUF. */
  readonly permute?: 'heads' | 'kvHeads'
  /** What Hugging Face files leave out of every value and GGUF has in it: Gemma's norms multiply by 1 + weight. */
  readonly addend?: number
  /** When the tensor may be absent. Default: never. */
  readonly absent?: 'when tied' | 'always allowed'
  /** Which layers have the tensor. Default: all. */
  inLayer?(config: ModelConfig, layer: number): boolean
}

/** The model of text inside a larger Hugging Face model. */
export interface TextPart {
  /** Key of its settings in `config.json`. */
  readonly key: string
  /** What its tensors' names begin with. */
  readonly prefix: string
  /** Names of tensors that are not part of it. */
  readonly others: RegExp
}

/** Where most models that read images keep their model of text. */
export const besideImages: TextPart = {
  key: 'text_config',
  prefix: 'language_model.',
  others: /^(vision_tower|multi_modal_projector)\./,
}

/** How one Hugging Face model class maps onto the family. */
export interface HuggingFaceClass {
  /** In `config.json`'s `architectures`. */
  readonly name: string
  readonly modelType: string
  /** Values of keys that `config.json` may leave out. */
  readonly defaults?: Readonly<Record<string, unknown>>
  /** Where models of text and images keep the model of text. */
  readonly text?: TextPart
  /** What `hidden_act` or `hidden_activation` may say; the first is the default. Default: only `silu`. */
  readonly activations?: readonly string[]
  /** Flags of biases that the family has tensors for; others must not be set. */
  readonly biases?: readonly string[]
  /** Whether YaRN's ramp is truncated whatever `truncate` says, as ggml and thus llama.cpp do. */
  readonly truncatesYarn?: boolean
  /** Names of quantisations (`quant_method`) whose tensors the family knows how to read. */
  readonly quantizations?: readonly string[]
  slidingWindow(fields: Fields): SlidingWindow | null
  /** What only this class says about its shape, laid over what every `config.json` says. */
  traits?(fields: Fields, plain: ModelConfig): Partial<ModelConfig>
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
  /** Ways to stretch positions that llama.cpp knows for this architecture; `dynamic` is only another base to it. */
  readonly ropeScalings: readonly RopeScaling['type'][]
  /** Whether every dimension of a head must be rotated. */
  readonly fullRope: boolean
  /** Whether files may hold layers behind the model's own, which predict further tokens; they are not run. */
  readonly predictionLayers?: boolean
  /** Layers with a window come so many less one at a time, then one without, unless GGUF metadata says otherwise. */
  readonly windowPeriod?: number
  /** What only this family's GGUF metadata says, with llama.cpp's defaults; keys without the architecture's name. */
  ggufTraits?(fields: Fields, plain: ModelConfig): Partial<ModelConfig>
  /** For GGUF files as older converters wrote them. */
  readonly older?: OlderGguf
  /** The same to be written, beside the keys that every model has or in place of them. */
  ggufMetadata?(config: ModelConfig): readonly (readonly [string, GgufValue])[]
  /** What llama.cpp makes otherwise of a GGUF file of such a model, for people. */
  conversionNotes?(config: ModelConfig): readonly string[]
}

/** How GGUF files of a family differed once; files that do not are left as they are. */
export interface OlderGguf {
  /** The tensors under the names and in the shapes that newer files have. */
  tensors(config: ModelConfig, stored: ReadonlyMap<string, TensorInfo>): ReadonlyMap<string, TensorInfo>
  /** What newer files say where older ones say something else; keys without the architecture's name. */
  metadata(config: ModelConfig): readonly (readonly [string, GgufValue])[]
}

export const layerPrefix = (layer: number): string => `blk.${layer}.`
export const huggingFaceLayerPrefix = (layer: number): string => `model.layers.${layer}.`

/** How Hugging Face files spell a name of the rule for the canonical tensor `gguf`. */
export function huggingFaceName(gguf: string, name: string): string {
  const layer = /^blk\.(\d+)\./.exec(gguf)?.[1]
  return layer === undefined ? name : huggingFaceLayerPrefix(Number(layer)) + name
}

/** Every tensor the family may have, by canonical name, in the order in which files are written. */
export function familyTensors(family: Family, config: ModelConfig): Map<string, TensorRule> {
  const rules = new Map(family.globals.map((rule) => [rule.gguf, rule]))
  for (let layer = 0; layer < config.layers; layer += 1) {
    for (const rule of family.layer) {
      if (rule.inLayer?.(config, layer) ?? true) rules.set(layerPrefix(layer) + rule.gguf, rule)
    }
  }
  return rules
}

/** Whether a tensor, by its name in GGUF or Hugging Face files, is of a layer behind the model's own that may be left out. */
export function isLeftOut(family: Family, { layers }: ModelConfig, name: string): boolean {
  const layer = /^(?:blk|model\.layers)\.(\d+)\./.exec(name)?.[1]
  return family.predictionLayers === true && layer !== undefined && Number(layer) >= layers
}

export function mayBeAbsent(rule: TensorRule, config: ModelConfig): boolean {
  return rule.absent === 'always allowed' || (rule.absent === 'when tied' && config.tiedEmbeddings)
}
