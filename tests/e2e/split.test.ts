import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { type RingShape, SplitGateway, WorkerRing } from './split-rings.ts'

/** Prompts computed by one ring and continued by another, whose stages begin elsewhere. */

const folders: string[] = []
const rings: WorkerRing[] = []
const gateways: SplitGateway[] = []

afterEach(async () => {
  for (const gateway of gateways.splice(0)) gateway.kill()
  const workers = rings.splice(0).flatMap((ring) => ring.workers)
  for (const worker of workers) worker.kill()
  await Promise.all(workers.map(({ exit }) => exit))
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

async function ring(name: string, shape: RingShape): Promise<WorkerRing> {
  const folder = mkdtempSync(join(tmpdir(), 'deos-split-'))
  folders.push(folder)
  const started = new WorkerRing(name, shape, folder)
  rings.push(started)
  await started.start()
  return started
}

async function gateway(
  decode: WorkerRing,
  prefill: WorkerRing | null,
  split = 'always',
): Promise<SplitGateway> {
  const started = new SplitGateway(decode, prefill, ['--split', split])
  gateways.push(started)
  await started.start()
  return started
}

/** What everybody said, for whoever reads of a failure. */
const logs = (split: SplitGateway): string => [split.log, ...rings.map(({ log }) => log)].join('\n')

const words =
  'the river carries light over quiet stones while an old machine counts every passing cloud'.split(' ')
const prompt = (salt: number): string =>
  Array.from({ length: 220 }, (_, at) => words[(at * 7 + salt * ((at % 5) + 1)) % words.length]).join(' ')

const prefillShape = { ends: [3, 8], speed: 1 }
const decodeShape = { ends: [2, 5, 8], speed: 1 }

test('the text is that of one ring alone, greedy and sampled, and prefixes do not travel again', async () => {
  const [prefill, decode, alone] = await Promise.all([
    ring('prefill', prefillShape),
    ring('decode', decodeShape),
    ring('alone', decodeShape),
  ])
  const [split, plain] = await Promise.all([gateway(decode, prefill), gateway(alone, null)])
  for (const [salt, temperature] of [0, 0.8].entries()) {
    const text = await split.answer(prompt(salt), temperature)
    expect(text, logs(split)).toBe(await plain.answer(prompt(salt), temperature))
  }
  const counters = await split.counters()
  expect(counters, logs(split)).toMatchObject({ handed_over: 2, partly: 0, failed: 0, taken_back: 0 })
  expect(await split.answer(prompt(0))).toBe(await plain.answer(prompt(0)))
  expect(await split.counters()).toMatchObject({ handed_over: 2 })
})

test('killing a prefill worker midway costs the missing tail only', async () => {
  const [prefill, decode, alone] = await Promise.all([
    ring('prefill', { ...prefillShape, speed: 0.05 }),
    ring('decode', decodeShape),
    ring('alone', decodeShape),
  ])
  const [split, plain] = await Promise.all([gateway(decode, prefill), gateway(alone, null)])
  const answer = split.answer(prompt(3))
  await split.says(/being|split/)
  await sleep(700)
  prefill.workers[1]!.kill()
  expect(await answer, logs(split)).toBe(await plain.answer(prompt(3)))
  expect(await split.counters(), logs(split)).toMatchObject({ handed_over: 1, partly: 1, taken_back: 0 })
})

test('killing a decode worker before it has the session leaves the answer to the prefill ring', async () => {
  const [prefill, decode, alone] = await Promise.all([
    ring('prefill', { ...prefillShape, speed: 0.15 }),
    ring('decode', decodeShape),
    ring('alone', decodeShape),
  ])
  const [split, plain] = await Promise.all([gateway(decode, prefill), gateway(alone, null)])
  const answer = split.answer(prompt(4))
  await split.says(/being|split/)
  await sleep(300)
  decode.workers[1]!.kill()
  expect(await answer, logs(split)).toBe(await plain.answer(prompt(4)))
  expect(await split.counters(), logs(split)).toMatchObject({ handed_over: 0, taken_back: 1 })
})
