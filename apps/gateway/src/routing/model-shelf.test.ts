import { createLogger } from '@deos/service'
import { expect, onTestFinished, test } from 'vitest'
import { NotReadyError } from '../inference/errors.ts'
import { targetOf } from '../testing/scripted-control-plane.ts'
import { until } from '../testing/start-gateway.ts'
import { openByteWords } from '../testing/start-routed-gateway.ts'
import { ModelShelf, type OpenWords } from './model-shelf.ts'

function start(open: OpenWords) {
  const logger = createLogger({ name: 'gateway', level: 'silent', format: 'json' })
  const shelf = new ModelShelf({ retry: { firstDelayMs: 1, maxDelayMs: 2 } }, open, logger)
  onTestFinished(() => shelf.stop())
  return shelf
}

test('deployments of one model share its words, which are closed when nobody wants them', async () => {
  const opened: string[] = []
  const closed: string[] = []
  const shelf = start(async (model, signal) => {
    opened.push(model.fingerprint)
    const words = await openByteWords(model, signal)
    return { ...words, stop: async () => void closed.push(model.fingerprint) }
  })
  const one = targetOf({ name: 'one', fingerprint: 'x' })
  const two = targetOf({ name: 'two', fingerprint: 'x' })
  shelf.sync([one, two])
  expect(() => shelf.words('x')).toThrow(NotReadyError)
  await until(() => shelf.counts.open === 1)
  expect(shelf.words('x').fingerprint).toBe('x')
  shelf.sync([two])
  expect([opened, closed]).toEqual([['x'], []])
  shelf.sync([])
  await until(() => closed.length === 1)
  expect(() => shelf.words('x')).toThrow(NotReadyError)
})

test('what cannot be opened says why, and is tried again', async () => {
  let tries = 0
  const shelf = start(async (model, signal) => {
    tries += 1
    if (tries < 3) throw new Error('the disk is full')
    return openByteWords(model, signal)
  })
  shelf.sync([targetOf({ fingerprint: 'x' })])
  await until(() => tries > 0)
  await new Promise((resolve) => setTimeout(resolve))
  if (shelf.counts.open === 0) expect(() => shelf.words('x')).toThrow('the disk is full')
  await until(() => shelf.counts.open === 1)
})

test('one that is not wanted any more when it opens is closed', async () => {
  let finish: () => void = () => undefined
  let closed = false
  const shelf = start(async (model, signal) => {
    await new Promise<void>((resolve) => {
      finish = resolve
    })
    const stop = async () => {
      closed = true
    }
    return { ...(await openByteWords(model, signal)), stop }
  })
  shelf.sync([targetOf({ fingerprint: 'x' })])
  shelf.sync([])
  finish()
  await until(() => closed)
})
