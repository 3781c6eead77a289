import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import { DeosProcess, processesWith, type ReadyEvent } from './deos-process.ts'

const homes: string[] = []
const started: DeosProcess[] = []

afterEach(async () => {
  for (const up of started.splice(0)) {
    up.signal('SIGKILL')
    await up.exit
  }
  for (const home of homes.splice(0)) rmSync(home, { recursive: true, force: true })
})

function start(...words: string[]): { readonly up: DeosProcess; readonly home: string } {
  const home = mkdtempSync(join(tmpdir(), 'deos-up-'))
  const up = new DeosProcess(home, words)
  homes.push(home)
  started.push(up)
  return { up, home }
}

async function complete({ url, model }: ReadyEvent, maxTokens: number): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, prompt: 'Ownership in Rust', max_tokens: maxTokens, temperature: 0 }),
  })
}

async function answer(ready: ReadyEvent, maxTokens = 24): Promise<string> {
  const response = await complete(ready, maxTokens)
  const body = (await response.json()) as { choices?: { text: string }[] }
  expect(response.status, JSON.stringify(body)).toBe(200)
  return body.choices![0]!.text
}

/** Waits until nothing of a run is left; every process of it has the run's home in its environment. */
async function expectNothingLeft(home: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < 20_000; waitedMs += 100) {
    const left = processesWith(`DEOS_HOME=${home}`)
    if (left === null || left.length === 0) return
    await sleep(100)
  }
  expect(processesWith(`DEOS_HOME=${home}`)).toEqual([])
}

test('four workers share the embedded model and answer; Ctrl-C ends all of them', async () => {
  const { up, home } = start('--port', '0')
  const ready = await up.ready()
  const ranges = ready.workers.map(({ layers }) => layers)
  expect(ranges.map(({ first }) => first)).toEqual([0, ...ranges.slice(0, -1).map(({ end }) => end)])
  expect(ranges.at(-1)!.end).toBe(8)
  const pids = [up.pid, ready.gateway.pid, ...ready.workers.map(({ pid }) => pid)]
  expect(new Set(pids).size).toBe(6)
  const text = await answer(ready)
  expect(text.length).toBeGreaterThan(20)
  expect(await answer(ready)).toBe(text)
  up.signal('SIGINT')
  expect(await up.exit).toBe(0)
  expect(up.events.at(-1)).toEqual({ event: 'stopped' })
  await expectNothingLeft(home)
})

test('a plan from a file is what runs: stages divided among ranks give the answer of those that are not', async () => {
  const plain = start('--port', '0', '--weights', 'F32')
  const planned = join(mkdtempSync(join(tmpdir(), 'deos-plan-')), 'plan.json')
  homes.push(dirname(planned))
  const stages = [
    { layers: { first: 0, end: 3 }, split: { tensor: 2 } },
    { layers: { first: 3, end: 8 }, split: { context: 2 } },
  ]
  writeFileSync(planned, JSON.stringify({ stages }))
  const { up } = start('--port', '0', '--weights', 'F32', '--plan', planned)
  const ready = await up.ready()
  expect(ready.workers).toMatchObject([
    { layers: stages[0]!.layers, rank: 0, split: { tensor: 2, experts: 1, context: 1 } },
    { layers: stages[0]!.layers, rank: 1 },
    { layers: stages[1]!.layers, rank: 0, split: { tensor: 1, experts: 1, context: 2 } },
    { layers: stages[1]!.layers, rank: 1 },
  ])
  expect(await answer(ready)).toBe(await answer(await plain.up.ready()))
  const seen = up.events.length
  process.kill(ready.workers[1]!.pid, 'SIGKILL')
  await up.event((event) => event.worker === ready.workers[1]!.worker && event.phase === 'ready', seen)
  expect(await answer(ready)).toBe(await answer(await plain.up.ready()))
})

const plannedFleet = `
machines:
  - name: one-card
    accelerator: { name: card, memoryGiB: 0.02, memoryGBs: 2, fp16Tflops: 0.1, fp32Tflops: 0.1 }
  - name: two cards
    accelerator: { name: small card, memoryGiB: 0.013, memoryGBs: 2, fp16Tflops: 0.1, fp32Tflops: 0.1, peerLinkGBs: 50 }
    accelerators: 2
`
const plannedWorkload = `
kind: serve
promptTokens: 100
outputTokens: 60
contextTokens: 512
maxBatch: 4
goal: throughput
precisions: [fp32]
roles: together
`
const run = promisify(execFile)
const script = fileURLToPath(new URL('../../dist/deos.mjs', import.meta.url))
const embedded = fileURLToPath(new URL('../../models/deos-7m', import.meta.url))

/** The most likely tokens at each place, as the completions API gives them. */
async function likely({ url, model }: ReadyEvent): Promise<readonly Readonly<Record<string, number>>[]> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, prompt: 'Ownership in Rust', max_tokens: 24, temperature: 0, logprobs: 5 }),
  })
  const body = (await response.json()) as {
    choices: { logprobs: { top_logprobs: Record<string, number>[] } }[]
  }
  return body.choices[0]!.logprobs.top_logprobs
}

test('what the planner prints is what runs: a fleet that is not there, played by processes', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'deos-plan-'))
  homes.push(folder)
  const files = { fleet: join(folder, 'fleet.yaml'), workload: join(folder, 'workload.yaml') }
  writeFileSync(files.fleet, plannedFleet)
  writeFileSync(files.workload, plannedWorkload)
  const words = ['plan', 'serve', '--json', '--fleet', files.fleet, '--workload', files.workload]
  const { stdout } = await run(process.execPath, [script, ...words, '--model', embedded])
  const planned = join(folder, 'plan.json')
  writeFileSync(planned, stdout)
  // Rounding K and V to F16 would make differences of the order of sums larger.
  const plain = start('--port', '0', '--weights', 'F32', '--kv', 'F32')
  const { up } = start('--port', '0', '--kv', 'F32', '--plan', planned)
  const ready = await up.ready()
  expect(ready.workers).toMatchObject([
    { worker: '0-one-card.0', layers: { first: 0, end: 3 }, split: { tensor: 1 } },
    { worker: '1-two-cards.0', layers: { first: 3, end: 8 }, rank: 0, split: { tensor: 2 } },
    { worker: '1-two-cards.1', layers: { first: 3, end: 8 }, rank: 1 },
  ])
  expect(ready).toMatchObject({ contextLength: 512 })
  const alone = await plain.up.ready()
  expect(await answer(ready)).toBe(await answer(alone))
  const [actual, expected] = [await likely(ready), await likely(alone)]
  for (const [index, wanted] of expected.entries()) {
    for (const [token, logprob] of Object.entries(wanted)) {
      // The fifth and the next may change places.
      const found = actual[index]![token]
      if (found !== undefined) expect(Math.abs(found - logprob), `place ${index}`).toBeLessThan(1e-4)
    }
  }
})

test('replicas of a plan are rings behind one gateway, and answer when one of them dies', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'deos-plan-'))
  homes.push(folder)
  const files = { fleet: join(folder, 'fleet.yaml'), workload: join(folder, 'workload.yaml') }
  const card = '{ name: card, memoryGiB: 0.05, memoryGBs: 2, fp16Tflops: 0.1, fp32Tflops: 0.1 }'
  writeFileSync(files.fleet, `machines: [{ name: far, accelerator: ${card}, count: 2 }]`)
  writeFileSync(files.workload, plannedWorkload)
  const words = ['plan', 'serve', '--json', '--fleet', files.fleet, '--workload', files.workload]
  const { stdout } = await run(process.execPath, [script, ...words, '--model', embedded])
  const planned = join(folder, 'plan.json')
  writeFileSync(planned, stdout)
  const plain = start('--port', '0', '--weights', 'F32', '--kv', 'F32')
  const { up } = start('--port', '0', '--kv', 'F32', '--plan', planned)
  const ready = await up.ready()
  expect(ready.workers).toMatchObject([
    { worker: expect.stringMatching(/^r0-0-far-\d\.0$/), layers: { first: 0, end: 8 } },
    { worker: expect.stringMatching(/^r1-0-far-\d\.0$/), layers: { first: 0, end: 8 } },
  ])
  const expected = await answer(await plain.up.ready())
  const answers = () => Promise.all(Array.from({ length: 6 }, () => answer(ready)))
  expect(await answers()).toEqual(new Array(6).fill(expected))
  process.kill(ready.workers[0]!.pid, 'SIGKILL')
  expect(await answers()).toEqual(new Array(6).fill(expected))
})

/** Streams an answer; calls `onPiece` with the number of pieces that came so far. */
async function stream({ url, model }: ReadyEvent, onPiece: (count: number) => void): Promise<string> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      ...{ model, prompt: 'Ownership in Rust', max_tokens: 96, temperature: 0, ignore_eos: true },
      stream: true,
    }),
  })
  let text = ''
  let rest = ''
  let count = 0
  for await (const chunk of response.body!) {
    const lines = (rest + Buffer.from(chunk).toString()).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines.filter((each) => each.startsWith('data: {'))) {
      const { choices, error } = JSON.parse(line.slice('data: '.length)) as {
        choices?: { text: string }[]
        error?: { message: string }
      }
      expect(error).toBeUndefined()
      text += choices?.[0]?.text ?? ''
      count += 1
      onPiece(count)
    }
  }
  return text
}

test.each([
  ['first', 0],
  ['second', 1],
  ['last', 3],
])(
  'the %s worker killed in the middle of an answer comes back, and the answer stays what it was',
  async (_, stage) => {
    const { up } = start('--port', '0')
    const ready = await up.ready()
    const undisturbed = await stream(ready, () => undefined)
    const seen = up.events.length
    const { worker, pid } = ready.workers[stage]!
    const disturbed = await stream(ready, (count) => {
      if (count === 8) process.kill(pid, 'SIGKILL')
    })
    expect(disturbed).toBe(undisturbed)
    const back = await up.event((event) => event.worker === worker && event.phase === 'ready', seen)
    expect(back).toMatchObject({ stage })
    expect(await stream(ready, () => undefined)).toBe(undisturbed)
  },
)

test('when "deos serve" itself is killed, its processes end', async () => {
  const { up, home } = start('--port', '0', '--workers', '2')
  await up.ready()
  up.signal('SIGKILL')
  await up.exit
  await expectNothingLeft(home)
})

test('an interrupt while loading leaves nothing behind', async () => {
  const { up, home } = start('--port', '0', '--workers', '2')
  await up.event(({ event }) => event === 'worker')
  up.signal('SIGINT')
  expect(await up.exit).toBe(130)
  await expectNothingLeft(home)
})

test('a port in use is named, with a remedy, and nothing is left running', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  const { port } = taken.address() as { port: number }
  const { up, home } = start('--port', String(port))
  expect(await up.exit).toBe(1)
  expect(up.events).toEqual([{ error: expect.objectContaining({ code: 'PORT_UNAVAILABLE' }) }])
  expect(up.stderr).toContain(`Port ${port} of 127.0.0.1 is already in use.`)
  expect(up.stderr).toContain(`--port ${port + 1}`)
  await expectNothingLeft(home)
  taken.close()
})

test('run and chat answer from a server, and an API key is asked for', async () => {
  const { up, home } = start('--port', '0', '--workers', '2', '--api-key', 'open sesame')
  const { url } = await up.ready()
  const deos = (words: readonly string[], input: string, apiKey: string) =>
    new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
      const script = fileURLToPath(new URL('../../dist/deos.mjs', import.meta.url))
      const child = spawn(process.execPath, [script, ...words, '--url', url], {
        env: { ...process.env, DEOS_HOME: home, DEOS_API_KEY: apiKey },
      })
      let stdout = ''
      let stderr = ''
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk.toString()
      })
      child.stderr.on('data', (chunk: Buffer) => {
        stderr += chunk.toString()
      })
      child.on('close', (code) => resolve({ code, stdout, stderr }))
      child.stdin.end(input)
    })
  const run = ['run', '--seed', '7', '--max-tokens', '12', '--json', 'Ownership in Rust']
  const first = await deos(run, '', 'open sesame')
  expect(first.code, first.stderr).toBe(0)
  const report = JSON.parse(first.stdout) as { text: string; usage: { completion_tokens: number } }
  expect(report.usage.completion_tokens).toBe(12)
  expect(JSON.parse((await deos(run, '', 'open sesame')).stdout)).toMatchObject({ text: report.text })

  const chat = await deos(['chat', '--max-tokens', '6', '--json'], 'Hello\n\nAnd then\n', 'open sesame')
  expect(chat.code, chat.stderr).toBe(0)
  const turns = chat.stdout.trim().split('\n')
  expect(turns.map((turn) => (JSON.parse(turn) as { role: string }).role)).toEqual(['assistant', 'assistant'])

  const denied = await deos(run, '', '')
  expect(denied.code).toBe(1)
  expect(denied.stderr).toContain('DEOS_API_KEY')
})
