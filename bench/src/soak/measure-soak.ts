import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Ajv } from 'ajv'
import { type Figure, measuredFigure, median, skippedFigure } from '../contract.ts'
import { ServerProcess } from '../serve/server-process.ts'
import { residentBytes } from './resident-memory.ts'
import { SoakClient } from './soak-client.ts'
import { type SoakRequest, SoakRequests } from './soak-requests.ts'
import { type TokenReport, wrongToken } from './token-check.ts'

export interface SoakOptions {
  readonly deosEntry: string
  readonly textPath: string
  readonly cacheDir: string
  readonly minutes: number
  readonly clients: number
  readonly seed: number
  progress(line: string): void
}

const MODEL = 'soak'
/** Little enough that running sessions must make room for each other. */
const KV_MEMORY = '10M'
const SAMPLE_MS = 5_000
/** Greedy answers that are asked for again, alone, at the end. */
const CHECKED_SHARE = 0.05
const MAX_CHECKED = 400
/** Memory of the first part is still growing into its caches. */
const WARM_SHARE = 0.4

const schema = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 12 },
    kind: { enum: ['struct', 'enum', 'trait'] },
    lines: { type: 'integer', minimum: 1, maximum: 99 },
    tags: { type: 'array', items: { type: 'string', maxLength: 6 }, maxItems: 3 },
  },
  required: ['name', 'kind', 'lines', 'tags'],
  additionalProperties: false,
} as const

interface Checked {
  readonly request: Extract<SoakRequest, { kind: 'checked' }>
  readonly answer: TokenReport
}

/** Keeps clients asking until the time is over, and remembers what went wrong. */
class Soak {
  readonly wrong: string[] = []
  readonly checked: Checked[] = []
  readonly counts: Record<SoakRequest['kind'], number> = {
    checked: 0,
    sampled: 0,
    cancelled: 0,
    schema: 0,
    embedding: 0,
  }
  readonly #fits = new Ajv().compile(schema)

  constructor(
    private readonly client: SoakClient,
    private readonly requests: SoakRequests,
  ) {}

  async run(clients: number, endMs: number): Promise<void> {
    const one = async () => {
      while (performance.now() < endMs) {
        const request = this.requests.next()
        try {
          await this.#perform(request)
          this.counts[request.kind] += 1
        } catch (error) {
          this.wrong.push(`${request.kind}: ${error instanceof Error ? error.message : String(error)}`)
        }
      }
    }
    await Promise.all(Array.from({ length: clients }, one))
  }

  async #perform(request: SoakRequest): Promise<void> {
    const { prompt } = request
    switch (request.kind) {
      case 'checked': {
        const answer = await this.client.report(prompt, request.maxTokens)
        const keep = this.checked.length < MAX_CHECKED && this.requests.chance(CHECKED_SHARE)
        if (keep) this.checked.push({ request, answer })
        break
      }
      case 'sampled':
        await this.client.post('/v1/completions', {
          ...{ prompt, max_tokens: request.maxTokens, temperature: 1, seed: request.seed, ignore_eos: true },
        })
        break
      case 'cancelled':
        await this.client.hangUp(prompt, request.afterTokens)
        break
      case 'schema':
        await this.#schema(prompt, request.seed)
        break
      case 'embedding':
        await this.client.post('/v1/embeddings', { input: prompt })
    }
  }

  async #schema(prompt: string, seed: number): Promise<void> {
    const body = (await this.client.post('/v1/chat/completions', {
      ...{ messages: [{ role: 'user', content: prompt }], max_tokens: 120, seed },
      response_format: { type: 'json_schema', json_schema: { name: 'item', strict: true, schema } },
    })) as { choices: readonly { message: { content: string } }[] }
    const { content } = body.choices[0]!.message
    if (!this.#fits(JSON.parse(content))) throw new Error(`does not fit its schema: ${content}`)
  }
}

/** Samples the memory of a process tree until the signal aborts. */
async function watchMemory(server: ServerProcess, signal: AbortSignal): Promise<readonly number[]> {
  const samples: number[] = []
  while (!signal.aborted) {
    const bytes = residentBytes(server.pids())
    if (bytes !== null) samples.push(bytes)
    await sleep(SAMPLE_MS, null, { signal }).catch(() => null)
  }
  return samples
}

/** Memory of the last part beside that of the part after warming up. */
function growth(samples: readonly number[]): number | null {
  const warm = samples.slice(Math.floor(samples.length * WARM_SHARE))
  const third = Math.floor(warm.length / 3)
  return third < 1 ? null : median(warm.slice(-third)) / median(warm.slice(0, third))
}

async function start(options: SoakOptions): Promise<{ server: ServerProcess; url: string }> {
  mkdirSync(options.cacheDir, { recursive: true })
  let ready: (url: string) => void
  const url = new Promise<string>((resolve) => {
    ready = resolve
  })
  const server = new ServerProcess({
    name: 'deos serve',
    file: process.execPath,
    args: [
      ...[options.deosEntry, 'serve', '--json', '--name', MODEL, '--port', '0', '--workers', '2', '--even'],
      ...['--kv-memory', KV_MEMORY, '--context', '1024', '--max-sessions', String(2 * options.clients)],
    ],
    env: { DEOS_HOME: options.cacheDir, DEOS_API_KEY: '', DEOS_LOG_LEVEL: 'warn' },
    logFile: join(options.cacheDir, 'soak.log'),
    onLine: (line) => {
      const event = JSON.parse(line) as { event?: unknown; url?: unknown }
      if (event.event === 'ready') ready(String(event.url))
    },
  })
  return { server, url: await server.whenReady(url) }
}

/** Waits for the last status of the ring to show that everything has ended. */
async function idlePages(client: SoakClient) {
  let pages = await client.pages()
  for (let tries = 0; tries < 50 && pages.free + pages.cached < pages.pages; tries += 1) {
    await sleep(200)
    pages = await client.pages()
  }
  return pages
}

/** Runs the soak and says what leaked, stuck or was wrong. */
export async function measureSoak(options: SoakOptions) {
  const { server, url } = await start(options)
  const client = new SoakClient(url, MODEL)
  try {
    const soak = new Soak(client, new SoakRequests(readFileSync(options.textPath, 'utf8'), options.seed))
    const watching = new AbortController()
    const memory = watchMemory(server, watching.signal)
    options.progress(`${options.clients} clients for ${options.minutes} minutes at ${url}`)
    await soak.run(options.clients, performance.now() + options.minutes * 60_000)
    watching.abort()
    const samples = await memory
    const pages = await idlePages(client)
    options.progress(`checking ${soak.checked.length} answers against runs alone`)
    const wrongTokens: string[] = []
    for (const { request, answer } of soak.checked) {
      const wrong = wrongToken(answer, await client.report(request.prompt, request.maxTokens))
      if (wrong !== null) wrongTokens.push(wrong)
    }
    for (const problem of [...soak.wrong, ...wrongTokens].slice(0, 10)) options.progress(problem)
    return {
      figures: figures(
        soak,
        wrongTokens,
        pages.pages - pages.free - pages.cached,
        growth(samples),
        pages.preemptions,
      ),
      raw: {
        ...{ minutes: options.minutes, clients: options.clients, seed: options.seed, kvMemory: KV_MEMORY },
        ...{ requests: soak.counts, checkedAlone: soak.checked.length, pages },
        ...{ problems: soak.wrong.slice(0, 20), wrongTokens, residentBytes: samples },
      },
    }
  } finally {
    await client.close()
    await server.stop()
  }
}

function figures(
  soak: Soak,
  wrongTokens: readonly string[],
  stuckPages: number,
  memoryGrowth: number | null,
  preemptions: number,
): readonly Figure[] {
  const count = (id: string, value: number, bar?: number) =>
    measuredFigure({
      ...{ id, unit: 'count', better: 'lower', samples: [value] },
      ...(bar === undefined ? {} : { bar }),
    })
  const growthTerms = { id: 'soak.memory.growth', unit: 'ratio', better: 'lower', bar: 1.05 } as const
  const answered = Object.values(soak.counts).reduce((sum, value) => sum + value, 0)
  return [
    measuredFigure({ id: 'soak.requests', unit: 'count', better: 'higher', samples: [answered] }),
    count('soak.requests.failed', soak.wrong.length, 0),
    count('soak.tokens.wrong', wrongTokens.length, 0),
    count('soak.pages.stuck', stuckPages, 0),
    measuredFigure({ id: 'soak.preemptions', unit: 'count', better: 'higher', samples: [preemptions] }),
    memoryGrowth === null
      ? skippedFigure({ ...growthTerms, reason: 'memory of processes cannot be read on this system' })
      : measuredFigure({ ...growthTerms, samples: [memoryGrowth] }),
  ]
}
