import { DomainError, ms } from '@deos/domain'
import type { ChildSpec } from '@deos/service'
import { expect, test } from 'vitest'
import type { LogLine } from '../logs/log-shipper.ts'
import { HeldStage } from './held-stage.ts'
import type { StageAssignment } from './stage-assignment.ts'

class FetchError extends DomainError {
  readonly code = 'TEST'

  constructor(readonly retriable: boolean) {
    super('No bytes.', 'Wait.')
  }
}

const neighbour = (linkAddress: string | null) => ({ stageId: 'b', machineId: 'm', linkAddress })
const assignment = (next: string | null) =>
  ({
    ...{ stageId: 'a', generation: 3, position: 0, stages: 2, layers: { first: 0, end: 2 }, device: 'CPU' },
    ...{
      model: { name: 'tiny', fingerprint: 'f00d' },
      ring: 'r',
      ringSecret: '5e',
      precision: 'native',
      activations: 'f32',
    },
    ...{ kvBytes: 9, contextTokens: 8, sessions: 1, next: neighbour(next), previous: neighbour(null) },
  }) as unknown as StageAssignment

function world(
  fetch: (attempt: number, onProgress: (fraction: number) => void, signal: AbortSignal) => Promise<string>,
) {
  const specs: ChildSpec[] = []
  const written: string[] = []
  const lines: Omit<LogLine, 'at'>[] = []
  let changes = 0
  let attempts = 0
  const stage = new HeldStage(
    assignment(null),
    {
      ...{
        script: '/w.mjs',
        logFile: '/l',
        limits: { restarts: 1, windowMs: 1e3, firstDelayMs: 1, longestDelayMs: 1 },
      },
      settings: {
        listenHost: '0.0.0.0',
        threads: 1,
        speed: 1,
        cacheDir: '/c',
        machineKey: '/key.pem',
        relay: null,
      },
    },
    {
      models: {
        fetch: async (_, onProgress, signal) => ({
          path: await fetch(++attempts, onProgress, signal),
          calibration: null,
        }),
      },
      startChild: (spec) => {
        specs.push(spec)
        return {
          pid: 7,
          write: (line) => void written.push(line),
          endInput: () => undefined,
          kill: () => spec.onExit('killed', null),
          gone: async () => undefined,
        }
      },
      clock: { now: () => ms(0) },
      after: (_, then) => {
        then()
        return () => undefined
      },
      random: { next: () => -1 }, // no pause between attempts
      advertised: (address) => address.replace('0.0.0.0', 'host'),
      onChange: () => {
        changes += 1
      },
      log: (line) => lines.push(line),
    },
  )
  return { stage, specs, written, lines, attempts: () => attempts, changes: () => changes }
}

test('bytes are asked for until they come, then the process is told where they are', async () => {
  const { stage, specs, written, lines, attempts } = world(async (attempt, onProgress) => {
    onProgress(0.5)
    if (attempt < 3) throw new FetchError(true)
    return '/models/f00d'
  })
  await expect.poll(() => specs.length).toBe(1)
  expect(attempts()).toBe(3)
  expect(lines.filter(({ level }) => level === 'error')).toHaveLength(2)
  const told = JSON.parse(specs[0]!.env.DEOS_ASSIGNMENT!) as object
  expect(told).toMatchObject({ worker: 'a', model: { path: '/models/f00d', fingerprint: 'f00d' } })
  expect(stage.report()).toMatchObject({
    state: 'loading',
    loadedFraction: 0.5,
    linkAddress: null,
    problem: null,
  })
  stage.update(assignment('n:1'))
  specs[0]!.onLine('{"event":"listening","address":"0.0.0.0:5"}')
  expect(written).toEqual(['{"downstream":"n:1"}'])
  specs[0]!.onLine('{"event":"loading","doneBytes":1,"totalBytes":2}')
  expect(stage.report()).toMatchObject({ linkAddress: 'host:5', loadedFraction: 0.75 })
  specs[0]!.onLine('{"event":"ready","device":"CPU","enginePid":8}')
  expect(stage.report()).toMatchObject({ stageId: 'a', generation: 3, state: 'loaded', loadedFraction: 1 })
  expect(stage.pids).toEqual([7, 8])
  specs[0]!.onLine('{"event":"engine-lost","reason":"signal 6"}')
  expect(stage.report()).toMatchObject({ state: 'loading', problem: 'signal 6' })
})

test('what cannot be had fails for good', async () => {
  const { stage, specs } = world(() => Promise.reject(new FetchError(false)))
  await expect.poll(() => stage.report().state).toBe('failed')
  expect(stage.report().problem).toBe('No bytes. Wait.')
  expect(specs).toEqual([])
  await stage.stop()
})

test('small steps of progress are not told at once', async () => {
  const { stage, changes } = world(
    (_, onProgress, signal) =>
      new Promise((_, reject) => {
        for (let percent = 1; percent <= 100; percent += 1) onProgress(percent / 100)
        signal.addEventListener('abort', () => reject(signal.reason))
      }),
  )
  expect(changes()).toBeGreaterThanOrEqual(9)
  expect(changes()).toBeLessThanOrEqual(10)
  await stage.stop()
})

test('one that is let go while its bytes come starts nothing', async () => {
  const { stage, specs } = world(
    (_, __, signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve('/late'))
      }),
  )
  await stage.stop()
  expect(specs).toEqual([])
})
