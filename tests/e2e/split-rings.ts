import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { ActivationCoding } from '@deos/domain'
import { LineProcess } from './line-process.ts'

const model = fileURLToPath(new URL('../../models/deos-7m', import.meta.url))

export interface RingShape {
  /** Where stages end. */
  readonly ends: readonly number[]
  /** Share of the machine's speed. */
  readonly speed: number
  /** File of what was learnt of the model; default none. */
  readonly calibration?: string
  /** How each stage writes hidden states for the next; default as they are. */
  readonly activations?: readonly ActivationCoding[]
}

/** Worker processes of one ring that is told nothing of others. */
export class WorkerRing {
  readonly secret = randomBytes(32).toString('hex')
  stages: readonly string[] = []
  readonly workers: readonly LineProcess[]

  constructor(
    readonly name: string,
    { ends, speed, calibration, activations }: RingShape,
    cacheDir: string,
  ) {
    this.workers = ends.map((end, stage) => {
      const assignment = {
        ...{ worker: `${name}-${stage}`, ring: name, stage, stages: ends.length },
        layers: { first: ends[stage - 1] ?? 0, end },
        ...{ listen: '127.0.0.1:0', model: { id: 'deos-7m', path: model }, cacheDir, speed },
        ...{ weightType: 'native', kvType: 'F16', kvBytes: 16 * 1024 * 1024, contextLength: 1024 },
        ...{ maxBatchTokens: 256, threads: 1, device: null, adapters: [], microbatches: ends.length },
        ...(calibration !== undefined && { calibration }),
        ...(activations !== undefined && { activations: activations[stage] }),
        ...{ maxSessions: 8, maxQueued: 8, prefixCache: true, prefillChunkTokens: 64 },
      }
      const env = { DEOS_ASSIGNMENT: JSON.stringify(assignment), DEOS_RING_SECRET: this.secret }
      return new LineProcess('worker.mjs', [], env)
    })
  }

  get log(): string {
    return this.workers.map(({ log }) => log).join('')
  }

  async start(): Promise<void> {
    const listening = this.workers.map((worker) => worker.line(({ event }) => event === 'listening'))
    this.stages = (await Promise.all(listening)).map(({ address }) => String(address))
    for (const [stage, worker] of this.workers.entries()) {
      worker.write({ downstream: this.stages[(stage + 1) % this.stages.length]! })
    }
    await Promise.all(this.workers.map((worker) => worker.line(({ event }) => event === 'ready')))
  }
}

/** A gateway in front of a decode ring and, if there is one, a prefill ring. */
export class SplitGateway {
  readonly #process: LineProcess
  #url = ''

  constructor(decode: WorkerRing, prefill: WorkerRing | null, options: readonly string[] = []) {
    const { stages, name } = decode
    const split =
      prefill === null
        ? []
        : [
            '--stages',
            stages.join(),
            '--prefill-ring',
            prefill.name,
            '--prefill-stages',
            prefill.stages.join(),
          ]
    this.#process = new LineProcess(
      'gateway.mjs',
      [
        ...['--port', '0', '--model', model, '--model-id', 'deos-7m', '--ring', name],
        ...['--leader', stages[0]!, '--tail', stages.at(-1)!, '--resume-patience', '3s'],
        ...['--split-block-tokens', '32', '--log-format', 'json', ...split, ...options],
      ],
      { DEOS_RING_SECRET: decode.secret, DEOS_PREFILL_SECRET: prefill?.secret ?? '', DEOS_API_KEY: '' },
    )
  }

  get log(): string {
    return this.#process.log
  }

  async start(): Promise<void> {
    this.#url = String((await this.#process.line(({ ready }) => ready === true)).url)
    for (;;) {
      const response = await fetch(`${this.#url}/health`)
      const health = JSON.stringify(await response.json())
      // Both rings say what their stages hold.
      if (response.ok && !health.includes('"stages":[]')) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  kill(): void {
    this.#process.kill()
  }

  /** What the gateway's log says, once it says that. */
  async says(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#process.log)) await new Promise((resolve) => setTimeout(resolve, 20))
  }

  async answer(prompt: string, temperature = 0, tokens = 24): Promise<string> {
    const response = await fetch(`${this.#url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'deos-7m',
        prompt,
        max_tokens: tokens,
        temperature,
        seed: 7,
        ignore_eos: true,
      }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${response.status}: ${text}\n${this.log}`)
    return (JSON.parse(text) as { choices: { text: string }[] }).choices[0]!.text
  }

  async counters(): Promise<Readonly<Record<string, unknown>>> {
    const found = /"split":(\{[^}]*\})/.exec(await (await fetch(`${this.#url}/health`)).text())
    return JSON.parse(found?.[1] ?? '{}')
  }
}
