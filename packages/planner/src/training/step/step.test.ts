import { seededRandom } from '@deos/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { catalogue, findAccelerator } from '../../devices/index.ts'
import { shapeFromHuggingFace } from '../../models/index.ts'
import { symmetricNetwork } from '../network.ts'
import { stepAtLeastS } from './forecast.ts'
import {
  dtFmOptions,
  exactOptions,
  forecastStep,
  forecastZero3,
  LayerCosts,
  megatronOptions,
  type Pipeline,
  planDtFm,
  planMegatron,
  planTraining,
  runPipeline,
  type Schedule,
  type StepOptions,
  type TrainingFleet,
  type WorkSpan,
} from './index.ts'

const uniform = (schedule: Schedule, stages: number, microbatches: number, extra = 0): Pipeline => ({
  microbatches,
  schedule,
  overlap: true,
  stages: Array.from({ length: stages }, (_, at) => ({
    forwardS: 1,
    backwardS: 2,
    weightGradientS: 1,
    inFlight: schedule === 'gpipe' ? microbatches : stages - at + extra,
  })),
  hops: Array.from({ length: stages - 1 }, () => ({ sendS: 0, delayS: 0 })),
})
const lasts = (pipeline: Pipeline) => Math.max(...runPipeline(pipeline).finishS)

describe('a pipeline without links', () => {
  test.each(['gpipe', '1f1b'] as const)(
    '%s takes (m + p - 1) passes, as Narayanan et al. 2021 count',
    (schedule) => {
      expect(lasts(uniform(schedule, 4, 8))).toBe((8 + 3) * 3)
      expect(lasts(uniform(schedule, 1, 8))).toBe(8 * 3)
    },
  )

  test('zero bubble fills what waits with weight gradients', () => {
    expect(lasts(uniform('zero bubble', 4, 8))).toBeLessThan((8 + 3) * 3)
    expect(lasts(uniform('zero bubble', 4, 8))).toBeGreaterThanOrEqual(8 * 3)
  })

  test('zero bubble keeps no more microbatches than it may, weight gradients that wait included', () => {
    const kept = (extra: number) => {
      const pipeline = uniform('zero bubble', 4, 20, extra)
      const spans: WorkSpan[] = []
      runPipeline(pipeline, (span) => spans.push(span))
      const first = spans.filter(({ stage }) => stage === 0)
      const counts = first.map(({ fromS }) => {
        const begun = first.filter((span) => span.work === 'forward' && span.fromS <= fromS).length
        return begun - first.filter((span) => span.work === 'weights' && span.toS <= fromS).length
      })
      return Math.max(...counts)
    }
    expect(kept(0)).toBe(4)
    expect(kept(3)).toBeLessThanOrEqual(7)
  })

  test('tells how long only weight gradients are left', () => {
    const { tailS, finishS } = runPipeline(uniform('zero bubble', 1, 3, 2))
    expect(tailS[0]).toBeGreaterThanOrEqual(1)
    expect(finishS[0]).toBe(9)
    expect(runPipeline(uniform('1f1b', 2, 3)).tailS).toEqual([0, 0])
  })

  test('every stage is busy exactly as long as its work', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<Schedule>('gpipe', '1f1b', 'zero bubble'),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 0, max: 9 }),
        fc.boolean(),
        fc.integer({ min: 1, max: 1000 }),
        (schedule, stages, microbatches, extra, overlap, seed) => {
          const random = seededRandom(seed)
          const plain = uniform(schedule, stages, microbatches, extra)
          const hops = plain.hops.map(() => ({ sendS: random.next(), delayS: random.next() }))
          const run = runPipeline({ ...plain, hops, overlap })
          for (const busyS of run.busyS) expect(busyS).toBeCloseTo(3 * microbatches, 9)
          expect(Math.max(...run.finishS)).toBeGreaterThanOrEqual(3 * microbatches)
        },
      ),
    )
  })
})

describe('interleaved stages', () => {
  /** Four devices, eight microbatches, two chunks of half the layers each. */
  const interleaved = (): Pipeline => {
    const plain = uniform('1f1b', 8, 8)
    return {
      ...plain,
      stages: plain.stages.map((stage, at) => ({
        ...stage,
        forwardS: 0.5,
        backwardS: 1,
        weightGradientS: 0.5,
        device: at % 4,
      })),
    }
  }

  test('have a smaller bubble than whole ones, and no device does two things at once', () => {
    const spans: WorkSpan[] = []
    const run = runPipeline(interleaved(), (span) => spans.push(span))
    expect(Math.max(...run.finishS)).toBeLessThan(lasts(uniform('1f1b', 4, 8)))
    expect(Math.max(...run.finishS)).toBeGreaterThanOrEqual(8 * 3)
    for (let device = 0; device < 4; device += 1) {
      const own = spans.filter(({ stage }) => stage % 4 === device).sort((a, b) => a.fromS - b.fromS)
      expect(own.reduce((sum, { fromS, toS }) => sum + toS - fromS, 0)).toBeCloseTo(24, 9)
      for (const [at, span] of own.entries()) {
        if (at > 0) expect(span.fromS).toBeGreaterThanOrEqual(own[at - 1]!.toS - 1e-9)
      }
    }
  })
})

describe('a pipeline over links', () => {
  const over = (sendS: number, delayS: number, change: Partial<Pipeline> = {}, extra = 0): number => {
    const plain = uniform('1f1b', 2, 20, extra)
    return lasts({ ...plain, hops: [{ sendS, delayS }], ...change })
  }

  test('goes at the pace of a link that is slower than its stages', () => {
    expect(over(5, 0, {}, 20)).toBeGreaterThanOrEqual(20 * 5)
    expect(over(5, 0, {}, 20)).toBeLessThan(20 * 5 + 20)
  })

  test('bears delay with more microbatches in flight', () => {
    expect(over(0, 10, {}, 20)).toBeLessThan(over(0, 10))
  })

  test('is slower when stages wait for what they send', () => {
    expect(over(1, 1, { overlap: false })).toBeGreaterThan(over(1, 1))
  })
})

const shape = shapeFromHuggingFace({
  model_type: 'gpt2',
  n_embd: 1024,
  n_layer: 8,
  n_head: 16,
  vocab_size: 8192,
  n_positions: 1024,
})
const work = { shape, globalBatch: 32, sequenceTokens: 1024, microbatch: 1 }
const v100 = findAccelerator(catalogue, 'V100-PCIe-16GB')
const h100 = findAccelerator(catalogue, 'H100-SXM5-80GB')
const sites = (devices: number, perSite: number) =>
  symmetricNetwork(devices, (a, b) =>
    Math.floor(a / perSite) === Math.floor(b / perSite)
      ? { delayS: 1e-4, bytesPerS: 1e10 }
      : { delayS: 0.03, bytesPerS: 1.25e8 },
  )
const fleet = (devices = 8): TrainingFleet => ({
  devices: new Array(devices).fill(v100),
  network: sites(devices, 4),
  efficiency: { compute: 0.4, memory: 0.8, overheadMs: 0 },
  format: 'fp16',
})
const search = { random: seededRandom(1), placementSteps: 300, polishSteps: 50, fixed: {} }

describe('a step', () => {
  test('of one device is its arithmetic', () => {
    const costs = new LayerCosts({ ...fleet(1) }, work)
    const plan = { stages: [{ first: 0, end: 8, devices: [0] }], options: exactOptions }
    expect(forecastStep(costs, plan).stepS).toBeCloseTo(32 * costs.stageS(0, 0, 8), 9)
  })

  test('of two replicas ends with a ring of their gradients: two parts there and back', () => {
    const costs = new LayerCosts(fleet(), work)
    const plan = { stages: [{ first: 0, end: 8, devices: [0, 4] }], options: megatronOptions }
    const forecast = forecastStep(costs, plan)
    const partS = 0.03 + (costs.parameters[8]! * 4) / 2 / 1.25e8
    expect(forecast.exposedExchangeS).toBeCloseTo(2 * partS, 9)
    const rarely = { ...plan, options: { ...megatronOptions, stepsPerExchange: 4 } }
    expect(forecastStep(costs, rarely).exposedExchangeS).toBeCloseTo(partS / 2, 9)
  })

  test('with states divided among replicas takes less memory, the further the less', () => {
    const costs = new LayerCosts(fleet(), work)
    const stages = [{ first: 0, end: 8, devices: [0, 1, 2, 3, 4, 5, 6, 7] }]
    const bytes = ([0, 1, 2, 3] as const).map(
      (zeroStage) =>
        forecastStep(costs, { stages, options: { ...exactOptions, zeroStage } }).stages[0]!.memoryBytes,
    )
    const each = costs.parameters[8]!
    // 16 bytes a parameter; 4 and an eighth of 12; 2 and an eighth of 14; an eighth of 16.
    expect(bytes[0]! - bytes[1]!).toBeCloseTo(each * (12 - 12 / 8), 0)
    expect(bytes[1]! - bytes[2]!).toBeCloseTo(each * (2 - 2 / 8), 0)
    expect(bytes[2]! - bytes[3]!).toBeCloseTo(each * (2 - 2 / 8), 0)
  })

  test('exchanges in every way what that way has to send', () => {
    const costs = new LayerCosts(fleet(), work)
    const exchangeS = (exchange: StepOptions['exchange'], devices: readonly number[]) => {
      const options = { ...megatronOptions, exchange }
      return forecastStep(costs, { stages: [{ first: 0, end: 8, devices }], options }).stages[0]!.exchangeS
    }
    const bytes = costs.parameters[8]! * 4
    const [nearS, farS] = [bytes / 4 / 1e10, bytes / 4 / 1.25e8]
    const both = [0, 1, 4, 5]
    expect(exchangeS('sharded', both)).toBeCloseTo(2 * (nearS + 1e-4 + 2 * (farS + 0.03)), 9)
    expect(exchangeS('direct', both)).toBeCloseTo(2 * (nearS + 2 * farS + 0.03), 9)
    expect(exchangeS('ring', both)).toBeCloseTo(6 * (farS + 0.03), 9)
    // Halves inside there and back; between, a half in two parts there and back.
    expect(exchangeS('regional', both)).toBeCloseTo(2 * (2 * nearS + 1e-4) + 2 * (farS + 0.03), 9)
    expect(exchangeS('regional', [0, 1, 4])).toBe(Number.POSITIVE_INFINITY)
  })

  test('is no longer where stages exchange and begin the next one early, and never shorter than the busiest stage and its exchange', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 8 }),
        fc.constantFrom<Schedule>('1f1b', 'zero bubble'),
        (extra, schedule) => {
          const costs = new LayerCosts(fleet(), work)
          const rows = [
            [0, 4],
            [1, 5],
            [2, 6],
            [3, 7],
          ]
          const stages = rows.map((devices, at) => ({ first: 2 * at, end: 2 * at + 2, devices }))
          const options = { ...exactOptions, schedule, extraInFlight: extra }
          const early = forecastStep(costs, { stages, options })
          const late = forecastStep(costs, { stages, options: { ...options, nextStepEarly: false } })
          const behind = forecastStep(costs, {
            stages,
            options: { ...options, nextStepEarly: false, exchangeEarly: false },
          })
          expect(early.stepS).toBeLessThanOrEqual(late.stepS)
          expect(late.stepS).toBeLessThanOrEqual(behind.stepS)
          expect(early.stepS).toBeGreaterThanOrEqual(stepAtLeastS(costs, { stages, options }) - 1e-9)
        },
      ),
    )
  })

  test('of ZeRO-3 sends three times the model round the ring', () => {
    const costs = new LayerCosts(fleet(), work)
    const zero = forecastZero3(fleet(), work, { bytesPerParameter: 2, stepsPerExchange: 1 })
    const partS = 0.03 + (costs.parameters[8]! * 2) / 8 / 1.25e8
    expect(zero.gatherS).toBeCloseTo(3 * 7 * partS, 9)
    expect(zero.stepS).toBe(zero.gatherS)
  })
})

describe('our planner', () => {
  test('covers every layer once with every device once, in memory, and is no slower than the baselines', () => {
    const costs = new LayerCosts(fleet(), work)
    const { plan, forecast } = planTraining(costs, search)!
    expect(plan.stages.flatMap(({ devices }) => devices).toSorted((a, b) => a - b)).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7,
    ])
    expect(plan.stages.map(({ first }) => first)).toEqual([
      0,
      ...plan.stages.slice(0, -1).map(({ end }) => end),
    ])
    expect(plan.stages.at(-1)!.end).toBe(8)
    expect(forecast.fits).toBe(true)
    const terms = { stages: 2, random: seededRandom(1), steps: 300, restarts: 1 }
    expect(forecast.stepS).toBeLessThanOrEqual(planMegatron(costs)!.forecast.stepS)
    expect(forecast.stepS).toBeLessThanOrEqual(planDtFm(costs, terms, [dtFmOptions])!.forecast.stepS)
  })

  test('gives fewer layers to slower devices', () => {
    const devices = [v100, v100, v100, v100, h100, h100, h100, h100]
    const costs = new LayerCosts({ ...fleet(), devices }, { ...work, globalBatch: 64 })
    const { plan } = planTraining(costs, search)!
    const layersOf = (device: number) => {
      const stage = plan.stages.find((each) => each.devices.includes(device))!
      return stage.end - stage.first
    }
    expect(layersOf(0)).toBeLessThan(layersOf(4))
  })

  test('finds nothing where nothing fits', () => {
    const tiny = { ...v100, memoryGiB: 0.01 }
    const costs = new LayerCosts({ ...fleet(), devices: new Array(8).fill(tiny) }, work)
    expect(planTraining(costs, search)).toBeNull()
    expect(planMegatron(costs)).toBeNull()
  })

  test('refuses batches that are none and fleets without their links', () => {
    expect(() => new LayerCosts(fleet(), { ...work, globalBatch: 0 })).toThrow('work.globalBatch is 0')
    expect(() => new LayerCosts({ ...fleet(), devices: [v100] }, work)).toThrow('fleet.devices')
  })
})
