import type { ModelConfig, SlidingWindow } from '@deos/domain'
import { UnsupportedModelError } from '../errors.ts'
import { type Fields, ranges } from '../fields.ts'
import { embeddingAndHead } from './common.ts'
import { besideImages, type Family, type HuggingFaceClass } from './family.ts'
import { gemmaActivations, gemmaDefaults, gemmaScale, shifted } from './gemma.ts'
import { doubleNormLayer, ggufScale, preAttentionScale, scaleMetadata } from './gemma2.ts'
import { headNorms } from './qwen3.ts'
import { regularWindow } from './sliding-window.ts'

const period = 6
/** Base of the rotary frequencies in windowed layers. */
const windowTheta = 10_000

const textModel = {
  defaults: {
    ...gemmaDefaults,
    ...{ num_attention_heads: 8, num_key_value_heads: 4 },
    ...{ vocab_size: 262_208, max_position_embeddings: 131_072, rms_norm_eps: 1e-6, rope_theta: 1_000_000 },
    ...{ query_pre_attn_scalar: 256, sliding_window: 4096 },
  },
  activations: gemmaActivations,
  slidingWindow,
  traits,
} as const satisfies Partial<HuggingFaceClass>

/** Gemma 3, of the larger ones the model of text: five layers with a window, then one without. */
export const gemma3: Family = {
  architecture: 'gemma3',
  title: 'Gemma 3 (text)',
  classes: [
    { name: 'Gemma3ForCausalLM', modelType: 'gemma3_text', ...textModel },
    {
      name: 'Gemma3ForConditionalGeneration',
      modelType: 'gemma3',
      text: besideImages,
      ...textModel,
    },
  ],
  globals: shifted(embeddingAndHead),
  layer: shifted([...doubleNormLayer, ...headNorms]),
  ropeScalings: ['linear'],
  fullRope: true,
  windowPeriod: period,
  ggufTraits: (fields, plain) => ({
    ...gemmaScale(plain),
    attentionScale: ggufScale(fields, plain),
    slidingWindow: plain.slidingWindow && {
      ...plain.slidingWindow,
      ropeTheta: plain.slidingWindow.ropeTheta ?? windowTheta,
    },
  }),
  ggufMetadata: scaleMetadata,
}

function slidingWindow(fields: Fields): SlidingWindow | null {
  const pattern = fields.integer('sliding_window_pattern', { min: 1, max: ranges.layers.max }, period)
  const window = regularWindow(fields, pattern)
  return window && { ...window, ropeTheta: localTheta(fields) }
}

function localTheta(fields: Fields): number {
  const local = fields.nested('rope_parameters')?.nested('sliding_attention')
  if (!local) return fields.number('rope_local_base_freq', ranges.theta, windowTheta)
  if (local.string('rope_type', 'default') !== 'default') {
    throw new UnsupportedModelError(
      fields.file,
      'scales positions in layers with a window',
      'This engine runs Gemma 3 where only the other layers do.',
    )
  }
  return local.number('rope_theta', ranges.theta, windowTheta)
}

function traits(fields: Fields, plain: ModelConfig): Partial<ModelConfig> {
  for (const key of ['attn_logit_softcapping', 'final_logit_softcapping']) {
    if (fields.has(key)) {
      throw new UnsupportedModelError(fields.file, `sets ${key}`, 'This engine runs Gemma 3 without caps.')
    }
  }
  if (fields.boolean('use_bidirectional_attention', false)) {
    throw new UnsupportedModelError(
      fields.file,
      'looks ahead (use_bidirectional_attention)',
      'This engine runs models that look back only.',
    )
  }
  return { ...gemmaScale(plain), attentionScale: preAttentionScale(fields) }
}
