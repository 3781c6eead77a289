import { type ModelConfig, windowEverywhere } from '@deos/domain'
import { type Fields, ranges } from '../fields.ts'
import { float32, type GgufValue } from '../gguf-values.ts'
import { attention, embeddingAndHead, feedForward, hidden } from './common.ts'
import type { Family, TensorRule } from './family.ts'
import { gemmaActivations, gemmaDefaults, gemmaScale, shifted } from './gemma.ts'
import { everyNthFull, regularWindow } from './sliding-window.ts'

const scaleKey = 'attention.scale'
const softcapRange = { min: 0, max: ranges.positive.max }

/** Norms before and after attention and feed-forward. */
export const doubleNormLayer: readonly TensorRule[] = [
  ...attention(false),
  {
    gguf: 'post_attention_norm.weight',
    huggingFace: 'post_attention_layernorm.weight',
    shape: hidden,
  },
  { gguf: 'ffn_norm.weight', huggingFace: 'pre_feedforward_layernorm.weight', shape: hidden },
  ...feedForward('mlp'),
  { gguf: 'post_ffw_norm.weight', huggingFace: 'post_feedforward_layernorm.weight', shape: hidden },
]

/** Gemma 2: every other layer, from the first on, has a window; attention scores and logits are capped. */
export const gemma2: Family = {
  architecture: 'gemma2',
  title: 'Gemma 2',
  classes: [
    {
      name: 'Gemma2ForCausalLM',
      modelType: 'gemma2',
      defaults: {
        ...gemmaDefaults,
        ...{ query_pre_attn_scalar: 256, sliding_window: 4096 },
        ...{ attn_logit_softcapping: 50, final_logit_softcapping: 30 },
      },
      activations: gemmaActivations,
      slidingWindow: (fields) => regularWindow(fields, 2),
      traits: (fields, plain) => ({
        ...gemmaScale(plain),
        attentionScale: preAttentionScale(fields),
        attentionSoftcap: fields.number('attn_logit_softcapping', softcapRange, 0),
        logitSoftcap: fields.number('final_logit_softcapping', softcapRange, 0),
      }),
    },
  ],
  globals: shifted(embeddingAndHead),
  layer: shifted(doubleNormLayer),
  ropeScalings: ['linear'],
  fullRope: true,
  windowPeriod: 2,
  ggufTraits: (fields, plain) => ({
    ...gemmaScale(plain),
    // The first files did not say.
    slidingWindow: fields.has('attention.sliding_window')
      ? plain.slidingWindow
      : everyNthFull(windowEverywhere(4096, plain.layers), 2),
    attentionScale: ggufScale(fields, plain),
    attentionSoftcap: fields.number('attn_logit_softcapping', softcapRange, 50),
    logitSoftcap: fields.number('final_logit_softcapping', softcapRange, 30),
  }),
  ggufMetadata: (config) => [
    ...scaleMetadata(config),
    ['attn_logit_softcapping', float32(config.attentionSoftcap)],
    ['final_logit_softcapping', float32(config.logitSoftcap)],
  ],
}

export const preAttentionScale = (fields: Fields): number =>
  1 / Math.sqrt(fields.number('query_pre_attn_scalar', ranges.positive))

/** llama.cpp knows the largest Gemma 2 and 3 by their layers; only there a head's width is not what counts. */
const layersOfLargest = [46, 62]

function impliedScale({ layers, hiddenSize, heads, headDim }: ModelConfig): number {
  return 1 / Math.sqrt(layersOfLargest.includes(layers) ? Math.floor(hiddenSize / heads) : headDim)
}

/** llama.cpp's files hold no scale: it follows from the shape. One that does not is written for this engine alone. */
export function scaleMetadata(config: ModelConfig): readonly (readonly [string, GgufValue])[] {
  return config.attentionScale === impliedScale(config) ? [] : [[scaleKey, float32(config.attentionScale)]]
}

export const ggufScale = (fields: Fields, plain: ModelConfig): number =>
  fields.number(scaleKey, ranges.positive, impliedScale(plain))
