import { seededRandom } from '@deos/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { catalogue, findAccelerator } from '../../devices/index.ts'
import { shapeFromHuggingFace } from '../../models/index.ts'
import { publishedShape, servingWorkload } from '../../testing/index.ts'
import { type ComputeFleet, type FleetMachine, LinkLookup, plainFleet, plainMachine } from '../fleet.ts'
import { GroupForms } from './groups.ts'
import { planServing } from './plan-serving.ts'
import type { ServingOutcome, ServingPlan } from './serving-plan.ts'
import { tensorOnly, unitsOf } from './units.ts'
import type { ServingWorkload } from './workload.ts'

const llama70b = publishedShape('Llama-2-70B')
const llama8b = publishedShape('Llama-3-8B')
const mixture = shapeFromHuggingFace(
  {
    model_type: 'mixtral',
    hidden_size: 2048,
    intermediate_size: 5632,
    num_hidden_layers: 24,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    num_local_experts: 8,
    num_experts_per_tok: 2,
    vocab_size: 32000,
    max_position_embeddings: 32768,
    tie_word_embeddings: false,
  },
  'Mixture',
)
const workload = servingWorkload({ outputTokens: { mean: 200, p95: 400 }, ttftMs: 5000, tpotMs: 200 })
const find = (name: string) => findAccelerator(catalogue, name)
const many = (count: number, name: string, given: Partial<FleetMachine> = {}): readonly FleetMachine[] =>
  Array.from({ length: count }, (_, at) =>
    plainMachine(`${name}-${given.site ?? 'site'}-${at}`, find(name), { pricePerHour: 1, ...given }),
  )

function planned(outcome: ServingOutcome): ServingPlan {
  if (outcome.kind === 'serve') return outcome
  throw new Error(`${outcome.binding} ${outcome.fixes.map(({ change }) => change).join(' ')}`)
}

describe('a plan', () => {
  test('of one accelerator is one stage, and its step reads the weights once', () => {
    const plan = planned(
      planServing(llama8b, plainFleet(many(1, 'A100-SXM4-80GB')), { ...workload, goal: 'latency' }),
    )
    expect(plan.replicas).toHaveLength(1)
    const [stage] = plan.replicas[0]!.stages
    expect(stage!.layers).toEqual({ first: 0, end: 32 })
    // 7.5e9 parameters of 2 bytes (without the embedding) at 80% of 2,039 GB/s, and little KV.
    const readMs = (7.5e9 * 2 * 1e3) / (0.8 * 2039e9)
    expect(stage!.decodeMs).toBeGreaterThan(readMs)
    expect(stage!.decodeMs).toBeLessThan(readMs * 1.05)
    expect(stage!.decodeBound).toBe('memory')
    expect(stage!.prefillBound).toBe('compute')
    // There is no second one that could help, and no load over which its price could be spread.
    expect(plan.bound.gap).toBeCloseTo(0, 6)
    expect(plan.predicted.pricePerMillionTokens).toBeNull()
  })

  test('says when sessions are longer than the model knows', () => {
    const long = planned(
      planServing(llama8b, plainFleet(many(1, 'A100-SXM4-80GB')), { ...workload, contextTokens: 10_000 }),
    )
    expect(long.notes.join()).toContain('longer than the 8192 that Llama-3-8B was made for')
  })

  test('gives stronger machines more layers', () => {
    const fleet = plainFleet([...many(1, 'A100-SXM4-80GB'), ...many(6, 'L4'), ...many(4, 'T4')])
    const plan = planned(planServing(llama70b, fleet, workload))
    const layersOf = (name: string) =>
      Math.max(
        ...plan.replicas.flatMap(({ stages }) =>
          stages
            .filter(({ accelerator }) => accelerator === name)
            .map(({ layers }) => layers.end - layers.first),
        ),
      )
    expect(layersOf('A100-SXM4-80GB')).toBeGreaterThan(layersOf('L4'))
  })

  test('divides matrices inside a machine where latency counts', () => {
    const [machine] = many(1, 'H100-SXM5-80GB', { accelerators: 8 })
    const plan = planned(planServing(llama70b, plainFleet([machine!]), { ...workload, goal: 'latency' }))
    expect(plan.replicas[0]!.stages[0]!.tensorParallel).toBe(8)
  })

  test('does not divide matrices over a slow network', () => {
    const fleet = plainFleet(many(4, 'A100-SXM4-80GB'), {
      sameSite: { delayMs: 20, bytesPerS: 1e7 },
    })
    const plan = planned(planServing(llama70b, fleet, { ...workload, goal: 'latency', ttftMs: null }))
    expect(
      plan.replicas.flatMap(({ stages }) => stages).every(({ tensorParallel }) => tensorParallel === 1),
    ).toBe(true)
  })

  test('does not lead a pipeline over an ocean if both shores can hold the model', () => {
    const fleet = plainFleet([
      ...many(2, 'H100-SXM5-80GB', { region: 'us', site: 'us' }),
      ...many(2, 'H100-SXM5-80GB', { region: 'eu', site: 'eu' }),
    ])
    const { replicas } = planned(planServing(llama70b, fleet, { ...workload, precisions: ['fp8'] }))
    for (const { stages } of replicas) expect(new Set(stages.map(({ region }) => region)).size).toBe(1)
  })

  test('uses the cheapest machines that carry the load', () => {
    const fleet = plainFleet([
      ...many(2, 'H100-SXM5-80GB', { pricePerHour: 20 }),
      ...many(4, 'A100-SXM4-80GB', { pricePerHour: 2 }),
    ])
    const plan = planned(planServing(llama8b, fleet, { ...workload, goal: 'cost', requestsPerS: 2 }))
    expect(plan.predicted.pricePerHour).toBe(2)
    expect(plan.predicted.requestsPerS).toBeCloseTo(2, 6)
    expect(plan.bound.value).toBeLessThanOrEqual(2)
  })

  test('may compute prompts apart, strong machines first', () => {
    const fleet = plainFleet([...many(2, 'H100-SXM5-80GB'), ...many(4, 'A100-SXM4-80GB')])
    const long = { ...workload, promptTokens: { mean: 3000, p95: 3500 }, roles: 'split' as const }
    const plan = planned(planServing(llama8b, fleet, long))
    expect(plan.roles).toBe('split')
    const prefill = plan.replicas.filter(({ role }) => role === 'prefill')
    expect(prefill.flatMap(({ stages }) => stages.map(({ accelerator }) => accelerator))).toContain(
      'H100-SXM5-80GB',
    )
    expect(plan.handOver!.kvBytesPerPrompt).toBe(3000 * 32 * 2 * 1024 * 2)
  })

  test('says what was rejected and how far the bound is', () => {
    const fleet = plainFleet(many(4, 'A100-SXM4-80GB', { accelerators: 4 }))
    const plan = planned(planServing(llama70b, fleet, workload))
    expect(plan.rejected.length).toBeGreaterThan(0)
    expect(plan.bound.gap).toBeGreaterThanOrEqual(0)
    expect(plan.bound.gap).toBeLessThan(0.6)
  })
})

describe('a refusal', () => {
  const small = plainFleet(many(2, 'L4', { pricePerHour: 0.7 }))

  test('names memory, and what would do', () => {
    const outcome = planServing(llama70b, small, workload)
    if (outcome.kind !== 'refused') throw new Error('It fits.')
    expect(outcome.binding).toMatch(
      /^Memory: the model as fp16 .* takes 1\d\d GiB; the fleet offers 43.2 GiB/,
    )
    const [first] = outcome.fixes
    expect(first!.change).toBe('Allow weights as q4.')
    const machines = outcome.fixes.find(({ change }) => change.startsWith('Add'))!
    expect(machines.pricePerHour).toBeGreaterThanOrEqual(5 * 0.7)
  })

  test('names the rate, and what would do', () => {
    const outcome = planServing(llama8b, small, { ...workload, requestsPerS: 500 })
    if (outcome.kind !== 'refused') throw new Error('It fits.')
    expect(outcome.binding).toMatch(
      /^Throughput: the fleet bears .* requests\/s within the targets; 500 are asked for\.$/,
    )
    expect(outcome.fixes.some(({ change }) => change.startsWith('Send at most'))).toBe(true)
  })

  test('names latency, and what would do', () => {
    const outcome = planServing(llama8b, small, { ...workload, tpotMs: 2 })
    if (outcome.kind !== 'refused') throw new Error('It fits.')
    expect(outcome.binding).toMatch(/^Latency: not even a lone request/)
    expect(outcome.fixes.find(({ change }) => change.startsWith('Accept a TPOT'))).toBeDefined()
  })
})

describe('what would do', () => {
  const card = plainFleet(many(1, 'RTX 4090'))
  const asked = (change: Partial<ServingWorkload>): ServingWorkload => ({
    ...workload,
    ttftMs: null,
    tpotMs: null,
    ...change,
  })
  const fixesOf = (of: ServingWorkload): readonly string[] => {
    const outcome = planServing(llama8b, card, of)
    if (outcome.kind !== 'refused') throw new Error('It fits.')
    return outcome.fixes.map(({ change }) => change)
  }
  const numbersIn = (text: string | undefined) => text?.match(/[\d.]*\d/g)?.map(Number) ?? []

  test('is the least that a target has to give way, and does', () => {
    // 15 GB of weights at 80% of 1,008 GB/s take 18.6 ms; the throughput plan's steps take several times that.
    const accept = fixesOf(asked({ tpotMs: 5 })).find((each) => each.startsWith('Accept a TPOT'))
    const [tpotMs] = numbersIn(accept)
    expect(tpotMs).toBeLessThan(21)
    expect(planServing(llama8b, card, asked({ tpotMs: tpotMs! })).kind).toBe('serve')
  })

  test('changes both targets where one alone does not help', () => {
    const accept = fixesOf(asked({ tpotMs: 5, ttftMs: 3 })).find((each) => each.startsWith('Accept'))
    const [ttftMs, tpotMs] = numbersIn(accept)
    expect(planServing(llama8b, card, asked({ ttftMs: ttftMs!, tpotMs: tpotMs! })).kind).toBe('serve')
  })

  test.each([200, 500, 1100, 1900])('is a load that is borne (%i tokens of answers)', (mean) => {
    const of = asked({ outputTokens: { mean, p95: mean }, requestsPerS: 1000 })
    const [requestsPerS] = numbersIn(fixesOf(of).find((each) => each.startsWith('Send at most')))
    expect(planServing(llama8b, card, { ...of, requestsPerS: requestsPerS! }).kind).toBe('serve')
  })

  test('is a shorter session where the longest does not fit', () => {
    const of = asked({ contextTokens: 131_072 })
    const [contextTokens] = numbersIn(fixesOf(of).find((each) => each.startsWith('Let sessions')))
    expect(contextTokens).toBeGreaterThan(30_000)
    expect(planServing(llama8b, card, { ...of, contextTokens: contextTokens! }).kind).toBe('serve')
  })

  test('is to compute prompts where they are answered, if the model is there only once', () => {
    const outcome = planServing(llama8b, card, asked({ roles: 'split' }))
    if (outcome.kind !== 'refused') throw new Error('It fits.')
    expect(outcome.binding).toMatch(/^Roles: the fleet holds the model as fp16 once/)
    expect(outcome.fixes.some(({ change }) => change.includes('roles: together'))).toBe(true)
  })
})

/** Fleets of up to `most` machines in two sites. */
const fleets = (most: number): fc.Arbitrary<ComputeFleet> =>
  fc
    .array(
      fc.record({
        accelerator: fc.constantFrom('L4', 'T4', 'A100-SXM4-40GB', 'RTX 4090', 'H100-SXM5-80GB'),
        accelerators: fc.constantFrom(1, 2, 4),
        site: fc.constantFrom('a', 'b'),
        price: fc.integer({ min: 1, max: 5 }),
      }),
      { minLength: 1, maxLength: most },
    )
    .map((drawn) =>
      plainFleet(
        drawn.map(({ accelerator, accelerators, site, price }, at) =>
          plainMachine(`m${at}`, find(accelerator), {
            accelerators,
            site,
            region: site,
            pricePerHour: price,
          }),
        ),
      ),
    )

describe('any plan', () => {
  const runs = { numRuns: 10 }
  const quick = { steps: 60 }

  test('covers every layer once in each replica, within memory, with no accelerator twice', () => {
    fc.assert(
      fc.property(fleets(6), fc.constantFrom('throughput', 'latency'), (fleet, goal) => {
        const outcome = planServing(llama8b, fleet, { ...workload, goal, roles: 'either' }, quick)
        if (outcome.kind === 'refused') return
        const used = new Set<string>()
        for (const { stages, sequences, room } of outcome.replicas) {
          let next = 0
          for (const stage of stages) {
            expect(stage.layers.first).toBe(next)
            next = stage.layers.end
            expect(stage.weightBytes + stage.kvBytes).toBeLessThanOrEqual(stage.memoryBytes)
            expect(stage.busy).toBeLessThanOrEqual(0.91)
            for (const { machine, slot } of stage.accelerators) {
              expect(used.has(`${machine}/${slot}`)).toBe(false)
              used.add(`${machine}/${slot}`)
            }
          }
          expect(next).toBe(32)
          expect(sequences).toBeLessThanOrEqual(room)
        }
        expect(outcome.predicted.ttftMs).toBeLessThanOrEqual(5000)
        expect(outcome.predicted.tpotMs).toBeLessThanOrEqual(200)
        expect(outcome.bound.gap).toBeGreaterThanOrEqual(0)
      }),
      runs,
    )
  })

  test('stays within its bound, whatever is asked', () => {
    const asked = fc.record({
      goal: fc.constantFrom('throughput', 'latency', 'cost'),
      roles: fc.constantFrom('together', 'split', 'either'),
      promptTokens: fc.constantFrom({ mean: 100, p95: 200 }, { mean: 3000, p95: 12_000 }),
      shape: fc.constantFrom(llama8b, mixture),
    })
    fc.assert(
      fc.property(fleets(6), asked, (fleet, { goal, roles, promptTokens, shape }) => {
        const requestsPerS = goal === 'cost' ? 0.5 : null
        const outcome = planServing(
          shape,
          fleet,
          { ...workload, goal, roles, promptTokens, requestsPerS, contextTokens: 16_384, ttftMs: null },
          quick,
        )
        if (outcome.kind === 'refused') return
        expect(outcome.bound.value).toBeGreaterThan(0)
        expect(outcome.bound.gap).toBeGreaterThanOrEqual(0)
        expect(outcome.bound.gap).toBeLessThan(1)
      }),
      { numRuns: 30 },
    )
  })

  test('is not made worse by a machine more, nor is the bound', () => {
    fc.assert(
      fc.property(fleets(5), fc.constantFrom('throughput', 'latency'), (fleet, goal) => {
        if (fleet.machines.length === 1) return
        const asked: ServingWorkload = { ...workload, goal }
        const fewer = planServing(llama8b, { ...fleet, machines: fleet.machines.slice(1) }, asked, quick)
        const all = planServing(llama8b, fleet, asked, quick)
        if (fewer.kind === 'refused') return
        if (all.kind === 'refused') throw new Error(`With a machine more: ${all.binding}`)
        const sign = goal === 'throughput' ? 1 : -1
        const notLess = (more: number, less: number) =>
          expect(sign * (more - less)).toBeGreaterThanOrEqual(-less * roundingError)
        const reached = ({ predicted }: ServingPlan) =>
          goal === 'throughput' ? predicted.requestsPerS : latencyMs(predicted)
        notLess(all.bound.value, fewer.bound.value)
        notLess(reached(all), reached(fewer))
      }),
      { numRuns: 25 },
    )
  })

  test('does not depend on the order of machines', () => {
    fc.assert(
      fc.property(fleets(6), fc.integer(), (fleet, seed) => {
        const random = seededRandom(seed)
        const shuffled = fleet.machines
          .map((machine) => ({ machine, key: random.next() }))
          .sort((a, b) => a.key - b.key)
          .map(({ machine }) => machine)
        const turned = planServing(llama8b, { ...fleet, machines: shuffled }, workload, quick)
        expect(turned).toEqual(planServing(llama8b, fleet, workload, quick))
      }),
      runs,
    )
  })

  test('counts in the units it names', () => {
    fc.assert(
      fc.property(fleets(6), (fleet) => {
        const plan = planServing(llama8b, fleet, workload, quick)
        if (plan.kind === 'refused') return
        const { predicted, replicas } = plan
        const sum = (values: readonly number[]) => values.reduce((total, each) => total + each, 0)
        const output = workload.outputTokens.mean
        expect(sum(replicas.map(({ requestsPerS }) => requestsPerS))).toBeCloseTo(predicted.requestsPerS, 6)
        expect(predicted.tokensPerS).toBeCloseTo(predicted.requestsPerS * output, 6)
        expect(predicted.pricePerMillionTokens).toBeCloseTo(
          (predicted.pricePerHour / (predicted.tokensPerS * 3600)) * 1e6,
          6,
        )
        expect(sum(replicas.map(({ pricePerHour }) => pricePerHour))).toBeCloseTo(predicted.pricePerHour, 6)
        for (const { stages, requestsPerS, batch } of replicas) {
          for (const { busy, prefillMs, decodeMs } of stages) {
            expect(busy).toBeCloseTo((requestsPerS * (prefillMs + (output * decodeMs) / batch)) / 1000, 6)
          }
        }
      }),
      runs,
    )
  })
})

const roundingError = 1e-9

function latencyMs({ ttftMs, tpotMs }: ServingPlan['predicted']): number {
  return ttftMs + workload.outputTokens.mean * tpotMs
}

describe('machines that are alike by name', () => {
  const chat = { ...workload, ttftMs: 2000, tpotMs: 80 }

  test('and not by price: the cheaper one serves, at its own price', () => {
    const priced = (prices: readonly number[]) =>
      plainFleet(prices.map((pricePerHour, at) => plainMachine(`l4-${at}`, find('L4'), { pricePerHour })))
    const cheap: ServingWorkload = { ...chat, goal: 'cost', requestsPerS: 0.3 }
    const plan = planned(planServing(llama8b, priced([5, 0.5, 9]), cheap))
    expect(plan.predicted.pricePerHour).toBe(0.5)
    expect(plan.replicas[0]!.stages[0]!.accelerators[0]!.machine).toBe('l4-1')
    const both = planned(planServing(llama8b, priced([5, 0.5, 9]), { ...cheap, requestsPerS: 1.2 }))
    expect(both.predicted.pricePerHour).toBe(5.5)
    const all = planned(planServing(llama8b, priced([5, 0.5, 9]), chat))
    expect(all.predicted.pricePerHour).toBe(14.5)
  })

  test('and not by figures: each is as quick as it is, and no plan exceeds its bound', () => {
    const gpu = { ...find('RTX 4090'), name: 'gpu' }
    const slow = { ...gpu, memoryGBs: gpu.memoryGBs / 10, fp16Tflops: gpu.fp16Tflops! / 10 }
    const fleet = plainFleet([plainMachine('a', gpu), plainMachine('b', slow)])
    const plan = planned(planServing(llama8b, fleet, { ...workload, ttftMs: null, tpotMs: null }))
    const [quick, other] = ['a', 'b'].map((name) =>
      plan.replicas.find(({ stages }) => stages[0]!.accelerators[0]!.machine === name),
    )
    expect(plan.bound.gap).toBeGreaterThanOrEqual(0)
    expect(quick!.requestsPerS).toBeGreaterThan(5 * other!.requestsPerS)
    expect(planServing(llama8b, { ...fleet, machines: [...fleet.machines].reverse() }, workload)).toEqual(
      planServing(llama8b, fleet, workload),
    )
  })

  test('and not by who shares a machine: links are those between them', () => {
    const inside = { delayMs: 0.01, bytesPerS: 1e11 }
    const pairs = many(2, 'L4', { accelerators: 2, inside })
    const fleet = plainFleet(pairs, { sameSite: { delayMs: 20, bytesPerS: 1e8 } })
    const links = new LinkLookup(fleet)
    const forms = new GroupForms(llama8b, 'fp32', { ...workload, tpotMs: null }, fleet, links)
    const units = unitsOf(fleet, links, llama8b, () => tensorOnly(1), false)
    const delays = (...at: readonly number[]) =>
      forms.group(
        at.map((each) => units[each]!),
        'together',
      )!.form.pipeline.hopDelayMs
    expect(delays(0, 1)).toEqual([0.01, 0.01])
    expect(delays(0, 2)).toEqual([20, 20])
  })
})
