import {
  bytes,
  type HeldRing,
  type MachineId,
  ms,
  type Placement,
  type PlacementRequest,
  tokens,
} from '@deos/domain'
import { describe, expect, test } from 'vitest'
import { placeAnswering } from './place-answering.ts'
import { sixLayers } from './testing/control.ts'

const request: PlacementRequest = {
  ...{ model: sixLayers, kvTokens: tokens(10), regions: null, providers: null, avoid: [], work: 'decode' },
}
const layers = { first: 0, end: 6 }
const ring = (name: string): HeldRing => [{ machine: name as MachineId, device: 'CPU', layers }]
const nameOf = ([stage]: HeldRing): string => stage!.machine

function placementOn(name: string, requestMs: number | undefined): Placement {
  const [held] = ring(name)
  const location = { region: 'eu', provider: 'home' }
  const sizes = { weightBytes: bytes(60), kvBytes: bytes(60), decodeMs: ms(1) }
  return {
    ...{ stages: [{ ...held!, location, ...sizes }], tokenMs: ms(1), reasons: ['chosen'] },
    ...(requestMs === undefined ? {} : { requestMs: ms(requestMs) }),
  }
}

/** Prefers machines in this order; a request is predicted to take so long on each. */
function world(machines: Readonly<Record<string, number | undefined>>) {
  const asked: PlacementRequest[] = []
  const place = (of: PlacementRequest) => {
    asked.push(of)
    const name = Object.keys(machines).find((each) => !of.avoid.includes(each as MachineId))
    if (name === undefined) return { placement: null, reasons: ['nothing left'] }
    return { placement: placementOn(name, machines[name]), reasons: ['chosen'] }
  }
  return { asked, place }
}
const nobody = { answering: [], prompts: [], missing: 1 }

describe('placeAnswering()', () => {
  test('leaves the best for prompts to them where little is lost by it, and says where they will be', () => {
    const { place } = world({ strong: 100, second: 104 })
    const { request: made, outcome } = placeAnswering(request, nobody, place)
    expect(nameOf(outcome.placement!.stages)).toBe('second')
    expect(made.avoid).toEqual(['strong'])
    expect(made.partners).toEqual([ring('strong')])
  })

  test('takes it where requests are sooner answered by 5%; prompts then go to what it leaves over', () => {
    const { place, asked } = world({ strong: 90, second: 100 })
    const { request: made, outcome } = placeAnswering(request, nobody, place)
    expect(nameOf(outcome.placement!.stages)).toBe('strong')
    expect(made.partners).toEqual([ring('second')])
    expect(outcome.reasons.at(-1)).toBe(
      'Not kept off the best machines for prompts (strong): such a request would take 100 ms then, 90 ms here.',
    )
    expect(outcome.placement!.reasons).toEqual(outcome.reasons)
    // Prompts are placed off it, and told that it decodes.
    const last = asked.findLast(({ work }) => work === 'prefill')!
    expect(last).toMatchObject({ avoid: ['strong'], partners: [ring('strong')] })
  })

  test('leaves it to them where nothing is predicted', () => {
    const { place, asked } = world({ strong: undefined, second: undefined })
    expect(nameOf(placeAnswering(request, nobody, place).outcome.placement!.stages)).toBe('second')
    expect(asked.map(({ work }) => work)).toEqual(['prefill', 'decode'])
  })

  test('is told of those that compute prompts already, and leaves nothing to them', () => {
    const { place, asked } = world({ strong: 90, second: 100 })
    const there = { answering: [], prompts: [ring('third')], missing: 0 }
    expect(nameOf(placeAnswering(request, there, place).outcome.placement!.stages)).toBe('strong')
    expect(asked).toEqual([{ ...request, partners: [ring('third')] }])
  })

  test('one by one, as many as are missing, beside all that answer; where it was is nothing to them', () => {
    const { place, asked } = world({ a: 100, b: 100, c: 100 })
    const beside = { answering: [ring('other')], prompts: [], missing: 2 }
    const { request: made } = placeAnswering({ ...request, held: ring('old') }, beside, place)
    expect(made.partners).toEqual([ring('a'), ring('b')])
    expect(made.held).toEqual(ring('old'))
    const [first, second] = asked
    expect(first).toEqual({ ...request, work: 'prefill', partners: [ring('other')] })
    expect(second).toEqual({ ...first, avoid: ['a'] })
  })

  test('finds nothing only where there is nothing', () => {
    const { place } = world({})
    expect(placeAnswering(request, nobody, place).outcome).toEqual({
      placement: null,
      reasons: ['nothing left'],
    })
  })
})
