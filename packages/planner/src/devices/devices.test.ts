import { describeError } from '@deos/domain'
import { describe, expect, test } from 'vitest'
import { operatorGraph, shapeFromHuggingFace } from '../models/index.ts'
import { catalogue, findAccelerator, fitEfficiency, layerTime, peakFlops, ridge } from './index.ts'

const llama = shapeFromHuggingFace({
  model_type: 'llama',
  hidden_size: 4096,
  intermediate_size: 14336,
  num_hidden_layers: 4,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  vocab_size: 128256,
  max_position_embeddings: 8192,
})
const find = (name: string) => findAccelerator(catalogue, name)
const prefill = (tokens: number) =>
  operatorGraph(llama, { kind: 'prefill', sequences: 1, tokens, past: 0 })[1]!
const decode = (sequences: number) => operatorGraph(llama, { kind: 'decode', sequences, past: 500 })[1]!

function catchError(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return describeError(error)
  }
  throw new Error('It went well.')
}

describe('the catalogue', () => {
  test('has more than 30 accelerators of six vendors or more, each once, with sane figures', () => {
    expect(catalogue.length).toBeGreaterThan(30)
    expect(new Set(catalogue.map(({ name }) => name)).size).toBe(catalogue.length)
    expect(new Set(catalogue.map(({ vendor }) => vendor)).size).toBeGreaterThanOrEqual(6)
    for (const each of catalogue) {
      expect(each.source).not.toBe('')
      expect(peakFlops(each, 'fp16')).toBeGreaterThan(5e12)
      expect(ridge(each, 'fp16')).toBeGreaterThan(1)
    }
  })

  test('is searched as people write', () => {
    expect(find('nvidia h100 sxm5 80gb').memoryGBs).toBe(3350)
    expect(find('RTX4090').name).toBe('RTX 4090')
    expect(catchError(() => find('H1000'))).toContain('H100-SXM5-80GB')
    expect(() => find('A100')).toThrow('no accelerator')
  })
})

describe('the roofline', () => {
  test('of one decoded token is the time of its weights: 436 MB at 80% of 3350 GB/s', () => {
    const { timeMs, bound } = layerTime(decode(1), find('H100-SXM5-80GB'))
    expect(bound).toBe('memory')
    expect(timeMs).toBeCloseTo((436.2e6 + 501 * 4096) / (3.35e12 * 0.8) / 1e-3, 2)
  })

  test('turns from memory to compute where the batch passes the ridge', () => {
    const device = find('A100-SXM4-80GB')
    const sequences = Math.ceil(ridge(device, 'fp16'))
    const feedForward = (batch: number) =>
      layerTime(decode(batch), device).operators.find(({ kind }) => kind === 'feed-forward')!
    expect(feedForward(Math.floor(sequences / 2)).bound).toBe('memory')
    expect(feedForward(sequences * 2).bound).toBe('compute')
    expect(layerTime(prefill(4096), device).bound).toBe('compute')
  })
})

test('efficiencies that made the measurements are found again', () => {
  const device = find('A100-SXM4-80GB')
  const efficiency = { compute: 0.42, memory: 0.63, overheadMs: 0.004 }
  const graphs = [decode(1), decode(8), prefill(512), prefill(2048), prefill(4096)]
  const profiles = graphs.map((graph) => ({
    graph,
    measuredMs: layerTime(graph, device, { efficiency }).timeMs,
  }))
  const fitted = fitEfficiency(profiles, device, 'fp16')
  expect(fitted.efficiency.compute).toBeCloseTo(0.42, 2)
  expect(fitted.efficiency.memory).toBeCloseTo(0.63, 1)
  expect(fitted.worstError).toBeLessThan(0.02)
})

test('nothing is fitted to nothing, nor to a time of zero', () => {
  const device = find('T4')
  expect(() => fitEfficiency([], device, 'fp16')).toThrow('Nothing was measured')
  expect(() => fitEfficiency([{ graph: decode(1), measuredMs: 0 }], device, 'fp16')).toThrow('0 ms')
})
