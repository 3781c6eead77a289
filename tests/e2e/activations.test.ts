import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { type RingShape, SplitGateway, WorkerRing } from './split-rings.ts'

/** Rings whose stages write hidden states in fewer bytes. */

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

async function serve(name: string, activations: RingShape['activations'], speed = 1) {
  const folder = mkdtempSync(join(tmpdir(), 'deos-activations-'))
  folders.push(folder)
  const ring = new WorkerRing(name, { ends: [3, 6, 8], speed, ...(activations && { activations }) }, folder)
  rings.push(ring)
  await ring.start()
  const gateway = new SplitGateway(ring, null)
  gateways.push(gateway)
  await gateway.start()
  return { ring, gateway }
}

const words = 'a ring of machines hands on what it computed and nobody holds the whole of it'.split(' ')
const prompt = (salt: number): string =>
  Array.from({ length: 200 }, (_, at) => words[(at * 5 + salt * ((at % 7) + 1)) % words.length]).join(' ')

test('without loss answers are the same, also where only some stages code; rounded they come too', async () => {
  const [plain, lossless, mixed, rounded] = await Promise.all([
    serve('plain', undefined),
    serve('lossless', ['lossless', 'lossless', 'lossless']),
    serve('mixed', ['f32', 'lossless', 'f32']),
    serve('rounded', ['int4h', 'int8', 'f32']),
  ])
  for (const [salt, temperature] of [0, 0.8].entries()) {
    const text = await plain.gateway.answer(prompt(salt), temperature)
    expect(await lossless.gateway.answer(prompt(salt), temperature)).toBe(text)
    expect(await mixed.gateway.answer(prompt(salt), temperature)).toBe(text)
  }
  expect((await rounded.gateway.answer(prompt(0))).length).toBeGreaterThan(0)
})

test('an engine that dies amid an answer changes nothing of it', async () => {
  const [plain, lossless] = await Promise.all([
    serve('plain', undefined),
    serve('lossless', ['lossless', 'lossless', 'lossless'], 0.05),
  ])
  const worker = lossless.ring.workers[1]!
  const engine = worker.lines.find(({ event }) => event === 'ready')?.enginePid
  const answer = lossless.gateway.answer(prompt(2))
  await sleep(500)
  process.kill(Number(engine), 'SIGKILL')
  await worker.line(({ event }) => event === 'engine-lost')
  expect(await answer, lossless.ring.log).toBe(await plain.gateway.answer(prompt(2)))
})
