import { kvBytesPerTokenPerLayer, plainTraits } from '@deos/domain'
import { describe, expect, test } from 'vitest'
import { publishedModels, publishedShape } from '../testing/index.ts'
import { ModelDescriptionError } from './errors.ts'
import {
  halfPrecision,
  type LayerGraph,
  type OperatorKind,
  operatorGraph,
  parameterCounts,
  shapeFromGguf,
  shapeFromHuggingFace,
  shapeOfConfig,
  storedElementsPerToken,
} from './index.ts'

const part = (graph: LayerGraph, kind: OperatorKind) => graph.operators.find((each) => each.kind === kind)!

describe('parameter counts', () => {
  test.each(Object.entries(publishedModels))('of %s are the published ones', (name, published) => {
    const counts = parameterCounts(publishedShape(name))
    expect(counts.total).toBe(published.parameters)
    if (published.activeBillions !== undefined) {
      expect(counts.active / 1e9).toBeCloseTo(published.activeBillions, 0)
    }
  })
})

describe('FLOPs', () => {
  test('of prefill are two for each weight a token meets, and four for each pair and query element', () => {
    const shape = publishedShape('Llama-3-8B')
    const layer = operatorGraph(shape, { kind: 'prefill', sequences: 1, tokens: 1000, past: 0 })[1]!
    const weights = 4096 * 4096 * 2 + 4096 * 1024 * 2 + 3 * 4096 * 14336
    const pairs = (1000 * 1001) / 2
    const norms = part(layer, 'norms').flops
    expect(layer.flops - norms).toBe(2 * 1000 * weights + 4 * pairs * 4096)
  })

  test('of training are six for each parameter and token, attention aside', () => {
    const shape = publishedShape('GPT-3 XL')
    const graph = operatorGraph(shape, { kind: 'training', sequences: 1, tokens: 2048 })
    const products = graph
      .flatMap(({ operators }) => operators)
      .filter(({ kind }) => kind !== 'attention' && kind !== 'norms')
      .reduce((sum, { flops }) => sum + flops, 0)
    expect(products / (6 * 2048 * parameterCounts(shape).total)).toBeCloseTo(1, 2)
  })

  test('in a second chunk are what a whole prompt has more than the first', () => {
    const shape = publishedShape('Mistral-7B')
    const of = (tokens: number, past: number) =>
      part(operatorGraph(shape, { kind: 'prefill', sequences: 1, tokens, past })[1]!, 'attention').flops
    expect(of(3000, 0) + of(3000, 3000)).toBe(of(6000, 0))
    const window = 4096
    expect(of(6000, 0)).toBe(4 * 4096 * ((window * (window + 1)) / 2 + (6000 - window) * window))
  })

  test('of latent attention while decoding are those of the compressed vectors', () => {
    const layer = operatorGraph(publishedShape('DeepSeek-V3'), {
      kind: 'decode',
      sequences: 1,
      past: 999,
    })[5]!
    expect(part(layer, 'attention').flops).toBe(2 * 1000 * 128 * (512 + 64 + 512))
  })
})

describe('bytes', () => {
  test('of K and V while decoding are the cache once through', () => {
    const shape = publishedShape('Llama-2-70B')
    const layer = operatorGraph(shape, { kind: 'decode', sequences: 3, past: 99 })[1]!
    expect(layer.kvBytes).toBe(3 * 100 * 2 * 8 * 128 * 2)
  })

  test('of experts are all of them for a long prompt and those used for one token', () => {
    const shape = publishedShape('Mixtral-8x7B')
    const expert = 3 * 4096 * 14336 * 2
    const one = operatorGraph(shape, { kind: 'decode', sequences: 1, past: 0 })[1]!
    const many = operatorGraph(shape, { kind: 'prefill', sequences: 1, tokens: 2000, past: 0 })[1]!
    expect(part(one, 'experts').weightBytes).toBeCloseTo(2 * expert, -3)
    expect(part(many, 'experts').weightBytes).toBeCloseTo(8 * expert, -3)
  })

  test('of weights over all layers are twice the parameters in 16 bits, tables and biases aside', () => {
    const shape = publishedShape('Llama-3-8B')
    const graph = operatorGraph(shape, { kind: 'decode', sequences: 1, past: 0 }, halfPrecision)
    const bytes = graph.reduce((sum, { weightBytes }) => sum + weightBytes, 0)
    const { total, embedding } = parameterCounts(shape)
    expect(bytes).toBe(2 * (total - embedding) - 2 * 4096)
  })

  test('kept for the backward pass of a GPT layer are 16 hidden states', () => {
    expect(storedElementsPerToken(publishedShape('GPT-3 XL'), 0, 'none')).toBe(16 * 2048)
    expect(storedElementsPerToken(publishedShape('GPT-3 XL'), 0, 'full')).toBe(2048)
  })
})

test('decoding one sequence is far below a FLOP a byte per weight, a long prompt far above', () => {
  const shape = publishedShape('Llama-3-8B')
  const decode = operatorGraph(shape, { kind: 'decode', sequences: 1, past: 1000 })[1]!
  const prefill = operatorGraph(shape, { kind: 'prefill', sequences: 1, tokens: 2048, past: 0 })[1]!
  expect(part(decode, 'feed-forward').intensity).toBeCloseTo(1, 2)
  expect(part(prefill, 'feed-forward').intensity).toBeGreaterThan(1000)
})

const ggufLlama = {
  'general.architecture': 'llama',
  'general.name': 'Llama 3 8B',
  'llama.block_count': 32,
  'llama.embedding_length': 4096,
  'llama.feed_forward_length': 14336,
  'llama.attention.head_count': 32,
  'llama.attention.head_count_kv': 8,
  'llama.context_length': 8192,
  'llama.vocab_size': 128256,
}

test('GGUF metadata describes the same model', () => {
  const counts = parameterCounts(shapeFromGguf(ggufLlama, new Set(['output.weight'])))
  expect(counts.total).toBe(publishedModels['Llama-3-8B']!.parameters)
  expect(parameterCounts(shapeFromGguf(ggufLlama, new Set())).total).toBe(counts.total - 4096 * 128256)
})

test('a model the engine has opened has the KV bytes that domain counts', () => {
  const config = {
    ...plainTraits(64),
    architecture: 'llama',
    name: 'small',
    layers: 2,
    hiddenSize: 256,
    feedForwardSize: 512,
    heads: 4,
    kvHeads: 2,
    headDim: 64,
    vocabSize: 1000,
    contextLength: 512,
    normEpsilon: 1e-5,
    ropeTheta: 10_000,
    ropeDim: 64,
    ropeScaling: { type: 'none' as const },
    tiedEmbeddings: true,
    bosToken: null,
    eosTokens: [],
  }
  const layer = operatorGraph(shapeOfConfig(config), { kind: 'decode', sequences: 1, past: 9 })[1]!
  expect(layer.kvBytes).toBe(10 * kvBytesPerTokenPerLayer(config, 2))
})

describe('a description that cannot be', () => {
  const llama = publishedModels['Llama-3-8B']!.config
  test.each([
    ['num_hidden_layers', { num_hidden_layers: undefined }],
    ['num_attention_heads', { num_attention_heads: 0 }],
    ['vocab_size', { vocab_size: '128256' }],
    ['kvHeads', { num_key_value_heads: 5 }],
    ['head_dim', { num_attention_heads: 30, num_key_value_heads: 30 }],
    ['tie_word_embeddings', { tie_word_embeddings: 'no' }],
    ['layer_types', { sliding_window: 8, layer_types: ['sliding_attention'] }],
  ])('names %s', (field, change) => {
    const reading = () => shapeFromHuggingFace({ ...llama, ...change })
    expect(reading).toThrow(ModelDescriptionError)
    expect(reading).toThrow(field)
  })

  test('is not an object, or lacks a GGUF key', () => {
    expect(() => shapeFromHuggingFace([])).toThrow('config.json')
    expect(() => shapeFromGguf({ ...ggufLlama, 'llama.block_count': 1.5 })).toThrow(
      'llama.block_count is 1.5',
    )
  })

  test('an unknown architecture is taken for a Llama and says so', () => {
    const shape = shapeFromHuggingFace({ ...llama, model_type: 'zebra' })
    expect(shape.assumptions.join()).toContain('"zebra"')
  })
})
