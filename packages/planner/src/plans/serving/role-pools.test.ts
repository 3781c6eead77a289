import { describe, expect, test } from 'vitest'
import { catalogue, findAccelerator } from '../../devices/index.ts'
import { publishedShape, servingWorkload } from '../../testing/index.ts'
import { type FleetMachine, plainFleet, plainMachine } from '../fleet.ts'
import { servingCandidates } from './plan-serving.ts'
import type { ServingPlan } from './serving-plan.ts'

const shape = publishedShape('Llama-3-8B')
const workload = servingWorkload({
  promptTokens: { mean: 2000, p95: 4000 },
  outputTokens: { mean: 200, p95: 400 },
  contextTokens: 8192,
  ttftMs: 2000,
  tpotMs: 40,
  roles: 'split',
})
const machine = (name: string, accelerator: string, given: Partial<FleetMachine>) =>
  plainMachine(name, findAccelerator(catalogue, accelerator), given)
const plansOf = (machines: readonly FleetMachine[], asked = workload, links = {}) =>
  servingCandidates(shape, plainFleet(machines, links), asked, { steps: 0 })
const stagesOf = ({ replicas }: ServingPlan, role: string) =>
  replicas.filter((each) => each.role === role).flatMap(({ stages }) => stages)

describe('accelerators divided by role', () => {
  test('of one machine serve both', () => {
    const [plan] = plansOf([machine('a', 'H100-SXM5-80GB', { accelerators: 8 })])
    const slots = (role: string) =>
      stagesOf(plan!, role).flatMap(({ accelerators }) => accelerators.map(({ slot }) => slot))
    expect(slots('prefill').length).toBeGreaterThan(0)
    expect([...slots('prefill'), ...slots('decode')].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  })

  test('compute prompts where there is more arithmetic for the bandwidth', () => {
    const [plan] = plansOf(
      [machine('l40s', 'L40S', { accelerators: 8 }), machine('a100', 'A100-SXM4-80GB', { accelerators: 4 })],
      workload,
      { sameSite: { delayMs: 0.05, bytesPerS: 12.5e9 } },
    )
    // 362 TFLOP/s for 864 GB/s, against 312 for 2,039.
    expect(stagesOf(plan!, 'prefill').some(({ accelerator }) => accelerator === 'L40S')).toBe(true)
    expect(stagesOf(plan!, 'decode').every(({ accelerator }) => accelerator !== 'L40S')).toBe(true)
  })

  test('keep K and V in their region where what lies between is slow', () => {
    const machines = ['us', 'eu'].map((region) =>
      machine(region, 'A100-SXM4-80GB', { accelerators: 4, region, site: region }),
    )
    const [plan] = plansOf(machines, workload, { elsewhere: { delayMs: 60, bytesPerS: 1e7 } })
    for (const role of ['prefill', 'decode']) {
      expect(new Set(stagesOf(plan!, role).map(({ region }) => region))).toEqual(new Set(['us', 'eu']))
    }
    // A prompt's 262 MB would take 26 s between regions.
    expect(plan!.predicted.ttftMs).toBeLessThan(2000)
  })

  test('send less where K and V are made smaller', () => {
    const machines = [
      machine('a', 'A100-SXM4-80GB', { region: 'a', site: 'a' }),
      machine('b', 'A100-SXM4-80GB', { region: 'b', site: 'b' }),
    ]
    const links = { elsewhere: { delayMs: 5, bytesPerS: 0.5e9 } }
    const [plain] = plansOf(machines, workload, links)
    const [small] = plansOf(machines, { ...workload, kvCompression: 4 }, links)
    expect(small!.handOver!.kvBytesPerPrompt * 4).toBeCloseTo(plain!.handOver!.kvBytesPerPrompt, 0)
    expect(small!.predicted.requestsPerS).toBeGreaterThan(plain!.predicted.requestsPerS)
  })
})
