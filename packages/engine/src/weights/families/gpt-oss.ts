import { isExpertLayer, type ModelConfig } from '@deos/domain'
import { tensorTypes } from '../../ggml/tensor-type.ts'
import { UnsupportedModelError } from '../errors.ts'
import { type Fields, ranges } from '../fields.ts'
import { attention, embeddingAndHead, hidden, kvWidth, queryWidth } from './common.ts'
import {
  columnsOfExperts,
  expertCounts,
  expertLayer,
  expertMetadata,
  expertsOf,
  ggufExpertSize,
  ggufOwnExpertCounts,
  plainRouting,
} from './experts.ts'
import type { Assembly, Family, TensorRule } from './family.ts'
import { regularWindow } from './sliding-window.ts'

/** Every second layer looks back over everything, the others over a window. */
const windowPeriod = 2
/** What the activation cuts off at; llama.cpp knows no other value. */
const activationLimit = 7

const experts = 'mlp.experts'
const size = (config: ModelConfig): number => expertsOf(config).feedForwardSize
const count = (config: ModelConfig): number => expertsOf(config).count

/** In `gate_up_proj` gate and up take turns. */
const turn = { gate: 0, up: 1 } as const

/** Rows of the gate or up projection, in MXFP4 with scales apart. */
const packedGateOrUp = (name: 'gate' | 'up'): Assembly =>
  packedRows('gate_up_proj', {
    columns: (config) => config.hiddenSize,
    rows: (config) => 2 * size(config),
    first: turn[name],
    step: 2,
  })

const packedDown: Assembly = packedRows('down_proj', {
  columns: size,
  rows: (config) => config.hiddenSize,
  first: 0,
  step: 1,
})

interface PackedRows {
  columns(config: ModelConfig): number
  /** Of each expert. */
  rows(config: ModelConfig): number
  readonly first: number
  readonly step: number
}

/** `<name>_blocks` `[experts, rows, blocks, 16]` and `<name>_scales` `[experts, rows, blocks]`. */
function packedRows(name: string, { columns, rows, first, step }: PackedRows): Assembly {
  const { blockSize, blockBytes } = tensorTypes.MXFP4
  const blocks = (config: ModelConfig) => columns(config) / blockSize
  return {
    packedType: 'MXFP4',
    stored: (config) => [
      {
        name: `${experts}.${name}_blocks`,
        shape: [blockBytes - 1, blocks(config), rows(config), count(config)],
        packed: true,
      },
      {
        name: `${experts}.${name}_scales`,
        shape: [blocks(config), rows(config), count(config)],
        packed: true,
      },
    ],
    parts: (config, found) => {
      const place = (index: number, rowBytes: number) => {
        const { file, offset } = found[index]!
        return { file, offset: offset + first * rowBytes, rowStrideBytes: step * rowBytes }
      }
      return [
        {
          ...place(0, blocks(config) * (blockBytes - 1)),
          rows: (count(config) * rows(config)) / step,
          elementStrideBytes: null,
          scales: place(1, blocks(config)),
        },
      ]
    },
  }
}

const gateOrUp = (name: 'gate' | 'up'): readonly Assembly[] => [
  packedGateOrUp(name),
  columnsOfExperts({
    name: `${experts}.gate_up_proj`,
    columns: (config) => 2 * size(config),
    rows: (config) => config.hiddenSize,
    taken: size,
    first: () => turn[name],
    step: 2,
  }),
]

const down: readonly Assembly[] = [
  packedDown,
  columnsOfExperts({
    name: `${experts}.down_proj`,
    columns: (config) => config.hiddenSize,
    rows: size,
    taken: (config) => config.hiddenSize,
    first: () => 0,
    step: 1,
  }),
]

/** Every second element of each expert's row in `gate_up_proj_bias`. */
const gateOrUpBias = (name: 'gate' | 'up'): TensorRule => ({
  gguf: `ffn_${name}_exps.bias`,
  huggingFace: null,
  assemblies: [
    {
      stored: (config) => [
        { name: `${experts}.gate_up_proj_bias`, shape: [2 * size(config), count(config)] },
      ],
      parts: (config, [stored]) => {
        const { file, offset, sizeBytes } = stored!
        const rowStrideBytes = sizeBytes / count(config)
        const elementBytes = rowStrideBytes / (2 * size(config))
        return [
          {
            ...{ file, offset: offset + turn[name] * elementBytes },
            ...{ rows: count(config), rowStrideBytes, elementStrideBytes: 2 * elementBytes },
          },
        ]
      },
    },
  ],
  shape: (config) => [size(config), count(config)],
})

/** OpenAI's gpt-oss: sinks in attention, windows in every second layer, experts with biases and in MXFP4. */
export const gptOss: Family = {
  architecture: 'gpt-oss',
  title: 'gpt-oss',
  classes: [
    {
      name: 'GptOssForCausalLM',
      modelType: 'gpt_oss',
      biases: ['attention_bias'],
      quantizations: ['mxfp4'],
      truncatesYarn: true,
      slidingWindow: (fields) => regularWindow(fields, windowPeriod),
      traits: ownTraits,
    },
  ],
  globals: embeddingAndHead,
  layer: [
    ...attention(false),
    { gguf: 'attn_q.bias', huggingFace: 'self_attn.q_proj.bias', shape: (config) => [queryWidth(config)] },
    { gguf: 'attn_k.bias', huggingFace: 'self_attn.k_proj.bias', shape: (config) => [kvWidth(config)] },
    { gguf: 'attn_v.bias', huggingFace: 'self_attn.v_proj.bias', shape: (config) => [kvWidth(config)] },
    { gguf: 'attn_output.bias', huggingFace: 'self_attn.o_proj.bias', shape: hidden },
    { gguf: 'attn_sinks.weight', huggingFace: 'self_attn.sinks', shape: (config) => [config.heads] },
    { gguf: 'post_attention_norm.weight', huggingFace: 'post_attention_layernorm.weight', shape: hidden },
    ...expertLayer({
      router: 'mlp.router',
      projection: (name) => ({ huggingFace: null, assemblies: name === 'down' ? down : gateOrUp(name) }),
    }),
    {
      gguf: 'ffn_gate_inp.bias',
      huggingFace: 'mlp.router.bias',
      shape: (config) => [count(config)],
      inLayer: isExpertLayer,
    },
    gateOrUpBias('gate'),
    gateOrUpBias('up'),
    {
      gguf: 'ffn_down_exps.bias',
      huggingFace: `${experts}.down_proj_bias`,
      shape: (config) => [config.hiddenSize, count(config)],
    },
  ],
  ropeScalings: ['linear', 'yarn'],
  fullRope: true,
  windowPeriod,
  ggufTraits: (fields) => {
    const counts = ggufOwnExpertCounts(fields)
    return {
      experts: { ...plainRouting, ...counts, ...ownRouting, feedForwardSize: ggufExpertSize(fields) },
    }
  },
  ggufMetadata: expertMetadata,
}

const ownRouting = { scoring: 'softmax of chosen', normalised: false } as const

function ownTraits(fields: Fields, { feedForwardSize }: ModelConfig): Partial<ModelConfig> {
  const limit = fields.number('swiglu_limit', ranges.positive, activationLimit)
  if (limit !== activationLimit) {
    throw new UnsupportedModelError(
      fields.file,
      `limits its activation at ${limit} (swiglu_limit)`,
      `This engine runs gpt-oss with ${activationLimit}.`,
    )
  }
  const experts = fields.integer('num_local_experts', expertCounts)
  const usedKey = fields.has('num_experts_per_tok') ? 'num_experts_per_tok' : 'experts_per_token'
  const used = fields.integer(usedKey, { min: 1, max: experts })
  return { experts: { ...plainRouting, count: experts, used, feedForwardSize, ...ownRouting } }
}
