import { type ExpertConfig, type ModelConfig, type Random, seededRandom } from '@deos/domain'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Backend } from '../ggml/backend.ts'
import { GraphBuilder, type Tensor } from '../ggml/graph-builder.ts'
import { tinyConfig } from '../testing/tiny-models.ts'
import type { LayerContext, MatrixBundle } from './architecture.ts'
import { type ExpertTraits, expertFeedForward } from './experts.ts'

/** A weight as ggml has it: extents fastest first. */
interface Weight {
  readonly shape: readonly number[]
  readonly values: Float32Array
}
type Weights = ReadonlyMap<string, Weight>

const hiddenSize = 16
const tokenCount = 7

let backend: Backend
beforeAll(() => {
  backend = Backend.open({ threads: 1 })
})
afterAll(() => backend.close())

const plain: ExpertConfig = {
  count: 8,
  used: 3,
  feedForwardSize: 12,
  sharedFeedForwardSize: 0,
  scoring: 'softmax',
  normalised: true,
  weightScale: 1,
  groups: 1,
  groupsUsed: 1,
  groupJudges: 1,
  layers: { first: 0, every: 1 },
}

interface Case extends Partial<ExpertConfig> {
  readonly traits?: ExpertTraits
  readonly biases?: boolean
  readonly selectionBias?: boolean
}

const cases: Record<string, Case> = {
  'Mixtral, Qwen 3': {},
  'weights left as they are': { normalised: false },
  'DeepSeek-V2: scaled weights and a shared expert': {
    normalised: false,
    weightScale: 16,
    sharedFeedForwardSize: 20,
  },
  'DeepSeek-V3: sigmoid, groups, a bias for choosing': {
    ...{ scoring: 'sigmoid', weightScale: 2.5, sharedFeedForwardSize: 12 },
    ...{ groups: 4, groupsUsed: 2, groupJudges: 2, selectionBias: true },
  },
  'groups without a bias': { scoring: 'softmax', groups: 2, groupsUsed: 1, groupJudges: 1 },
  'gpt-oss': {
    scoring: 'softmax of chosen',
    normalised: false,
    biases: true,
    traits: { activation: 'clipped swiglu', weighInput: false },
  },
  'Llama 4': {
    ...{ used: 1, scoring: 'sigmoid', normalised: false, sharedFeedForwardSize: 12 },
    traits: { activation: 'swiglu', weighInput: true },
  },
  'Llama 4 with two experts for a token': {
    ...{ used: 2, scoring: 'sigmoid', normalised: false },
    traits: { activation: 'swiglu', weighInput: true },
  },
}

test.each(Object.entries(cases))('%s: as computed one number at a time', async (_, each) => {
  for (const seed of [1, 2, 3]) {
    const { traits, biases = false, selectionBias = false, ...own } = each
    const config: ModelConfig = { ...tinyConfig('mixtral'), hiddenSize, experts: { ...plain, ...own } }
    const random = seededRandom(seed)
    const weights = randomWeights(config.experts!, biases, selectionBias, random)
    const x = normal(hiddenSize * tokenCount, 1, random)
    const actual = await run(config, weights, x, traits)
    const reference = new Reference(
      config.experts!,
      weights,
      traits ?? { activation: 'swiglu', weighInput: false },
    )
    for (let token = 0; token < tokenCount; token += 1) {
      const expected = reference.token(x.subarray(token * hiddenSize, (token + 1) * hiddenSize))
      for (const [index, value] of expected.entries()) {
        expect(actual[token * hiddenSize + index], `token ${token}, seed ${seed}`).toBeCloseTo(value, 3)
      }
    }
  }
})

/** Roughly normal values with mean 0. */
function normal(count: number, deviation: number, random: Random): Float32Array {
  const value = () => Array.from({ length: 12 }, () => random.next()).reduce((sum, next) => sum + next, -6)
  return Float32Array.from({ length: count }, () => deviation * value())
}

function randomWeights(
  experts: ExpertConfig,
  biases: boolean,
  selectionBias: boolean,
  random: Random,
): Weights {
  const { count, feedForwardSize, sharedFeedForwardSize } = experts
  const weights = new Map<string, Weight>()
  const add = (name: string, shape: readonly number[], deviation: number) => {
    const elements = shape.reduce((product, extent) => product * extent, 1)
    weights.set(name, { shape, values: normal(elements, deviation, random) })
  }
  // Clear choices: no two scores so close that rounding decides.
  add('ffn_gate_inp.weight', [hiddenSize, count], 1)
  for (const [name, columns, rows] of [
    ['ffn_gate', hiddenSize, feedForwardSize],
    ['ffn_up', hiddenSize, feedForwardSize],
    ['ffn_down', feedForwardSize, hiddenSize],
  ] as const) {
    add(`${name}_exps.weight`, [columns, rows, count], 0.5)
    if (biases) add(`${name}_exps.bias`, [rows, count], 1)
  }
  if (biases) add('ffn_gate_inp.bias', [count], 1)
  if (selectionBias) add('exp_probs_b.bias', [count], 0.3)
  if (sharedFeedForwardSize > 0) {
    add('ffn_gate_shexp.weight', [hiddenSize, sharedFeedForwardSize], 0.5)
    add('ffn_up_shexp.weight', [hiddenSize, sharedFeedForwardSize], 0.5)
    add('ffn_down_shexp.weight', [sharedFeedForwardSize, hiddenSize], 0.5)
  }
  return weights
}

async function run(
  config: ModelConfig,
  weights: Weights,
  x: Float32Array,
  traits?: ExpertTraits,
): Promise<Float32Array> {
  const { ggml } = backend
  const context = ggml.init({
    mem_size: 400 * ggml.tensorOverhead() + ggml.graphOverheadCustom(200, false),
    mem_buffer: null,
    no_alloc: true,
  })
  const builder = new GraphBuilder(ggml, context, 200)
  const stored = new Map<string, { tensor: Tensor; values: Float32Array }>()
  const shaped = new Map<string, Tensor>()
  for (const [name, { shape, values }] of weights) {
    const [columns = 1, rows = 1, count = 1] = shape
    const tensor = builder.input('F32', columns, rows * count)
    stored.set(name, { tensor, values })
    shaped.set(name, shape.length === 3 ? builder.reshape3d(tensor, columns, rows, count) : tensor)
  }
  const input = builder.input('F32', hiddenSize, tokenCount)
  const layer = {
    ...{ builder, config, layer: 0, tokenCount, keptCount: tokenCount },
    weight: (name: string) => shaped.get(name)!,
    bundle: (): MatrixBundle | null => null,
    adapt: (_name: string, _x: Tensor, product: Tensor) => product,
    optionalWeight: (name: string) => shaped.get(name) ?? null,
  } as unknown as LayerContext
  const output = expertFeedForward(layer, input, traits)
  builder.output(output)
  const allocator = ggml.gallocrNew(backend.bufferType)
  expect(ggml.gallocrAllocGraph(allocator, builder.graph)).toBe(true)
  for (const { tensor, values } of [...stored.values(), { tensor: input, values: x }]) {
    ggml.tensorSet(tensor.pointer, values, 0, values.byteLength)
  }
  await backend.compute(builder.graph)
  const result = new Float32Array(hiddenSize * tokenCount)
  ggml.tensorGet(output.pointer, result, 0, result.byteLength)
  ggml.gallocrFree(allocator)
  ggml.free(context)
  return result
}

const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value))
const silu = (value: number): number => value * sigmoid(value)
const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0)

function softmax(values: readonly number[]): number[] {
  const powers = values.map((value) => Math.exp(value - Math.max(...values)))
  return powers.map((power) => power / sumOf(powers))
}

/** Indices of the `count` largest, largest first. */
const largest = (values: readonly number[], count: number): number[] =>
  [...values.keys()].sort((a, b) => values[b]! - values[a]!).slice(0, count)

/** The same block, written from the papers. */
class Reference {
  constructor(
    private readonly experts: ExpertConfig,
    private readonly weights: Weights,
    private readonly traits: ExpertTraits,
  ) {}

  token(x: Float32Array): number[] {
    const { used, scoring, normalised, weightScale, sharedFeedForwardSize } = this.experts
    const logits = this.product('ffn_gate_inp', x)
    const scores =
      scoring === 'softmax' ? softmax(logits) : logits.map(scoring === 'sigmoid' ? sigmoid : Number)
    const chosen = largest(this.selection(scores), used)
    let weights = chosen.map((expert) => scores[expert]!)
    if (scoring === 'softmax of chosen') weights = softmax(weights)
    const total = normalised ? sumOf(weights) : 1
    const results = chosen.map((expert, place) => {
      const weight = (weights[place]! / total) * weightScale
      if (this.traits.weighInput)
        return this.expert(
          x.map((value) => value * weight),
          expert,
        )
      return this.expert(x, expert).map((value) => value * weight)
    })
    if (sharedFeedForwardSize > 0) results.push(this.shared(x))
    return Array.from(x, (_, index) => sumOf(results.map((result) => result[index]!)))
  }

  private selection(scores: readonly number[]): number[] {
    const { groups, groupsUsed, groupJudges } = this.experts
    const bias = this.weights.get('exp_probs_b.bias')?.values
    const biased = scores.map((score, expert) => score + (bias?.[expert] ?? 0))
    const size = scores.length / groups
    const group = (index: number) => biased.slice(index * size, (index + 1) * size)
    const worth = Array.from({ length: groups }, (_, index) => {
      const members = group(index)
      return sumOf(largest(members, groupJudges).map((member) => members[member]!))
    })
    const best = largest(worth, groupsUsed)
    return biased.map((score, expert) => (best.includes(Math.floor(expert / size)) ? score : -Infinity))
  }

  private expert(x: Float32Array, expert: number): number[] {
    const gate = this.product('ffn_gate_exps', x, expert)
    const up = this.product('ffn_up_exps', x, expert)
    return this.product(
      'ffn_down_exps',
      Float32Array.from(gate, (value, index) => this.gated(value, up[index]!)),
      expert,
    )
  }

  /** @see OpenAI's reference implementation of gpt-oss for the clipped variant */
  private gated(gate: number, up: number): number {
    if (this.traits.activation === 'swiglu') return silu(gate) * up
    const [clippedGate, clippedUp] = [Math.min(gate, 7), Math.max(-7, Math.min(up, 7))]
    return clippedGate * sigmoid(1.702 * clippedGate) * (clippedUp + 1)
  }

  private shared(x: Float32Array): number[] {
    const gate = this.product('ffn_gate_shexp', x)
    const up = this.product('ffn_up_shexp', x)
    return this.product(
      'ffn_down_shexp',
      Float32Array.from(gate, (value, index) => silu(value) * up[index]!),
    )
  }

  private product(name: string, x: Float32Array, matrix = 0): number[] {
    const { shape, values } = this.weights.get(`${name}.weight`)!
    const [columns, rows] = shape as [number, number]
    const bias = this.weights.get(`${name}.bias`)?.values
    return Array.from({ length: rows }, (_, row) => {
      const start = (matrix * rows + row) * columns
      const dot = sumOf(Array.from(x, (value, column) => value * values[start + column]!))
      return dot + (bias?.[matrix * rows + row] ?? 0)
    })
  }
}
