import type { ExpertConfig, ModelConfig, SlidingWindow } from '@deos/domain'
import { UnsupportedModelError } from '../errors.ts'
import { type Fields, ranges } from '../fields.ts'
import { uint32 } from '../gguf-values.ts'
import { attention, embeddingAndHead, feedForward, hidden, ropeFrequencies } from './common.ts'
import {
  columnsOfExperts,
  expertCounts,
  expertLayer,
  expertMetadata,
  expertsOf,
  ggufExpertSize,
  ggufOwnExpertCounts,
  plainRouting,
  sharedExpert,
} from './experts.ts'
import type { Family, HuggingFaceClass } from './family.ts'
import { layersOfType, periodicWindows } from './sliding-window.ts'

/** Every fourth layer looks back over everything and does not rotate; llama.cpp knows no other distance. */
const windowPeriod = 4
/** llama.cpp knows no other chunk. */
const defaultChunk = 8192
const stepKey = 'interleave_moe_layer_step'

/** What this engine and llama.cpp have as constants. */
const constants = { attn_temperature_tuning: true, floor_scale: 8192, attn_scale: 0.1 } as const
/** Models of that many experts do not normalise heads, others do; GGUF has no word for it. */
const expertsWithoutHeadNorm = 128

const text: Omit<HuggingFaceClass, 'name' | 'modelType'> = { slidingWindow: chunkedWindow, traits: ownTraits }

/** Gate and up lie beside each other, and inputs along rows. */
const gateOrUp = (name: 'gate' | 'up') =>
  columnsOfExperts({
    name: 'feed_forward.experts.gate_up_proj',
    columns: (config) => 2 * expertsOf(config).feedForwardSize,
    rows: (config) => config.hiddenSize,
    taken: (config) => expertsOf(config).feedForwardSize,
    first: (config) => (name === 'up' ? expertsOf(config).feedForwardSize : 0),
    step: 1,
  })

const down = columnsOfExperts({
  name: 'feed_forward.experts.down_proj',
  columns: (config) => config.hiddenSize,
  rows: (config) => expertsOf(config).feedForwardSize,
  taken: (config) => config.hiddenSize,
  first: () => 0,
  step: 1,
})

/** Llama 4, of the published ones the model of text: attention in chunks, one expert for a token beside a shared one. */
export const llama4: Family = {
  architecture: 'llama4',
  title: 'Llama 4 (text)',
  classes: [
    { name: 'Llama4ForCausalLM', modelType: 'llama4_text', ...text },
    {
      name: 'Llama4ForConditionalGeneration',
      modelType: 'llama4',
      text: {
        key: 'text_config',
        prefix: 'language_model.',
        others: /^(vision_model|multi_modal_projector)\./,
      },
      ...text,
    },
  ],
  globals: [...embeddingAndHead, ropeFrequencies],
  layer: [
    ...attention(false),
    { gguf: 'ffn_norm.weight', huggingFace: 'post_attention_layernorm.weight', shape: hidden },
    ...feedForward('feed_forward'),
    ...expertLayer({
      router: 'feed_forward.router',
      projection: (name) => ({ huggingFace: null, assemblies: [name === 'down' ? down : gateOrUp(name)] }),
    }),
    ...sharedExpert('feed_forward.shared_expert'),
  ],
  ropeScalings: ['llama3'],
  fullRope: true,
  windowPeriod,
  ggufTraits: (fields, plain) => {
    const counts = ggufOwnExpertCounts(fields)
    const window = plain.slidingWindow
    if (window === null && fields.has('attention.sliding_window')) throw withoutChunks(fields)
    return {
      slidingWindow: chunked(plain.layers, window?.size ?? defaultChunk),
      experts: {
        ...counts,
        ...ownRouting(ggufExpertSize(fields)),
        layers: everySoMany(fields.integer(stepKey, ranges.layers)),
      },
    }
  },
  ggufMetadata: (config) => [...expertMetadata(config), [stepKey, uint32(expertsOf(config).layers.every)]],
}

/** Experts in the last of every `step` layers. */
const everySoMany = (step: number): ExpertConfig['layers'] => ({ first: step - 1, every: step })

const ownRouting = (size: number) =>
  ({
    ...plainRouting,
    feedForwardSize: size,
    sharedFeedForwardSize: size,
    scoring: 'sigmoid',
    normalised: false,
  }) as const

const chunked = (layers: number, size: number): SlidingWindow => ({
  size,
  layers: periodicWindows(layers, windowPeriod),
  kind: 'chunked',
  ropeTheta: null,
})

const withoutChunks = ({ file }: Fields): UnsupportedModelError =>
  new UnsupportedModelError(
    file,
    'does not attend in chunks',
    'This engine runs Llama 4 with chunks in three of four layers.',
  )

function chunkedWindow(fields: Fields): SlidingWindow {
  const layers = fields.integer('num_hidden_layers', ranges.layers)
  const window = chunked(layers, fields.integer('attention_chunk_size', ranges.context, defaultChunk))
  const given = [layersOfType(fields, 'chunked_attention'), rotatedLayers(fields, layers)]
  if (given.some((list) => list?.some((has, layer) => has !== window.layers[layer]))) {
    throw new UnsupportedModelError(
      fields.file,
      'attends in chunks and rotates in other layers than three of four (layer_types, no_rope_layers)',
      'This engine runs Llama 4 with every fourth layer as the exception.',
    )
  }
  return window
}

/** `no_rope_layers` says 1 for layers that do rotate; empty is the default. */
function rotatedLayers(fields: Fields, layers: number): readonly boolean[] | null {
  const list = fields.raw('no_rope_layers')
  if (list === null || (Array.isArray(list) && list.length === 0)) return null
  if (Array.isArray(list) && list.length === layers && list.every((each) => each === 0 || each === 1)) {
    return list.map((each) => each === 1)
  }
  throw fields.error('no_rope_layers', list, `a list of ${layers} times 0 or 1`)
}

function ownTraits(fields: Fields): Partial<ModelConfig> {
  const count = fields.integer('num_local_experts', expertCounts)
  refuseOtherConstants(fields, count)
  return {
    feedForwardSize: fields.integer('intermediate_size_mlp', ranges.width),
    experts: {
      ...ownRouting(fields.integer('intermediate_size', ranges.width)),
      count,
      used: fields.integer('num_experts_per_tok', { min: 1, max: count }),
      layers: expertLayers(fields),
    },
  }
}

function expertLayers(fields: Fields): ExpertConfig['layers'] {
  const step = fields.integer(stepKey, ranges.layers)
  const listed = fields.raw('moe_layers')
  if (listed === null) return everySoMany(step)
  const layers = fields.integer('num_hidden_layers', ranges.layers)
  const wanted = Array.from({ length: layers }, (_, layer) => layer).filter(
    (layer) => (layer + 1) % step === 0,
  )
  if (Array.isArray(listed) && listed.join() === wanted.join()) return everySoMany(step)
  throw fields.error('moe_layers', listed, `the last of every ${step} layers, as ${stepKey} says`)
}

function refuseOtherConstants(fields: Fields, expertCount: number): void {
  const expected = { ...constants, use_qk_norm: expertCount !== expertsWithoutHeadNorm }
  for (const [key, value] of Object.entries(expected)) {
    const given = fields.raw(key) ?? value
    // Older files give the temperature's switch as a number.
    if (given === value || (value === true && typeof given === 'number' && given > 0)) continue
    throw new UnsupportedModelError(
      fields.file,
      `sets ${key} to ${JSON.stringify(given)}`,
      `This engine runs Llama 4 of ${expertCount} experts with ${JSON.stringify(value)}.`,
    )
  }
}
