import { expect, test } from 'vitest'
import { noDeployments } from './deployment.ts'
import { deploymentStatus } from './deployment-status.ts'
import { evolveDeployments } from './evolve-deployments.ts'
import { storeDeployments } from './stored-deployments.ts'
import { Chaos } from './testing/chaos.ts'

const seeds = Array.from({ length: 20 }, (_, index) => index + 1)
const minute = 60_000

test.each(seeds)(
  'whatever happens, wishes come true in the end and nothing is left behind (seed %i)',
  (seed) => {
    const chaos = new Chaos(seed)
    chaos.rage(3 * minute)
    chaos.calm()
    chaos.rest(15 * minute)
    for (const deployment of chaos.control.state.deployments.values()) {
      expect(deploymentStatus(deployment)).toMatchObject({
        condition: 'ready',
        ready: deployment.desiredReplicas,
        updated: deployment.desiredReplicas,
        updating: 0,
        draining: 0,
      })
      expect(deployment.leaving).toEqual([])
    }
    chaos.removeAll()
    chaos.rest(2 * minute)
    expect(chaos.control.state.deployments.size).toBe(0)
    expect(chaos.held()).toBe(0)
    expectPrefixesToFold(chaos)
  },
)

test('one seed always gives the same run', () => {
  const run = () => {
    const chaos = new Chaos(7)
    chaos.rage(minute)
    return chaos.control.events
  }
  expect(run()).toEqual(run())
})

function expectPrefixesToFold({ control, prefixes }: Chaos): void {
  let state = noDeployments
  let folded = 0
  for (const prefix of prefixes) {
    for (; folded < prefix.events; folded += 1) state = evolveDeployments(state, control.events[folded]!)
    expect(JSON.stringify(storeDeployments(state))).toBe(prefix.state)
  }
  expect(folded).toBeGreaterThan(50)
}
