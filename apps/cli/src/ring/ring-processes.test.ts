import { ms } from '@deos/domain'
import type { Child, ChildSpec } from '@deos/service'
import { expect, test } from 'vitest'
import { smallModel } from '../testing/small-model.ts'
import { planRing } from './ring-plan.ts'
import { RingProcesses, type WorkerLostError } from './ring-processes.ts'
import { defaultServing } from './serving-settings.ts'
import { evenProfiles, takeProfiles } from './worker-profiles.ts'

const limits = { restarts: 1, windowMs: 10_000, firstDelayMs: 100, longestDelayMs: 1000 }

class FakeChild implements Child {
  readonly written: string[] = []
  readonly signals: string[] = []
  inputEnded = false

  constructor(
    readonly spec: ChildSpec,
    readonly pid: number,
  ) {}

  write(line: string): void {
    this.written.push(line)
  }

  endInput(): void {
    this.inputEnded = true
    this.spec.onExit('ended with code 0', null)
  }

  kill(signal: NodeJS.Signals): void {
    this.signals.push(signal)
  }

  async gone(): Promise<void> {}
}

function world(stages: number) {
  const children: FakeChild[] = []
  const waits: { delayMs: number; then: () => void; cancelled: boolean }[] = []
  const lost: WorkerLostError[] = []
  const plan = planRing({
    ring: 'ring',
    model: { id: 'small', path: '/models/small' },
    config: smallModel,
    profiles: takeProfiles(evenProfiles, stages),
    stages: null,
    weightType: 'native',
    kvType: 'auto',
    contextLength: null,
    kvBytes: null,
    spareBytes: 2 ** 30,
    threads: 1,
    device: null,
    cacheDir: '/cache',
    maxSessions: 1,
    maxQueued: 0,
    serving: defaultServing,
  })
  const processes = new RingProcesses(
    { plan, script: '/dist/worker.mjs', ringSecret: '00', runFolder: '/run', limits },
    { onPhase: () => undefined, onLost: (error) => lost.push(error) },
    {
      startChild: (spec) => {
        const child = new FakeChild(spec, 100 + children.length)
        children.push(child)
        return child
      },
      clock: { now: () => ms(0) },
      after: (delayMs, then) => {
        const wait = { delayMs, then, cancelled: false }
        waits.push(wait)
        return () => {
          wait.cancelled = true
        }
      },
    },
  )
  return { processes, children, waits, lost }
}

const assignmentOf = (child: FakeChild) => JSON.parse(child.spec.env.DEOS_ASSIGNMENT!) as { listen: string }

test('workers get their assignment and the secret, and are linked in a circle', async () => {
  const { processes, children } = world(2)
  const addressed = processes.start()
  expect(children).toHaveLength(2)
  expect(children[0]!.spec.env.DEOS_RING_SECRET).toBe('00')
  expect(assignmentOf(children[1]!)).toMatchObject({ stage: 1, stages: 2, layers: { first: 5, end: 8 } })
  children[0]!.spec.onLine('{"event":"listening","address":"h:0"}')
  children[1]!.spec.onLine('a line that is no message')
  children[1]!.spec.onLine('{"event":"listening","address":"h:1"}')
  expect(await addressed).toEqual(['h:0', 'h:1'])
  expect(children.map(({ written }) => written)).toEqual([['{"downstream":"h:1"}'], ['{"downstream":"h:0"}']])
})

test('a dead worker comes back at its address; one too many deaths is reported with its log', () => {
  const { processes, children, waits, lost } = world(1)
  void processes.start()
  children[0]!.spec.onLine('{"event":"listening","address":"h:0"}')
  children[0]!.spec.onLine('{"event":"ready"}')
  children[0]!.spec.onExit('ended by SIGSEGV', null)
  expect(processes.pids).toEqual([null])
  expect(waits.map(({ delayMs }) => delayMs)).toEqual([100])
  waits[0]!.then()
  expect(assignmentOf(children[1]!).listen).toBe('h:0')
  expect(processes.pids).toEqual([101])
  children[1]!.spec.onExit('ended by SIGSEGV', null)
  expect(lost[0]?.message).toBe('Worker 0-even cannot be kept running: ended by SIGSEGV.')
  expect(lost[0]?.hint).toBe('Its log is /run/worker-0-even.log.')
})

test('stopping ends every input and calls off restarts', async () => {
  const { processes, children, waits, lost } = world(2)
  void processes.start()
  for (const [stage, child] of children.entries()) {
    child.spec.onLine(`{"event":"listening","address":"h:${stage}"}`)
    child.spec.onLine('{"event":"ready"}')
  }
  children[0]!.spec.onExit('ended by SIGKILL', null)
  await processes.stop(1000)
  expect(waits.map(({ cancelled }) => cancelled)).toEqual([true])
  expect(children[1]!.inputEnded).toBe(true)
  expect(lost).toEqual([])
})
