import { randomBytes } from 'node:crypto'
import { defaultSampling, type LayerRange, ringId } from '@deos/domain'
import { defaultClientOptions, defaultWireLimits, plainNeeds } from '@deos/protocol'
import { defaultHostTiming, linkIdentity, RingConnection, systemTimers, TcpTransport } from '@deos/transport'
import { LineProcess } from './line-process.ts'

export interface RankSplit {
  readonly tensor: number
  readonly experts: number
  readonly context: number
}

export interface RankStage {
  readonly layers: LayerRange
  readonly split: RankSplit
}

/** What each token of an answer was, and what else it might have been. */
export interface Answer {
  readonly tokens: readonly number[]
  /** Of the twenty most likely tokens at each place, by token. */
  readonly logprobs: readonly ReadonlyMap<number, number>[]
  readonly interruptions: number
}

const RING = 'ranks'

/** A ring whose stages are computed by several worker processes each, and a connection to it. */
export class RankRing {
  /** By stage, then rank. */
  readonly workers: readonly (readonly LineProcess[])[]
  readonly #secret = randomBytes(32)
  #connection: RingConnection | null = null
  #transport: TcpTransport | null = null
  #answers = 0

  constructor(model: string, cacheDir: string, stages: readonly RankStage[]) {
    this.workers = stages.map(({ layers, split }, stage) =>
      Array.from({ length: split.tensor * split.experts * split.context }, (_, rank) => {
        const assignment = {
          ...{ worker: `s${stage}-r${rank}`, ring: RING, stage, stages: stages.length, layers, split, rank },
          ...{ listen: '127.0.0.1:0', model: { id: 'tiny', path: model }, cacheDir, speed: 1 },
          ...{ weightType: 'F32', kvType: 'F32', kvBytes: 2 * 1024 * 1024, contextLength: 512 },
          ...{ maxBatchTokens: 128, threads: 1, device: null, adapters: [], microbatches: stages.length },
          ...{ maxSessions: 4, maxQueued: 4, prefixCache: true, prefillChunkTokens: 64 },
        }
        const secret = Buffer.from(this.#secret).toString('hex')
        const env = { DEOS_ASSIGNMENT: JSON.stringify(assignment), DEOS_RING_SECRET: secret }
        return new LineProcess('worker.mjs', [], env)
      }),
    )
  }

  get log(): string {
    return this.workers
      .flat()
      .map(({ log }) => log)
      .join('')
  }

  async start(): Promise<void> {
    const addresses = await Promise.all(
      this.workers.map(async ([first]) => {
        const { address } = await first!.line(({ event }) => event === 'listening')
        return String(address)
      }),
    )
    for (const [stage, [first, ...others]] of this.workers.entries()) {
      const next = addresses[(stage + 1) % addresses.length]!
      if (addresses.length > 1) first!.write({ downstream: next })
      for (const other of others) other.write({ downstream: addresses[stage]! })
    }
    this.#transport = new TcpTransport({
      identity: linkIdentity('gateway', 'tester', ringId(RING)),
      secret: this.#secret,
    })
    await new Promise<void>((resolve) => {
      this.#connection = new RingConnection(
        {
          ...{ ...defaultClientOptions, ...defaultHostTiming, wire: defaultWireLimits },
          ...{ leader: addresses[0]!, tail: addresses.length > 1 ? addresses.at(-1)! : null },
        },
        {
          ...{ transport: this.#transport!, timers: systemTimers, random: { next: () => 0.5 } },
          onNote: () => undefined,
          onStatus: (ready) => {
            if (ready) resolve()
          },
        },
      )
      this.#connection.start()
    })
  }

  /** @param onToken - told after each, before the next */
  answer(
    prompt: Int32Array,
    maxTokens: number,
    onToken: (index: number) => void = () => {},
  ): Promise<Answer> {
    const tokens: number[] = []
    const logprobs: Map<number, number>[] = []
    let interruptions = 0
    this.#answers += 1
    const request = {
      ...{ id: `answer-${this.#answers}`, tokens: prompt, maxTokens, stopTokens: [], deadlineMs: 0 },
      sampling: { ...defaultSampling, temperature: 0, logprobs: 20 },
      ...{ tenant: 'tester', priority: 0, needs: plainNeeds, pooling: null },
    }
    return new Promise((resolve, reject) => {
      this.#connection!.generate(request, {
        onToken: ({ sampled, finish }) => {
          tokens.push(sampled.token)
          const { top = [] } = sampled.logprobs ?? {}
          logprobs.push(new Map(top.map(({ token, logprob }) => [token, logprob])))
          onToken(tokens.length)
          if (finish !== null) resolve({ tokens, logprobs, interruptions })
        },
        onRejected: (code, message) => reject(new Error(`${code}: ${message}`)),
        onFailed: (code, message) => reject(new Error(`${code}: ${message}`)),
        onInterrupted: () => {
          interruptions += 1
        },
      })
    })
  }

  async stop(): Promise<void> {
    this.#connection?.stop()
    await this.#transport?.stop()
    const workers = this.workers.flat()
    for (const worker of workers) worker.kill()
    await Promise.all(workers.map(({ exit }) => exit))
  }
}
