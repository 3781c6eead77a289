import { ms } from '@deos/domain'
import type { Child, ChildSpec } from '@deos/service'
import { expect, test } from 'vitest'
import { type StagePhase, StageProcess } from './stage-process.ts'

class FakeChild implements Child {
  readonly written: string[] = []
  killed = false

  constructor(
    readonly spec: ChildSpec,
    readonly pid: number,
  ) {}

  say(event: object): void {
    this.spec.onLine(JSON.stringify(event))
  }

  get listen(): string {
    return (JSON.parse(this.spec.env.DEOS_ASSIGNMENT!) as { listen: string }).listen
  }

  write(line: string): void {
    this.written.push(line)
  }

  endInput(): void {}

  kill(): void {
    this.killed = true
    this.spec.onExit('ended by SIGKILL', null)
  }

  async gone(): Promise<void> {}
}

function world() {
  const children: FakeChild[] = []
  const waits: { delayMs: number; then: () => void; cancelled: boolean }[] = []
  const phases: StagePhase[] = []
  const addresses: string[] = []
  const lines: string[] = []
  const process = new StageProcess(
    {
      ...{ script: '/worker.mjs', assignment: { worker: 's' }, ringSecret: '5e', listenHost: '0.0.0.0' },
      ...{
        logFile: '/s.log',
        limits: { restarts: 2, windowMs: 1e4, firstDelayMs: 100, longestDelayMs: 1e3 },
      },
    },
    {
      onPhase: (phase) => phases.push(phase),
      onAddress: (address) => addresses.push(address),
      onLogLine: (line) => lines.push(line),
    },
    {
      startChild: (spec) => {
        children.push(new FakeChild(spec, 100 + children.length))
        return children.at(-1)!
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
  process.start()
  return { process, children, waits, phases, addresses, lines }
}

const listening = { event: 'listening', address: '0.0.0.0:41001' }

test('it is started where any port is free, and linked when both ends are known', () => {
  const { process, children, addresses, phases, lines } = world()
  const child = children[0]!
  expect(child.listen).toBe('0.0.0.0:0')
  expect(child.spec.env.DEOS_RING_SECRET).toBe('5e')
  process.link('h:1')
  expect(child.written).toEqual([])
  child.say(listening)
  process.link('h:1')
  process.link('h:2')
  expect(child.written).toEqual(['{"downstream":"h:1"}', '{"downstream":"h:2"}'])
  expect(addresses).toEqual(['0.0.0.0:41001'])
  child.say({ event: 'loading', doneBytes: 1, totalBytes: 4 })
  child.say({ event: 'ready', device: 'CPU', enginePid: 7 })
  child.spec.onErrorLine!('a line')
  expect(lines).toEqual(['a line'])
  expect(process.pids).toEqual([100, 7])
  expect(phases).toEqual([
    { phase: 'starting' },
    { phase: 'loading', fraction: 0.25 },
    { phase: 'ready', device: 'CPU' },
  ])
})

test('a killed process comes back at its address and is linked again, until it was too often', () => {
  const { process, children, waits, phases, addresses } = world()
  process.link('h:1')
  children[0]!.say(listening)
  children[0]!.say({ event: 'load', ...process.load, activeSessions: 3 })
  expect(process.load.activeSessions).toBe(3)
  children[0]!.spec.onExit('ended by SIGKILL', null)
  expect(process.load.activeSessions).toBe(0)
  waits[0]!.then()
  expect(children[1]!.listen).toBe('0.0.0.0:41001')
  process.link('h:3')
  expect(children[1]!.written).toEqual([])
  children[1]!.say(listening)
  expect(children[1]!.written).toEqual(['{"downstream":"h:3"}'])
  expect(addresses).toHaveLength(1)
  children[1]!.spec.onExit('ended by SIGKILL', null)
  waits[1]!.then()
  children[2]!.spec.onExit('ended by SIGSEGV', null)
  expect(waits).toHaveLength(2)
  expect(phases.at(-1)).toEqual({ phase: 'failed', reason: 'ended by SIGSEGV' })
})

test('one that says why it cannot work is believed', () => {
  const { children, waits, phases } = world()
  children[0]!.say({ event: 'failed', message: 'No memory.' })
  children[0]!.spec.onExit('ended with code 1', null)
  expect(waits).toEqual([])
  expect(phases.at(-1)).toEqual({ phase: 'failed', reason: 'No memory.' })
})

test('stopping kills it and calls off a restart', async () => {
  const first = world()
  await first.process.stop()
  expect(first.children[0]!.killed).toBe(true)
  expect(first.phases).toEqual([{ phase: 'starting' }])
  const second = world()
  second.children[0]!.spec.onExit('ended by SIGKILL', null)
  await second.process.stop()
  expect(second.waits[0]!.cancelled).toBe(true)
})
