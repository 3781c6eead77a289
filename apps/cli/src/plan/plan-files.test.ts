import { catalogue, plainFleet } from '@deos/planner'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fleetOfFile, parseTable } from './fleet-file.ts'
import { PlanFile, PlanFileError } from './plan-file.ts'
import { parseTrace, servingOfFile, trainingOfFile } from './workload-file.ts'

const noTable = () => Promise.reject(new Error('No table was named.'))
const fleet = async (text: string) => fleetOfFile(new PlanFile('fleet.yaml', text), noTable)
const serving = async (text: string) => servingOfFile(new PlanFile('work.yaml', text), noTable)

const good = `
machines:
  - name: a
    accelerator: A100-SXM4-80GB
    count: 2
    region: oregon
  - name: b
    accelerator: { name: mine, memoryGiB: 24, memoryGBs: 900, fp16Tflops: 60 }
    region: ohio
links:
  regions:
    - { from: oregon, to: ohio, latencyMs: 24.5, gbps: 1.1 }
`

describe('a fleet file', () => {
  test('is machines and links', async () => {
    const { machines, links } = await fleet(good)
    expect(machines.map(({ name }) => name)).toEqual(['a-1', 'a-2', 'b'])
    expect(machines[2]!.accelerator).toMatchObject({ name: 'mine', fp8Tflops: null })
    expect(links.regions).toEqual([{ a: 'oregon', b: 'ohio', rate: { delayMs: 24.5, bytesPerS: 1.375e8 } }])
    expect(links.sameSite).toEqual(plainFleet([]).links.sameSite)
  })

  test('may be JSON', async () => {
    const { machines } = await fleet('{"machines": [{"name": "x", "accelerator": "l4", "accelerators": 4}]}')
    expect(machines[0]!.accelerator).toBe(catalogue.find(({ name }) => name === 'L4'))
  })

  test.each([
    ['count: 2', 'count: 0', 'fleet.yaml:5: machines[0].count', ''],
    [
      'count: 2',
      'cont: 2',
      'fleet.yaml:5: machines[0].cont: There is no such field.',
      'Did you mean "count"?',
    ],
    ['A100-SXM4-80GB', 'A1000', 'fleet.yaml:4: machines[0].accelerator: There is no accelerator "A1000"', ''],
    ['name: b', 'name: a', 'fleet.yaml:7: machines[1].name: Another machine has this name.', ''],
    ['name: b', 'name: a-2', 'fleet.yaml:7: machines[1].name: Another machine has this name.', 'appended'],
    [
      'links:',
      'links:\n  measured:\n    - { from: a, to: b, latencyMs: 1, gbps: 1 }',
      'fleet.yaml:12: links.measured[0].from: There is no machine "a".',
      'Did you mean "a-1"?',
    ],
    ['name: b', 'name: *b', 'fleet.yaml:7: Nothing is named &b.', ''],
    [
      'to: ohio',
      'to: texas',
      'fleet.yaml:12: links.regions[0].to: No machine is in the region "texas".',
      'oregon, ohio',
    ],
    ['gbps: 1.1', 'gbps: fast', 'fleet.yaml:12: links.regions[0].gbps', ''],
    ['memoryGBs: 900,', '', 'fleet.yaml:8: machines[1].accelerator', ''],
    ['machines:', 'machines: [', 'fleet.yaml:', 'YAML or JSON'],
  ])('with %s → %s says where', async (from, to, message, hint) => {
    const error: unknown = await fleet(good.replace(from, to)).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(PlanFileError)
    expect(error).toMatchObject({
      message: expect.stringContaining(message),
      hint: expect.stringContaining(hint),
    })
  })

  test('reads tables of links', () => {
    const text = 'from,to,latency_ms,gbps\na-1,b,12.5,0.8\n'
    expect(parseTable('links.csv', text)).toEqual([
      { a: 'a-1', b: 'b', rate: { delayMs: 12.5, bytesPerS: 1e8 } },
    ])
    expect(() => parseTable('links.csv', `${text}b,a-2,-1,2\n`)).toThrow(
      'links.csv:3: "b,a-2,-1,2" is no link.',
    )
    expect(() => parseTable('links.csv', 'a,b,1,2')).toThrow('links.csv:1')
  })
})

test('a table of links names machines of the fleet', async () => {
  const file = new PlanFile('fleet.yaml', good.replace('links:', 'links:\n  measured: links.csv'))
  const table = 'from,to,latency_ms,gbps\na-1,b,12.5,0.8\na-1,c,12.5,0.8\n'
  await expect(fleetOfFile(file, () => Promise.resolve(table))).rejects.toThrow(
    'links.csv: link 2, to: There is no machine "c".',
  )
})

test('a trace knows its lines, empty ones among them, and no time that has no end', () => {
  const head = 'at_ms,prompt_tokens,output_tokens\n'
  expect(() => parseTrace('t.csv', `${head}5,10,10\n\n\n3,10,10\n`)).toThrow(
    't.csv:5: Request 2 comes before',
  )
  expect(() => parseTrace('t.csv', `${head}5,10,10\nInfinity,10,10\n`)).toThrow('t.csv:3: "Infinity,10,10"')
})

describe('a workload file', () => {
  const chat = 'kind: serve\npromptTokens: { mean: 700, p95: 1500 }\noutputTokens: 200\nttftMs: 2000\n'

  test('is what is asked for, with defaults', async () => {
    expect(await serving(chat)).toMatchObject({
      requestsPerS: null,
      promptTokens: { mean: 700, p95: 1500 },
      outputTokens: { mean: 200, p95: 200 },
      contextTokens: 1700,
      goal: 'throughput',
      precisions: ['fp16'],
    })
  })

  test.each([
    [`${chat}goal: speed\n`, 'work.yaml:5: goal'],
    [`${chat}goal: cost\n`, 'work.yaml:1: requestsPerS'],
    [`${chat}contextTokens: 100\n`, 'work.yaml:5: contextTokens'],
    [chat.replace('mean: 700', 'mean: 1600'), 'work.yaml:2: promptTokens.p95'],
    [chat.replace('outputTokens: 200\n', ''), 'work.yaml:1: outputTokens'],
    ['kind: train\n', 'work.yaml:1: kind'],
  ])('%j says where', async (text, message) => {
    const error: unknown = await serving(text).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(PlanFileError)
    expect(error).toMatchObject({ message: expect.stringContaining(message) })
  })

  test('takes lengths and rate from a trace', async () => {
    const trace = 'at_ms,prompt_tokens,output_tokens\n0,100,10\n500,300,30\n1000,200,20\n'
    const file = new PlanFile('work.yaml', 'kind: serve\ntrace: t.csv\n')
    const workload = await servingOfFile(file, async () => trace)
    expect(workload).toMatchObject({ requestsPerS: 2, promptTokens: { mean: 200 }, contextTokens: 330 })
    expect(() => parseTrace('t.csv', `${trace}900,1,1\n`)).toThrow('t.csv:5: Request 4 comes before')
    expect(() => parseTrace('t.csv', `${trace}2000,0,1\n`)).toThrow('t.csv:5: "2000,0,1" is no request.')
  })

  test('of training keeps to what the batch allows', () => {
    const job = trainingOfFile(new PlanFile('t.yaml', 'kind: train\nglobalBatch: 3\nsequenceTokens: 2048\n'))
    expect(job.microbatches).toEqual([1, 2])
    expect(() => trainingOfFile(new PlanFile('t.yaml', 'kind: train\nsequenceTokens: 1\n'))).toThrow(
      'globalBatch',
    )
  })
})

/** Values that may stand anywhere in a file. */
const junk = fc.oneof(
  fc.constantFrom(null, true, '', 'x', -1, 0, 1e308, [], {}, [[]], { a: 1 }),
  fc.double(),
  fc.string(),
)

describe('any file', () => {
  test('is understood or refused with its name, never anything else', async () => {
    const machine = fc.record(
      { name: junk, accelerator: junk, count: junk, accelerators: junk, inside: junk, availability: junk },
      { requiredKeys: [] },
    )
    const described = fc.oneof(
      junk,
      fc.record(
        { machines: fc.oneof(junk, fc.array(fc.oneof(junk, machine))), links: junk },
        { requiredKeys: [] },
      ),
    )
    await fc.assert(
      fc.asyncProperty(described, async (value) => {
        try {
          await fleet(JSON.stringify(value))
        } catch (error) {
          expect(error).toBeInstanceOf(PlanFileError)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('of any bytes is refused with its name', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 60 }), async (text) => {
        for (const read of [fleet, serving]) {
          const error: unknown = await read(text).catch((cause: unknown) => cause)
          expect(error).toBeInstanceOf(PlanFileError)
        }
      }),
      { numRuns: 300 },
    )
  })
})
