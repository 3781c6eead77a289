import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { calibration, dishonestCalibration, staleCalibration } from './changed-calibrations.ts'
import { SplitGateway, WorkerRing } from './split-rings.ts'

/** Hand-overs of KV in fewer bytes: by a calibration, with and without loss, and with one that is wrong. */

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

function folder(): string {
  const created = mkdtempSync(join(tmpdir(), 'deos-levels-'))
  folders.push(created)
  return created
}

async function ring(name: string, ends: readonly number[], file: string | null): Promise<WorkerRing> {
  const shape = { ends, speed: 1, ...(file !== null && { calibration: file }) }
  const started = new WorkerRing(name, shape, folder())
  rings.push(started)
  await started.start()
  return started
}

async function gateway(
  decode: WorkerRing,
  prefill: WorkerRing | null,
  file: string | null,
  options: string[],
) {
  const coding = file === null ? [] : ['--kv-calibration', file]
  const started = new SplitGateway(decode, prefill, ['--split', 'always', ...coding, ...options])
  gateways.push(started)
  await started.start()
  return started
}

/** Links so narrow that everything with little enough harm is wanted. */
const narrow = ['--kv-goodput', '1000', '--kv-exposed', '0ms']
const guarded = ['--kv-quality', 'guarded', ...narrow]
const refined = ['--kv-quality', 'refined', ...narrow]

const prefillEnds = [3, 8]
const decodeEnds = [2, 5, 8]

const text = readFileSync(fileURLToPath(new URL('../../models/held-out.txt', import.meta.url)), 'utf8')
const prompt = (salt: number): string => text.slice(20_000 + 3_000 * salt, 21_000 + 3_000 * salt)

/** Bytes for each position that prefill workers say they sent, by request in order. */
async function sentBytes(prefill: WorkerRing, requests: number): Promise<readonly number[]> {
  for (;;) {
    const sent = new Map<string, number>()
    let lines = 0
    for (const found of prefill.log.matchAll(
      /Sent \d+ blocks of (\S+), \d+ again, (\d+) bytes for (\d+) positions/g,
    )) {
      lines += 1
      sent.set(found[1]!, (sent.get(found[1]!) ?? 0) + Number(found[2]) / Number(found[3]))
    }
    if (lines >= requests * prefillEnds.length) return [...sent.values()]
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test('with a calibration fewer bytes travel without loss, and far fewer with a loss that passes the guard', async () => {
  const [prefill, decode, alone] = await Promise.all([
    ring('prefill', prefillEnds, calibration),
    ring('decode', decodeEnds, calibration),
    ring('alone', decodeEnds, null),
  ])
  const [exact, small, plain] = await Promise.all([
    gateway(decode, prefill, null, []),
    gateway(decode, prefill, calibration, guarded),
    gateway(alone, null, null, []),
  ])
  const logs = () => [exact.log, small.log, ...rings.map(({ log }) => log)].join('\n')
  expect(await exact.answer(prompt(0)), logs()).toBe(await plain.answer(prompt(0)))
  expect(await exact.counters(), logs()).toMatchObject({ handed_over: 1, lossy: 0 })
  expect((await small.answer(prompt(1))).length, logs()).toBeGreaterThan(0)
  expect(await small.counters(), logs()).toMatchObject({ handed_over: 1, lossy: 1, refused: 0, failed: 0 })
  expect(small.log).toMatch(/The guard lets it pass: 0\.00\d+ nat over 4 positions/)
  // What follows it finds it where it is kept, and is judged anew.
  expect((await small.answer(`${prompt(1)} and`)).length, logs()).toBeGreaterThan(0)
  expect(await small.counters(), logs()).toMatchObject({ handed_over: 1, lossy: 2, refused: 0 })
  const [whole, part] = await sentBytes(prefill, 2)
  // In halves: 8 layers of 128 keys and 128 values. Links this fast get most of what is exact as it is stored.
  expect(4096 / whole!, logs()).toBeGreaterThan(1)
  expect(4096 / part!, logs()).toBeGreaterThan(5)
})

test('better copies follow a start with loss, where the answer is long enough', async () => {
  const [prefill, decode] = await Promise.all([
    ring('prefill', prefillEnds, calibration),
    ring('decode', decodeEnds, calibration),
  ])
  // At a thousand bytes a second: far more than is needed.
  const split = await gateway(decode, prefill, calibration, [...refined, '--kv-enhance', '3600s'])
  const logs = () => [split.log, ...rings.map(({ log }) => log)].join('\n')
  expect((await split.answer(prompt(4), 0, 400)).length, logs()).toBeGreaterThan(0)
  await split.says(/Better copies at level 1 ended after \d+ ms and [1-9]\d+ bytes: Everything is refined\./)
  expect(await split.counters(), logs()).toMatchObject({ lossy: 1, refused: 0, failed: 0, refined: 1 })
  const { refined_bytes } = await split.counters()
  expect(Number(refined_bytes), logs()).toBeGreaterThan(200_000)
  expect((await split.answer(prompt(5), 0, 24)).length, logs()).toBeGreaterThan(0)
  expect(await split.counters(), logs()).toMatchObject({
    handed_over: 2,
    lossy: 2,
    refined: 1,
    refined_bytes,
  })
})

test('a stale calibration at one side leaves everything exact, and says so', async () => {
  const [prefill, decode, alone] = await Promise.all([
    ring('prefill', prefillEnds, calibration),
    ring('decode', decodeEnds, staleCalibration(folder())),
    ring('alone', decodeEnds, null),
  ])
  const [split, plain] = await Promise.all([
    gateway(decode, prefill, calibration, guarded),
    gateway(alone, null, null, []),
  ])
  const logs = () => [split.log, ...rings.map(({ log }) => log)].join('\n')
  expect(await split.answer(prompt(2)), logs()).toBe(await plain.answer(prompt(2)))
  expect(await split.counters(), logs()).toMatchObject({ handed_over: 1, partly: 0, lossy: 0, refused: 0 })
  expect(split.log).toMatch(/by no calibration: prefill-0 and prefill-1 have [0-9a-f]{16}, decode-0/)
})

test('what a dishonest calibration spoils is refused twice, and then comes exactly', async () => {
  const file = dishonestCalibration(folder())
  const [prefill, decode, alone] = await Promise.all([
    ring('prefill', prefillEnds, file),
    ring('decode', decodeEnds, file),
    ring('alone', decodeEnds, null),
  ])
  const [split, plain] = await Promise.all([
    gateway(decode, prefill, file, guarded),
    gateway(alone, null, null, []),
  ])
  const logs = () => [split.log, ...rings.map(({ log }) => log)].join('\n')
  expect(await split.answer(prompt(3)), logs()).toBe(await plain.answer(prompt(3)))
  expect(await split.counters(), logs()).toMatchObject({ handed_over: 1, partly: 0, lossy: 0, refused: 2 })
  expect(split.log).toMatch(/The guard refuses it/)
  expect(split.log).toMatch(/since it was refused before/)
})
