import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { EXIT_FAILURE, EXIT_FORCED, type Host, runService, type Service } from './lifecycle.ts'
import { createLogger } from './logging.ts'

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' })

class FakeHost extends EventEmitter implements Host {
  readonly stdin = Object.assign(new EventEmitter(), { resume: () => undefined })
  readonly exited: Promise<number>
  #settle: (code: number) => void = () => undefined
  constructor() {
    super()
    this.exited = new Promise((resolve) => {
      this.#settle = resolve
    })
  }
  exit(code: number): void {
    this.#settle(code)
  }
}

function recordingService(overrides: Partial<Service> = {}): { service: Service; calls: string[] } {
  const calls: string[] = []
  const note = (name: keyof Service) => async (signal?: AbortSignal) => {
    calls.push(name)
    await overrides[name]?.(signal!)
  }
  return { calls, service: { start: note('start'), drain: note('drain'), stop: note('stop') } }
}

const settings = { drainLimitMs: 10_000, endWithStdin: true }

test.each(['SIGINT', 'SIGTERM'])('%s drains, stops and exits with 0', async (signal) => {
  const host = new FakeHost()
  const { service, calls } = recordingService()
  await runService(service, settings, logger, host)
  host.emit(signal)
  expect(await host.exited).toBe(0)
  expect(calls).toEqual(['start', 'drain', 'stop'])
})

test('a second signal forces', async () => {
  const host = new FakeHost()
  const { service, calls } = recordingService({ drain: () => new Promise(() => undefined) })
  await runService(service, settings, logger, host)
  host.emit('SIGINT')
  host.emit('SIGINT')
  expect(await host.exited).toBe(EXIT_FORCED)
  expect(calls).toEqual(['start', 'drain'])
})

test('the limit ends a drain that hangs', async () => {
  const host = new FakeHost()
  let aborted = false
  const { service, calls } = recordingService({
    drain: (signal) =>
      new Promise(() => {
        signal.addEventListener('abort', () => {
          aborted = true
        })
      }),
  })
  await runService(service, { ...settings, drainLimitMs: 1 }, logger, host)
  host.emit('SIGTERM')
  expect(await host.exited).toBe(0)
  expect(aborted).toBe(true)
  expect(calls).toEqual(['start', 'drain', 'stop'])
})

test('the end of standard input drains once', async () => {
  const host = new FakeHost()
  const { service, calls } = recordingService()
  await runService(service, settings, logger, host)
  host.stdin.emit('end')
  host.stdin.emit('close')
  expect(await host.exited).toBe(0)
  expect(calls).toEqual(['start', 'drain', 'stop'])
})

test('standard input is left alone unless asked for', async () => {
  const host = new FakeHost()
  await runService(recordingService().service, { ...settings, endWithStdin: false }, logger, host)
  expect(host.stdin.listenerCount('end')).toBe(0)
})

test.each(['uncaughtException', 'unhandledRejection'])('%s exits with 1', async (event) => {
  const host = new FakeHost()
  await runService(recordingService().service, settings, logger, host)
  host.emit(event, new Error('bug'))
  expect(await host.exited).toBe(EXIT_FAILURE)
})

test.each(['start', 'stop'] as const)('a failing %s exits with 1', async (name) => {
  const host = new FakeHost()
  const { service } = recordingService({ [name]: () => Promise.reject(new Error('no')) })
  await runService(service, settings, logger, host)
  host.emit('SIGTERM')
  expect(await host.exited).toBe(EXIT_FAILURE)
})

test('a start that fails because of a signal is no failure', async () => {
  const host = new FakeHost()
  let fail: (error: Error) => void = () => undefined
  const { service } = recordingService({
    start: () =>
      new Promise((_, reject) => {
        fail = reject
      }),
    stop: async () => {
      fail(new Error('The database was closed.'))
      await new Promise((resolve) => setImmediate(resolve))
    },
  })
  const running = runService(service, settings, logger, host)
  host.emit('SIGTERM')
  await running
  expect(await host.exited).toBe(0)
})
