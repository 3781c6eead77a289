import { catalogue, findAccelerator, plainFleet, plainMachine, planServing } from '@deos/planner'
import { publishedShape, servingWorkload } from '@deos/planner/testing'
import { expect, test } from 'vitest'
import { alikeReplicas, andAlike } from './alike-replicas.ts'

const shape = publishedShape('Llama-3-8B')

test('of many replicas each kind is shown, with answers beside prompts', () => {
  const names = Array.from({ length: 12 }, (_, at) => (at < 8 ? 'A100-SXM4-80GB' : 'L40S'))
  const fleet = plainFleet(names.map((name, at) => plainMachine(`m${at}`, findAccelerator(catalogue, name))))
  const workload = servingWorkload({ roles: 'split' })
  const plan = planServing(shape, fleet, workload, { steps: 0 })
  if (plan.kind !== 'serve') throw new Error(plan.binding)
  const kinds = alikeReplicas(plan.replicas)
  expect(kinds.reduce((sum, { count }) => sum + count, 0)).toBe(plan.replicas.length)
  expect(kinds.length).toBeLessThan(plan.replicas.length)
  expect(new Set(kinds.slice(0, 2).map(({ replica }) => replica.role))).toEqual(
    new Set(['prefill', 'decode']),
  )
  for (const { replica, at } of kinds) expect(plan.replicas[at]).toBe(replica)
  expect(andAlike({ ...kinds[0]!, count: 3 })).toBe(' and 2 alike')
})
