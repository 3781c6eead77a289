import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kvBytesPerTokenPerLayer, type ModelConfig, matrixParametersOfLayers } from '@deos/domain'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TinyFamily, type TinyModelOptions, writeTinyModel } from '../../testing/tiny-models.ts'
import { convertModel } from '../convert-model.ts'
import { describeShape } from '../describe-model.ts'
import { configMetadata, parseGgufConfig } from '../gguf-config.ts'
import { readGgufHeader } from '../gguf-reader.ts'
import { float32, type GgufValue, string, uint32 } from '../gguf-values.ts'
import { writeGguf } from '../gguf-writer.ts'
import { parseHuggingFaceConfig } from '../huggingface-config.ts'
import { openModel } from '../open-model.ts'
import { readTensor } from '../tensor-data.ts'

// biome-ignore lint/suspicious/noApproximativeNumericConstant: as published, not √½.
const mscale = 0.707

/** As published with deepseek-ai/DeepSeek-V2-Lite. */
const v2Lite = {
  architectures: ['DeepseekV2ForCausalLM'],
  attention_bias: false,
  bos_token_id: 100000,
  eos_token_id: 100001,
  first_k_dense_replace: 1,
  hidden_act: 'silu',
  hidden_size: 2048,
  intermediate_size: 10944,
  kv_lora_rank: 512,
  max_position_embeddings: 163840,
  model_type: 'deepseek_v2',
  moe_intermediate_size: 1408,
  moe_layer_freq: 1,
  n_group: 1,
  n_routed_experts: 64,
  n_shared_experts: 2,
  norm_topk_prob: false,
  num_attention_heads: 16,
  num_experts_per_tok: 6,
  num_hidden_layers: 27,
  num_key_value_heads: 16,
  q_lora_rank: null,
  qk_nope_head_dim: 128,
  qk_rope_head_dim: 64,
  rms_norm_eps: 1e-6,
  rope_scaling: {
    beta_fast: 32,
    beta_slow: 1,
    factor: 40,
    mscale,
    mscale_all_dim: mscale,
    original_max_position_embeddings: 4096,
    type: 'yarn',
  },
  rope_theta: 10000,
  routed_scaling_factor: 1.0,
  scoring_func: 'softmax',
  tie_word_embeddings: false,
  topk_group: 1,
  topk_method: 'greedy',
  v_head_dim: 128,
  vocab_size: 102400,
}

/** As published with deepseek-ai/DeepSeek-V2, where it differs. */
const v2 = {
  ...v2Lite,
  hidden_size: 5120,
  intermediate_size: 12288,
  moe_intermediate_size: 1536,
  n_group: 8,
  n_routed_experts: 160,
  num_attention_heads: 128,
  num_hidden_layers: 60,
  num_key_value_heads: 128,
  q_lora_rank: 1536,
  routed_scaling_factor: 16.0,
  topk_group: 3,
  topk_method: 'group_limited_greedy',
}

/** As published with deepseek-ai/DeepSeek-V3, where it differs; without its quantisation. */
const v3 = {
  ...v2,
  architectures: ['DeepseekV3ForCausalLM'],
  model_type: 'deepseek_v3',
  first_k_dense_replace: 3,
  hidden_size: 7168,
  intermediate_size: 18432,
  moe_intermediate_size: 2048,
  n_routed_experts: 256,
  n_shared_experts: 1,
  norm_topk_prob: true,
  num_experts_per_tok: 8,
  num_hidden_layers: 61,
  num_nextn_predict_layers: 1,
  rope_scaling: { ...v2Lite.rope_scaling, mscale: 1.0, mscale_all_dim: 1.0 },
  routed_scaling_factor: 2.5,
  scoring_func: 'sigmoid',
  topk_group: 4,
  topk_method: 'noaux_tc',
  vocab_size: 129280,
  bos_token_id: 0,
  eos_token_id: 1,
}

const parse = (json: Record<string, unknown>) =>
  parseHuggingFaceConfig('/models/deepseek/config.json', json).config

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

describe('as published', () => {
  test('V2-Lite', () => {
    expect(parse(v2Lite)).toMatchObject({
      architecture: 'deepseek2',
      layers: 27,
      heads: 16,
      kvHeads: 1,
      headDim: 192,
      ropeDim: 64,
      latentAttention: { queryRank: null, kvRank: 512, valueDim: 128 },
      ropeScaling: { type: 'yarn', factor: 40, originalContext: 4096, attentionFactor: 1 },
      experts: {
        ...{ count: 64, used: 6, feedForwardSize: 1408, sharedFeedForwardSize: 2816 },
        ...{ scoring: 'softmax', normalised: false, weightScale: 1, groups: 1, groupsUsed: 1 },
        layers: { first: 1, every: 1 },
      },
    })
  })

  test('V3', () => {
    expect(parse(v3)).toMatchObject({
      layers: 61,
      latentAttention: { queryRank: 1536, kvRank: 512, valueDim: 128 },
      experts: {
        ...{ count: 256, used: 8, scoring: 'sigmoid', normalised: true, weightScale: 2.5 },
        ...{ groups: 8, groupsUsed: 4, groupJudges: 2, layers: { first: 3, every: 1 } },
      },
    })
  })

  test('V2 judges groups of experts by their best one', () => {
    expect(parse(v2).experts).toMatchObject({ groups: 8, groupsUsed: 3, groupJudges: 1 })
  })

  test('YaRN makes attention scores larger in all dimensions', () => {
    // DeepSeek's modeling_deepseek.py: (0.1 · mscale_all_dim · ln(factor) + 1)² / √192.
    expect(parse(v3).attentionScale * Math.sqrt(192)).toBeCloseTo((0.1 * Math.log(40) + 1) ** 2, 12)
    expect(parse(v2Lite).attentionScale * Math.sqrt(192)).toBeCloseTo((0.0707 * Math.log(40) + 1) ** 2, 12)
    expect(parse({ ...v2Lite, rope_scaling: null }).attentionScale).toBeCloseTo(1 / Math.sqrt(192), 12)
  })

  // "15.7B total parameters, of which 2.4B are activated"; 236B and 21B; 671B and 37B: each model's card and paper.
  test.each([
    ['V2-Lite', v2Lite, 15.7e9, 2.4e9],
    ['V2', v2, 236e9, 21e9],
    ['V3', v3, 671e9, 37e9],
  ])('%s has as many parameters', (_, json, total, active) => {
    const config = parse(json)
    const { parameters } = describeShape(config)
    expect(parameters / total).toBeCloseTo(1, 2)
    expect(
      (sum(matrixParametersOfLayers(config)) + config.hiddenSize * config.vocabSize) / active,
    ).toBeCloseTo(1, 1)
  })

  test('V3 caches 70.272 kB per token', () => {
    // Zhao et al. 2025, "Insights into DeepSeek-V3", table 1 (arXiv:2505.09343).
    expect(61 * kvBytesPerTokenPerLayer(parse(v3), 2)).toBe(70_272)
  })

  test('attention works on the compressed vectors', () => {
    // 128 heads, each with a product of 512 + 64 and a sum of 512, two FLOPs an element.
    expect(describeShape(parse(v3)).flops.attentionPerLayerPerPosition).toBe(2 * 128 * (576 + 512))
  })
})

describe('refuses', () => {
  test.each([
    ['rotation by halves', { rope_interleave: false }, /rope_interleave/],
    ['experts in some layers', { moe_layer_freq: 2 }, /every layer whose number 2 divides/],
    ['another score', { scoring_func: 'relu' }, /"scoring_func" is "relu"/],
    ['another choice', { topk_method: 'random' }, /"topk_method" is "random"/],
    ['groups of unequal size', { n_group: 7 }, /160 experts, not a multiple of its 7 groups/],
    ['too few experts in reach', { num_experts_per_tok: 61 }, /61 experts and looks at only 60/],
    ['linear scaling', { rope_scaling: { type: 'linear', factor: 2 } }, /scales positions by "linear"/],
    ['FP8 without blocks', { quantization_config: { quant_method: 'fp8' } }, /not scaled in blocks/],
    ['no rank', { kv_lora_rank: null }, /"kv_lora_rank" is missing/],
  ])('%s', (_, change, message) => {
    expect(() => parse({ ...v2, ...change })).toThrow(message)
  })
})

describe('GGUF metadata', () => {
  const fromGguf = (
    changes: Readonly<Record<string, GgufValue | null>> = {},
    json: Record<string, unknown> = v3,
  ) => {
    const metadata = new Map([...configMetadata(parse(json)), ...Object.entries(changes)])
    const values = new Map([...metadata].map(([key, value]) => [key, value?.value]))
    const output = {
      name: 'output.weight',
      type: 'F32',
      shape: [1],
      file: '',
      offset: 0,
      sizeBytes: 4,
    } as const
    return parseGgufConfig('m.gguf', values, new Map([[output.name, output]])).config
  }

  test.each([
    ['V2-Lite', v2Lite],
    ['V2', v2],
    ['V3', v3],
    ['V2-Lite without scaled positions', { ...v2Lite, rope_scaling: null }],
    [
      'YaRN that scales rotation only',
      { ...v2Lite, rope_scaling: { ...v2Lite.rope_scaling, mscale: 1, mscale_all_dim: 0 } },
    ],
    [
      'YaRN that scales both',
      { ...v2Lite, rope_scaling: { ...v2Lite.rope_scaling, mscale: 1, mscale_all_dim: 0.5 } },
    ],
    ['all layers plain', { ...v2Lite, n_routed_experts: null }],
  ])('of %s says the same as config.json', (_, json) => {
    // Metadata holds float32, and no special tokens without a tokenizer.
    const shape = (config: ModelConfig) =>
      JSON.stringify({ ...config, bosToken: null, eosTokens: [] }, (_key, value: unknown) =>
        typeof value === 'number' ? Number(value.toPrecision(6)) : value,
      )
    expect(JSON.parse(shape(fromGguf({}, json)))).toEqual(JSON.parse(shape(parse(json))))
  })

  test("has llama.cpp's keys", () => {
    const metadata = new Map(configMetadata(parse(v3)))
    const value = (key: string) => metadata.get(`deepseek2.${key}`)?.value
    expect(value('attention.key_length')).toBe(576)
    expect(value('attention.value_length')).toBe(512)
    expect(value('attention.key_length_mla')).toBe(192)
    expect(value('attention.value_length_mla')).toBe(128)
    expect(value('attention.head_count_kv')).toBe(1)
    expect(value('rope.scaling.yarn_log_multiplier')).toBeCloseTo(0.1, 7)
    expect(value('leading_dense_block_count')).toBe(3)
    expect(value('expert_shared_count')).toBe(1)
    expect(value('expert_gating_func')).toBe(2)
  })

  test('counts the layers that predict further tokens among the others', () => {
    expect(
      fromGguf({ 'deepseek2.block_count': uint32(62), 'deepseek2.nextn_predict_layers': uint32(1) }).layers,
    ).toBe(61)
  })

  test.each<[string, Record<string, GgufValue | null>, RegExp]>([
    ['tuned temperature', { 'deepseek2.attention.temperature_scale': float32(0.1) }, /temperature/],
    ['linear scaling', { 'deepseek2.rope.scaling.type': string('linear') }, /scales positions by "linear"/],
    ['no experts', { 'deepseek2.expert_count': uint32(0) }, /"deepseek2.expert_count" is 0/],
    ['an unknown gate', { 'deepseek2.expert_gating_func': uint32(3) }, /expert_gating_func/],
  ])('with %s is refused', (_, change, message) => {
    expect(() => fromGguf(change)).toThrow(message)
  })
})

describe('files', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'deos-deepseek-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  const write = async (family: TinyFamily, options: Partial<TinyModelOptions> = {}) => {
    const directory = join(folder, `${family}-${options.dtype ?? 'BF16'}`)
    await writeTinyModel({ directory, family, ...options })
    return openModel(directory)
  }

  test.each(['BF16', 'F32'] as const)('keys and values are cut out of one matrix in %s', async (dtype) => {
    const { config, tensors } = await write('deepseek_v3', { dtype })
    const { heads, headDim, ropeDim } = config
    const { kvRank, valueDim } = config.latentAttention!
    const plainDim = headDim - ropeDim
    const part = tensors.get('blk.1.attn_v_b.weight')!
    const keys = await readTensor(tensors.get('blk.1.attn_k_b.weight')!)
    const values = await readTensor(part)
    const rows = heads * (plainDim + valueDim)
    const { parts: _, ...whole } = {
      ...part,
      shape: [kvRank, rows],
      offset: tensors.get('blk.1.attn_k_b.weight')!.offset,
    }
    const stored = await readTensor(whole)
    for (let head = 0; head < heads; head += 1) {
      const first = head * (plainDim + valueDim)
      for (let rank = 0; rank < kvRank; rank += 1) {
        for (let dim = 0; dim < plainDim; dim += 1) {
          expect(keys[(head * kvRank + rank) * plainDim + dim]).toBe(stored[(first + dim) * kvRank + rank])
        }
        for (let dim = 0; dim < valueDim; dim += 1) {
          const row = first + plainDim + dim
          expect(values[(head * valueDim + dim) * kvRank + rank]).toBe(stored[row * kvRank + rank])
        }
      }
    }
  })

  test('a converted model says what llama.cpp computes otherwise', async () => {
    const experts = {
      ...(await write('deepseek_v2')).config.experts!,
      groups: 4,
      groupsUsed: 2,
      groupJudges: 1,
    }
    const directory = join(folder, 'grouped')
    await writeTinyModel({ directory, family: 'deepseek_v2', config: { experts } })
    const source = await openModel(directory)
    const output = join(folder, 'grouped.gguf')
    const { notes } = await convertModel({ source, type: 'F16', output })
    expect(notes.join()).toMatch(/llama.cpp .* groups/)
    expect((await openModel(output)).config.experts).toEqual(experts)
  })

  test('a layer that predicts further tokens is left out', async () => {
    const source = await write('deepseek_v3')
    const output = join(folder, 'v3.gguf')
    await convertModel({ source, type: 'native', output })
    const { metadata } = await readGgufHeader(output)
    const { layers } = source.config
    const extra = new Float32Array(64)
    const path = join(folder, 'nextn.gguf')
    await writeGguf({
      path,
      overwrite: true,
      metadata: new Map([
        ...metadata,
        ['deepseek2.block_count', uint32(layers + 1)],
        ['deepseek2.nextn_predict_layers', uint32(1)],
      ]),
      tensors: [
        ...[...(await openModel(output)).tensors.values()].map((tensor) => ({
          ...{ name: tensor.name, type: 'F32' as const, shape: tensor.shape },
          data: async function* () {
            yield new Uint8Array((await readTensor(tensor)).buffer)
          },
        })),
        {
          ...{ name: `blk.${layers}.nextn.enorm.weight`, type: 'F32', shape: [64] },
          data: () => [new Uint8Array(extra.buffer)],
        },
      ],
    })
    const opened = await openModel(path)
    expect(opened.config.layers).toBe(layers)
    expect([...opened.tensors.keys()].some((name) => name.startsWith(`blk.${layers}.`))).toBe(false)
  })
})
