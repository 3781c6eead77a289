import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { planCompare } from '../commands/plan-compare.ts'
import { planServe } from '../commands/plan-serve.ts'
import { planTrain } from '../commands/plan-train.ts'
import { simulate } from '../commands/simulate.ts'
import { Output } from '../output.ts'
import { packageRoot } from '../package-root.ts'
import { PlanFileError } from './plan-file.ts'

const at = (name: string) => join(packageRoot, 'examples', 'planner', name)
const files = (workload: string) => ({
  fleet: at('fleet.yaml'),
  model: at('llama-2-70b.json'),
  workload: at(workload),
})
const figures = z.object({ stepS: z.number() })
const replaySchema = z.object({ predicted: figures, simulated: figures })
let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deos-plan-'))
})
afterAll(async () => {
  process.exitCode = 0
  await rm(folder, { recursive: true })
})

async function printed(json: boolean, work: (output: Output) => Promise<void>): Promise<string> {
  let text = ''
  const stream = () =>
    new Writable({
      write(chunk, _encoding, done) {
        text += String(chunk)
        done()
      },
    })
  const quiet = new Writable({ write: (_chunk, _encoding, done) => done() })
  await work(new Output(json, stream(), quiet))
  return text
}

/** Nothing is fetched: no address but those of namespaces. */
function expectSelfContained(html: string): void {
  expect(html).not.toMatch(/<(script|link|img|iframe)\b/)
  expect(html).not.toMatch(/(src|href)=/)
  expect(html).toContain('prefers-color-scheme:dark')
  expect(html).toContain('name="viewport"')
  expect(html.match(/<svg/g)!.length).toBeGreaterThanOrEqual(3)
  expect(html.match(/<svg/g)!.length).toBe(html.match(/<\/svg>/g)!.length)
  expect(html).not.toMatch(/NaN|undefined|Infinity/)
}

describe('deos plan', () => {
  test('serve prints a table, JSON that can be played, and a page that needs nothing else', async () => {
    const options = { ...files('chat-cheap.yaml'), html: join(folder, 'plan.html'), seed: 1, simulate: false }
    const text = await printed(false, (output) => planServe(options, output))
    expect(text).toContain('Replica 0')
    expect(text).toMatch(/bottleneck {2}replica/)
    expect(text).not.toMatch(/NaN|undefined/)
    expectSelfContained(await readFile(options.html, 'utf8'))
    const json = await printed(true, (output) => planServe(options, output))
    const path = join(folder, 'plan.json')
    await writeFile(path, json)
    const run = { plan: path, workload: null, seed: 7, requests: 200, faults: [] }
    const played: unknown = JSON.parse(await printed(true, (output) => simulate(run, output)))
    expect(played).toMatchObject({ requestsPerS: 0.8, seed: 7, simulated: { finished: 200 } })
    const again: unknown = JSON.parse(await printed(true, (output) => simulate(run, output)))
    expect(again).toEqual(played)
    const machine = /"machine": ?"([^"]+)"/.exec(json)![1]!
    const faults = [{ machine, atMs: 10_000, forMs: 20_000 }]
    const lost: unknown = JSON.parse(await printed(true, (output) => simulate({ ...run, faults }, output)))
    expect(lost).toMatchObject({ simulated: { finished: 200, faults: { unanswered: 0 } } })
    const unknown = [{ machine: 'nowhere', atMs: 0, forMs: null }]
    await expect(printed(true, (output) => simulate({ ...run, faults: unknown }, output))).rejects.toThrow(
      /faults\[0\]\.machine/,
    )
  })

  test('serve says which report it cannot write', async () => {
    const html = join(folder, 'nowhere', 'plan.html')
    const options = { ...files('chat-cheap.yaml'), html, seed: 1, simulate: false }
    await expect(printed(false, (output) => planServe(options, output))).rejects.toThrow(PlanFileError)
  })

  test('serve says why there is no plan, and fails', async () => {
    const workload = join(folder, 'hard.yaml')
    await writeFile(workload, 'kind: serve\npromptTokens: 500\noutputTokens: 100\ntpotMs: 1\n')
    const options = { ...files('chat.yaml'), workload, html: null, seed: 1, simulate: false }
    const text = await printed(false, (output) => planServe(options, output))
    expect(text).toMatch(/^There is no plan\. Latency: not even a lone request/)
    expect(text).toContain('Accept a TPOT of')
    expect(process.exitCode).toBe(1)
  })

  test('simulate refuses what is no plan', async () => {
    const path = join(folder, 'other.json')
    await writeFile(path, '{"schema": "deos.plan.v1", "kind": "refused"}')
    const run = { plan: path, workload: null, seed: 7, requests: 200, faults: [] }
    await expect(printed(true, (output) => simulate(run, output))).rejects.toThrow(/other\.json:1: kind/)
  })

  test('train prints stages and a page, and compare puts published methods beside it', async () => {
    const fleet = join(folder, 'fleet.yaml')
    await writeFile(
      fleet,
      'machines:\n  - { name: a, accelerator: A100-SXM4-80GB, accelerators: 2, region: x }\n  - { name: b, accelerator: A100-SXM4-80GB, accelerators: 2, region: y }\n',
    )
    const workload = join(folder, 'train.yaml')
    await writeFile(workload, 'kind: train\nglobalBatch: 16\nsequenceTokens: 1024\nmicrobatches: [1]\n')
    const options = { fleet, workload, model: at('gpt3-xl.json'), html: join(folder, 'train.html'), seed: 1 }
    const text = await printed(false, (output) => planTrain(options, output))
    expect(text).toMatch(/plan +DP/)
    expect(text).not.toMatch(/NaN|undefined/)
    expectSelfContained(await readFile(options.html, 'utf8'))
    const path = join(folder, 'train.json')
    await writeFile(path, await printed(true, (output) => planTrain(options, output)))
    const run = { plan: path, workload: null, seed: 1, requests: 3, faults: [] }
    const played = replaySchema.parse(JSON.parse(await printed(true, (output) => simulate(run, output))))
    expect(played.simulated.stepS).toBeCloseTo(played.predicted.stepS, 9)
    await writeFile(workload, 'kind: train\nglobalBatch: 32\nsequenceTokens: 1024\nmicrobatches: [1]\n')
    const twice = replaySchema.parse(
      JSON.parse(await printed(true, (output) => simulate({ ...run, workload }, output))),
    )
    expect(twice.simulated.stepS).toBeGreaterThan(1.5 * played.simulated.stepS)
    expect(await printed(false, (output) => simulate(run, output))).toMatch(/the plan says/)
    await writeFile(workload, 'kind: train\nglobalBatch: 16\nsequenceTokens: 1024\nmicrobatches: [1]\n')
    const compared: unknown = JSON.parse(await printed(true, (output) => planCompare(options, output)))
    expect(compared).toMatchObject({
      kind: 'train',
      rows: [
        { name: 'DeOS' },
        { name: 'ZeRO-3' },
        { name: 'Megatron, best static degrees' },
        { name: 'DT-FM' },
      ],
    })
  })
})
