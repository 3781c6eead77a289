import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { type ActivationCoding, type LayerRange, ringId, type SamplingParams } from '@deos/domain'
import { rankCount, type StageSplit, unsplit } from '@deos/engine'
import {
  computeUs,
  defaultClientOptions,
  defaultWireLimits,
  plainNeeds,
  type RingCapacity,
  type StageTime,
} from '@deos/protocol'
import {
  defaultHostTiming,
  linkIdentity,
  proxyOption,
  RingConnection,
  systemTimers,
  TcpTransport,
} from '@deos/transport'

export interface LocalRingOptions {
  /** `dist/worker.mjs`. */
  readonly workerEntry: string
  readonly modelPath: string
  /** Each worker's layers, in ring order. */
  readonly layers: readonly LayerRange[]
  readonly threadsPerWorker: number
  /** Among how many workers each stage is divided; default: one. */
  readonly split?: StageSplit
  readonly microbatches: number
  readonly sessions: number
  readonly tokensPerSession: number
  readonly kvBytesPerWorker: number
  readonly cacheDir: string
  /** Share of the machine's speed that each worker uses; default all of it. */
  readonly speeds?: readonly number[]
  /** What each worker's steps take at least; default nothing. */
  readonly paces?: readonly StepPace[]
  /** Default `auto`. */
  readonly prefillChunkTokens?: number
  /** How stages write hidden states for the next; default as they are. */
  readonly activations?: ActivationCoding
  /** Where each worker stands in an emulated network; whoever asks stands beside the first. */
  readonly places?: readonly RingPlace[]
}

/** Of a step, in ms: for itself, for each session that decodes and for each token of prompts. */
export interface StepPace {
  readonly stepMs: number
  readonly sessionMs: number
  readonly promptTokenMs: number
}

export interface RingPlace {
  /** Address to listen on. */
  readonly host: string
  /** Through which everything is dialled. */
  readonly proxy: string
}

export interface GenerationTimes {
  /** Milliseconds from the request to each token's arrival. */
  readonly arrivalsMs: readonly number[]
  readonly tokens: readonly number[]
  /** Milliseconds that the engines of all stages spent on each token. */
  readonly engineMs: readonly number[]
  /** What each token's steps took at each stage. */
  readonly stageTimes: readonly (readonly StageTime[])[]
}

interface WorkerProcess {
  readonly child: ChildProcess
  readonly address: string
  readonly ready: Promise<number>
}

/** A ring of worker processes on loopback, and a connection to it like a gateway's. */
export class LocalRing {
  private readonly workers: WorkerProcess[] = []
  private readonly others: WorkerProcess[] = []
  private connection: RingConnection | null = null
  private transport: TcpTransport | null = null
  private nextRequest = 1
  /** Process ids of each worker and its engine. */
  processIds: readonly (readonly [worker: number, engine: number])[] = []

  private constructor(private readonly options: LocalRingOptions) {}

  static async start(options: LocalRingOptions): Promise<LocalRing> {
    const ring = new LocalRing(options)
    try {
      await ring.launch()
      return ring
    } catch (error) {
      await ring.stop()
      throw error
    }
  }

  /** One greedy generation of exactly `maxTokens` tokens. */
  generate(tokens: Int32Array, maxTokens: number, sampling: SamplingParams): Promise<GenerationTimes> {
    const id = `bench-${this.nextRequest++}`
    const started = performance.now()
    const arrivalsMs: number[] = []
    const produced: number[] = []
    const engineMs: number[] = []
    const stageTimes: (readonly StageTime[])[] = []
    return new Promise((resolve, reject) => {
      this.connection!.generate(
        {
          ...{ id, tokens, maxTokens, stopTokens: [], sampling, deadlineMs: 0 },
          ...{ tenant: 'bench', priority: 0, needs: plainNeeds, pooling: null },
        },
        {
          onToken: ({ sampled, finish, times }) => {
            arrivalsMs.push(performance.now() - started)
            produced.push(sampled.token)
            engineMs.push(computeUs(times) / 1000)
            stageTimes.push(times)
            if (finish !== null) resolve({ arrivalsMs, tokens: produced, engineMs, stageTimes })
          },
          onRejected: (code, message) => reject(new Error(`${code}: ${message}`)),
          onFailed: (code, message) => reject(new Error(`${code}: ${message}`)),
        },
      )
    })
  }

  /** What all of its stages hold; known once it is ready. */
  get capacity(): RingCapacity {
    const reports = this.connection?.status?.reports ?? []
    const least = (of: (capacity: RingCapacity) => number) =>
      Math.min(...reports.map(({ capacity }) => of(capacity)))
    return {
      kvPages: least(({ kvPages }) => kvPages),
      pageTokens: least(({ pageTokens }) => pageTokens),
      contextLength: least(({ contextLength }) => contextLength),
      maxBatchTokens: least(({ maxBatchTokens }) => maxBatchTokens),
    }
  }

  async stop(): Promise<void> {
    this.connection?.stop()
    await this.transport?.stop()
    await Promise.all(
      [...this.workers, ...this.others].map(
        ({ child }) =>
          new Promise<void>((resolve) => {
            if (child.exitCode !== null || child.signalCode !== null) resolve()
            child.once('exit', () => resolve())
            child.kill('SIGKILL')
          }),
      ),
    )
  }

  private async launch(): Promise<void> {
    const secret = randomBytes(32)
    for (const stage of this.options.layers.keys())
      this.workers.push(await this.spawnWorker(stage, 0, secret))
    await this.launchRanks(secret)
    for (const [stage, { child }] of this.workers.entries()) {
      const next = this.workers[(stage + 1) % this.workers.length]!
      if (this.workers.length > 1) child.stdin!.write(`${JSON.stringify({ downstream: next.address })}\n`)
    }
    const engines = await Promise.all(this.workers.map(({ ready }) => ready))
    this.processIds = this.workers.map(({ child }, index) => [child.pid!, engines[index]!])
    await this.connect(secret)
  }

  /** The ranks of each stage besides the one the ring sees. */
  private async launchRanks(secret: Uint8Array): Promise<void> {
    const { split = unsplit } = this.options
    for (const [stage, { address }] of this.workers.entries()) {
      for (let rank = 1; rank < rankCount(split); rank += 1) {
        const worker = await this.spawnWorker(stage, rank, secret)
        worker.child.stdin!.write(`${JSON.stringify({ downstream: address })}\n`)
        this.others.push(worker)
      }
    }
  }

  private connect(secret: Uint8Array): Promise<void> {
    const place = this.options.places?.[0]
    this.transport = new TcpTransport({
      identity: linkIdentity('gateway', 'bench', ringId('bench')),
      secret,
      proxy: proxyOption(place?.proxy),
    })
    const last = this.workers.at(-1)!
    return new Promise((resolve) => {
      this.connection = new RingConnection(
        {
          ...defaultClientOptions,
          ...defaultHostTiming,
          wire: defaultWireLimits,
          leader: this.workers[0]!.address,
          tail: this.workers.length > 1 ? last.address : null,
        },
        {
          transport: this.transport!,
          timers: systemTimers,
          random: { next: Math.random },
          onNote: () => undefined,
          onStatus: (ready) => {
            if (ready) resolve()
          },
        },
      )
      this.connection.start()
    })
  }

  private async spawnWorker(stage: number, rank: number, secret: Uint8Array): Promise<WorkerProcess> {
    const { options } = this
    const place = options.places?.[stage]
    const assignment = {
      ...{
        worker: `w${stage}-${rank}`,
        ring: 'bench',
        stage,
        stages: options.layers.length,
        layers: options.layers[stage],
        split: options.split ?? unsplit,
        rank,
      },
      ...{ listen: `${place?.host ?? '127.0.0.1'}:0`, model: { id: 'bench', path: options.modelPath } },
      ...{ weightType: 'native', kvType: 'F16', kvBytes: options.kvBytesPerWorker },
      ...{ contextLength: options.tokensPerSession, maxBatchTokens: 512, threads: options.threadsPerWorker },
      ...{
        device: null,
        cacheDir: options.cacheDir,
        speed: options.speeds?.[stage] ?? 1,
        ...(options.paces === undefined ? {} : { pace: options.paces[stage] }),
        microbatches: options.microbatches,
      },
      activations: options.activations ?? 'f32',
      ...{ maxSessions: options.sessions, maxQueued: options.sessions },
      // Prompts of a bench repeat, and are to be computed each time.
      ...{ prefixCache: false, prefillChunkTokens: options.prefillChunkTokens ?? 'auto', adapters: [] },
    }
    const child = spawn(
      process.execPath,
      ['--max-semi-space-size=2', '--always-sparkplug', options.workerEntry],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
        env: {
          ...process.env,
          DEOS_ASSIGNMENT: JSON.stringify(assignment),
          DEOS_RING_SECRET: Buffer.from(secret).toString('hex'),
          DEOS_PROXY: place?.proxy ?? '',
        },
      },
    )
    let log = ''
    child.stderr.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString()).slice(-4000)
    })
    const failed = new Promise<never>((_, reject) => {
      child.once('exit', () => reject(new Error(`Worker ${stage} ended: ${log}`)))
    })
    failed.catch(() => undefined)
    const lines = createInterface({ input: child.stdout })
    const event = <T>(name: string, pick: (line: Record<string, unknown>) => T) =>
      new Promise<T>((resolve) => {
        lines.on('line', (text) => {
          const line = JSON.parse(text) as Record<string, unknown>
          if (line.event === name) resolve(pick(line))
        })
      })
    const ready = Promise.race([event('ready', (line) => Number(line.enginePid)), failed])
    ready.catch(() => undefined)
    const address = await Promise.race([event('listening', (line) => String(line.address)), failed])
    return { child, address, ready }
  }
}
