import { expect, test } from 'vitest'
import type { HeldStage } from './held-stage.ts'
import type { StageAssignment } from './stage-assignment.ts'
import { StageKeeper } from './stage-keeper.ts'

const assignment = (stageId: string, generation: number, wanted: 'run' | 'drain' = 'run') =>
  ({ stageId, generation, wanted, model: { fingerprint: `f-${stageId}` } }) as unknown as StageAssignment

function world() {
  const begun: string[] = []
  const updates: string[] = []
  const exits = new Map<string, () => void>()
  const models: string[][] = []
  const keeper = new StageKeeper({
    hold: (first) => {
      const key = `${first.stageId}.${first.generation}`
      begun.push(key)
      return {
        assignment: first,
        pids: [1],
        update: ({ wanted }: StageAssignment) => void updates.push(`${key} ${wanted}`),
        report: () => ({ stageId: first.stageId, generation: first.generation }),
        stop: () => new Promise<void>((resolve) => exits.set(key, resolve)),
      } as unknown as HeldStage
    },
    onModels: (fingerprints) => void models.push([...fingerprints].sort()),
    onChange: () => undefined,
  })
  const held = () => keeper.reports().map(({ stageId, generation }) => `${stageId}.${generation}`)
  return { keeper, begun, updates, exits, models, held }
}

test('what is assigned is held once, and told what changes', () => {
  const { keeper, begun, updates, held } = world()
  keeper.apply([assignment('a', 1), assignment('b', 1)])
  keeper.apply([assignment('a', 1, 'drain'), assignment('b', 1)])
  expect(begun).toEqual(['a.1', 'b.1'])
  expect(updates).toEqual(['a.1 drain', 'b.1 run'])
  expect(held()).toEqual(['a.1', 'b.1'])
})

test('a stage that drains is not begun', () => {
  const { keeper, begun } = world()
  keeper.apply([assignment('a', 1, 'drain')])
  expect(begun).toEqual([])
})

test('a new generation waits until the old one is gone, and so do the bytes of its model', async () => {
  const { keeper, begun, exits, models, held } = world()
  keeper.apply([assignment('a', 1)])
  keeper.apply([assignment('a', 2)])
  keeper.apply([assignment('a', 3)])
  expect(begun).toEqual(['a.1'])
  expect(held()).toEqual(['a.1'])
  exits.get('a.1')!()
  await expect.poll(() => begun).toEqual(['a.1', 'a.3'])
  keeper.apply([])
  expect(models.at(-1)).toEqual(['f-a'])
  const stopped = keeper.stop()
  exits.get('a.3')!()
  await stopped
  expect(models.at(-1)).toEqual([])
  expect(held()).toEqual([])
})

test('one that is wanted again while it goes begins anew', async () => {
  const { keeper, begun, exits } = world()
  keeper.apply([assignment('a', 1)])
  keeper.apply([])
  keeper.apply([assignment('a', 1)])
  exits.get('a.1')!()
  await expect.poll(() => begun).toEqual(['a.1', 'a.1'])
})
