import { describe, expect, test } from 'vitest'
import { tensorBytes } from '../ggml/tensor-type.ts'
import type { TensorInfo } from '../weights/model-source.ts'
import { companionRuns, companionsTogether, type PlacedWeight } from './weight-bundles.ts'

const info = (name: string, changes: Partial<TensorInfo> = {}): TensorInfo => ({
  ...{ name, type: 'F16', shape: [128, 64], file: 'model.gguf', offset: 0 },
  sizeBytes: tensorBytes('F16', [128, 64]),
  ...changes,
})

/** Weights that lie one after the other in the order given, `gap` bytes between them. */
function placed(infos: readonly TensorInfo[], { gap = 0, keepsRows = true } = {}) {
  let address = 4096n
  const found = new Map<string, PlacedWeight>()
  for (const each of infos) {
    found.set(each.name, { info: each, buffer: 1n, address, keepsRows })
    address += BigInt(each.sizeBytes + gap)
  }
  return found
}

const runsOf = (found: ReadonlyMap<string, PlacedWeight>) =>
  companionRuns(found).map(({ layer, members }) => [layer, ...members.map(({ matrix }) => matrix)])

const q = info('blk.0.attn_q.weight')
const k = info('blk.0.attn_k.weight')
const v = info('blk.0.attn_v.weight')
const gate = info('blk.0.ffn_gate.weight')
const up = info('blk.0.ffn_up.weight')

describe('companions can be multiplied as one', () => {
  test('where they lie side by side, in the order in which they lie', () => {
    expect(runsOf(placed([q, k, v, gate, up]))).toEqual([
      ['blk.0', 'attn_q', 'attn_k', 'attn_v'],
      ['blk.0', 'ffn_gate', 'ffn_up'],
    ])
    expect(runsOf(placed([v, q, k]))).toEqual([['blk.0', 'attn_v', 'attn_q', 'attn_k']])
  })

  test('some of them, where another lies elsewhere', () => {
    const output = info('blk.0.attn_output.weight')
    expect(runsOf(placed([k, output, q, v]))).toEqual([['blk.0', 'attn_q', 'attn_v']])
  })

  test('not across a gap, layers, buffers, types, widths or arrangements', () => {
    expect(runsOf(placed([q, k, v], { gap: 32 }))).toEqual([])
    expect(runsOf(placed([gate, { ...up, name: 'blk.1.ffn_up.weight' }]))).toEqual([])
    expect(runsOf(placed([gate, { ...up, type: 'BF16' }]))).toEqual([])
    expect(runsOf(placed([gate, { ...up, shape: [64, 128] }]))).toEqual([])
    expect(runsOf(placed([gate, up], { keepsRows: false }))).toEqual([])
    const apart = placed([gate, up])
    apart.set(up.name, { ...apart.get(up.name)!, buffer: 2n })
    expect(runsOf(apart)).toEqual([])
  })
})

test('for storage companions of each layer come together, and nothing is lost', () => {
  const norm = info('output_norm.weight', { shape: [128] })
  const other = info('blk.1.ffn_up.weight')
  const ordered = companionsTogether([up, norm, v, other, k, gate, q])
  expect(ordered.map(({ name }) => name)).toEqual([
    ...[q, k, v, gate, up].map(({ name }) => name),
    'output_norm.weight',
    'blk.1.ffn_up.weight',
  ])
})
