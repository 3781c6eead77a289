import { LinkLookup } from '@deos/planner'
import { describe, expect, test } from 'vitest'
import { fleets, models, readRequests, targets, targetsOf, withLinksOf, workloadOf } from './phase-cases.ts'

describe('cases of prompts computed apart', () => {
  test.each(Object.keys(targets))('%s is 1,500 requests in order of time', (name) => {
    const requests = readRequests(name)
    expect(requests).toHaveLength(1500)
    expect(requests.every(({ atMs }, at) => at === 0 || atMs >= requests[at - 1]!.atMs)).toBe(true)
    expect(requests.every((each) => each.promptTokens >= 1 && each.outputTokens >= 1)).toBe(true)
    for (const model of Object.keys(models)) {
      const promised = targetsOf(name, model)
      const workload = workloadOf(requests, promised, 'split', 0.7)
      expect(workload.ttftMs).toBeLessThan(promised.ttftMs)
      expect(workload.contextTokens).toBeGreaterThan(workload.promptTokens.p95)
    }
  })

  test('have the published means of the Azure traces, nearly', () => {
    // Patel et al. 2024 (arXiv:2311.18677), figure 3: medians of 1,020 and 1,500 prompt tokens, 129 and 13 of output.
    const median = (name: string, key: 'promptTokens' | 'outputTokens') =>
      readRequests(name)
        .map((each) => each[key])
        .sort((a, b) => a - b)[750]!
    expect(median('azure-conversation', 'promptTokens') / 1020).toBeCloseTo(1, 1)
    expect(median('azure-code', 'promptTokens') / 1500).toBeCloseTo(1, 0)
    expect(median('azure-code', 'outputTokens')).toBe(13)
  })

  test('change links between machines in a sweep, not inside them', () => {
    const fleet = fleets['h200+3090.twoRegions']!
    const [a, b] = fleet.machines
    const swept = new LinkLookup(withLinksOf(fleet, 3))
    expect(swept.between(a!, b!)).toEqual({ delayMs: 15, bytesPerS: 3e9 / 8 })
    expect(swept.between(a!, a!)).toEqual(new LinkLookup(fleet).between(a!, a!))
  })

  test('cost what their accelerators do', () => {
    const price = (name: string) =>
      fleets[name]!.machines.reduce((sum, { pricePerHour }) => sum + pricePerHour, 0)
    expect(price('h100+4090')).toBeCloseTo(4 * 3.29 + 8 * 0.69, 9)
    expect(price('h200+3090.twoRegions')).toBe(price('h200+3090'))
  })
})
