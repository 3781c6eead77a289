import {
  balanceLayers,
  defaultSampling,
  type LayerRange,
  modelId,
  type Random,
  ringId,
  seededRandom,
  workerId,
} from '@deos/domain'
import {
  type ClientRequest,
  defaultLeaderOptions,
  defaultWireLimits,
  type EngineStep,
  type FinishReason,
  mostStepsInFlight,
  plainNeeds,
  type RingLeaderOptions,
  type RingSnapshot,
} from '@deos/protocol'
import { type FakeModel, FakeStageEngine, fakeEmbedding, fakeGeneration } from '@deos/protocol/testing'
import { defaultLinkLimits, linkIdentity, MemoryNetwork, RingConnection, RingHost } from '@deos/transport'
import { VirtualTimers } from '@deos/transport/testing'

export interface RingWorldOptions {
  readonly seed: number
  readonly faults: boolean
}

const model: FakeModel = { layers: 5, hiddenSize: 2, vocabSize: 61 }
const adapters = ['up', 'down', 'sideways']
const ring = ringId('sim')
const SECRET = 'secret'
const TICK_MS = 50
/** Requests and faults are drawn into this span; afterwards the world only settles. */
const BUSY_MS = 3_000
const SETTLED_BY_MS = 120_000
const limits = { ...defaultLinkLimits, heartbeatMs: 500, silenceMs: 1_500 }
const reconnect = { firstDelayMs: 20, maxDelayMs: 200 }

/** What became of one request. */
interface Outcome {
  readonly request: ClientRequest
  readonly gateway: number
  readonly tokens: number[]
  readonly ends: string[]
  vector: Float32Array | null
  finish: FinishReason | null
  cancelled: boolean
}

interface Worker {
  readonly stage: number
  readonly layers: LayerRange
  readonly address: string
  host: RingHost
  engine: FakeStageEngine | null
  life: number
}

/** A ring of shipped hosts and machines over fake engines, a delayed network and virtual time, with drawn faults. */
export class RingWorld {
  readonly log: string[] = []
  readonly faults: string[] = []
  readonly #timers = new VirtualTimers()
  readonly #network: MemoryNetwork
  readonly #random: Random
  readonly #workers: Worker[] = []
  readonly #gateways: RingConnection[] = []
  readonly #outcomes: Outcome[] = []
  readonly #generations = new Map<string, readonly number[]>()
  readonly #leader: RingLeaderOptions
  readonly #capacity: { kvPages: number; pageTokens: number; contextLength: number; maxBatchTokens: number }
  readonly #stepMs: readonly number[]
  readonly #stages: number
  readonly #prefixes: readonly Int32Array[]

  constructor(private readonly options: RingWorldOptions) {
    this.#random = seededRandom(options.seed)
    this.#stages = this.#draw(1, 5)
    this.#network = new MemoryNetwork(
      { latencyMs: [0.1, this.#draw(1, 8)] },
      this.#timers,
      seededRandom(options.seed + 1),
    )
    this.#capacity = {
      // Half of the worlds are so small that sessions must make room for each other.
      kvPages: this.#chance(0.5) ? this.#draw(4, 12) : this.#draw(12, 60),
      pageTokens: this.#draw(1, 8),
      contextLength: this.#draw(24, 64),
      maxBatchTokens: this.#draw(4, 24),
    }
    this.#prefixes = Array.from({ length: 3 }, () =>
      Int32Array.from({ length: 64 }, () => this.#draw(0, model.vocabSize - 1)),
    )
    this.#stepMs = Array.from({ length: this.#stages }, () => this.#draw(1, this.#chance(0.2) ? 60 : 10))
    this.#leader = {
      ...defaultLeaderOptions,
      stages: this.#stages,
      microbatches: this.#draw(1, this.#stages + 1),
      maxBatchTokens: this.#draw(2, 24),
      prefillChunkTokens: this.#chance(0.5) ? 'auto' : this.#draw(1, 16),
      prefixCache: this.#chance(0.8),
      maxSessions: this.#draw(1, 20),
      maxQueued: this.#draw(0, 20),
      probeIntervalMs: 200,
      probeTimeoutMs: 800,
      stepTimeoutMs: 3_000,
      readyPatienceMs: 10_000,
      statusIntervalMs: 1_000,
      vocabSize: model.vocabSize,
      firstEpoch: 1,
    }
  }

  /** Runs everything to its end and returns what is wrong; empty if nothing is. */
  async run(): Promise<readonly string[]> {
    await this.#build()
    this.#drawRequests()
    if (this.options.faults) this.#drawFaults()
    const problems: string[] = []
    while (
      this.#timers.now() < SETTLED_BY_MS &&
      (this.#timers.now() < BUSY_MS + 1_000 || this.#unanswered > 0)
    ) {
      await this.#timers.advance(SETTLED_BY_MS)
      problems.push(...this.#brokenBounds())
      if (problems.length > 0) return problems
    }
    // Closes still travel, and a last fault may still be mended.
    await this.#timers.runUntil(this.#timers.now() + 6_000)
    return [...this.#wrongAnswers(), ...(await this.#leftovers())]
  }

  get requests(): number {
    return this.#outcomes.length
  }

  get finished(): number {
    return this.#outcomes.filter((outcome) => outcome.finish !== null).length
  }

  /** Integer in `[min, max]`. */
  #draw(min: number, max: number): number {
    return min + Math.floor(this.#random.next() * (max - min + 1))
  }

  #chance(probability: number): boolean {
    return this.#random.next() < probability
  }

  #note(text: string): void {
    this.log.push(`${this.#timers.now().toFixed(3)} ${text}`)
  }

  async #build(): Promise<void> {
    const ranges = balanceLayers(
      { layers: new Array<number>(model.layers).fill(1), head: 0 },
      new Array<number>(this.#stages).fill(1),
    )
    for (const [stage, layers] of ranges.entries()) {
      const worker = { stage, layers, address: `stage-${stage}`, life: 0, engine: null }
      const host = this.#host(stage, layers, 0)
      this.#workers.push({ ...worker, host })
    }
    for (const worker of this.#workers) await this.#boot(worker)
    const gateways = this.#draw(1, 3)
    for (let index = 0; index < gateways; index++) this.#gateways.push(this.#gateway(index))
    for (const gateway of this.#gateways) gateway.start()
  }

  #host(stage: number, layers: LayerRange, life: number): RingHost {
    const worker = workerId(`worker-${stage}`)
    const { hiddenSize } = model
    return new RingHost(
      {
        identity: { worker, model: modelId('fake'), stage, stages: this.#stages, layers, hiddenSize },
        // Every other life of the leader forgot how far it had counted.
        leader: stage === 0 ? { ...this.#leader, firstEpoch: life % 2 === 0 ? 1 + life * 1_000 : 1 } : null,
        listen: `stage-${stage}`,
        previousPeer: `worker-${(stage + this.#stages - 1) % this.#stages}`,
        tickMs: TICK_MS,
        reconnect,
      },
      {
        transport: this.#network.transport(linkIdentity('worker', worker, ring), SECRET, limits),
        timers: this.#timers,
        random: seededRandom(this.options.seed * 31 + stage * 7 + life),
        onNote: (level, text) => this.#note(`stage ${stage} ${level}: ${text}`),
      },
    )
  }

  async #boot(worker: Worker): Promise<void> {
    await worker.host.start()
    if (this.#stages > 1) worker.host.connectNext(`stage-${(worker.stage + 1) % this.#stages}`)
    this.#load(worker)
  }

  #load(worker: Worker): void {
    const { host } = worker
    this.#timers.after(this.#draw(10, 400), () => {
      if (worker.host !== host || worker.engine !== null) return
      const compute = (step: EngineStep): Promise<void> => this.#compute(worker.stage, step)
      const { layers } = worker
      worker.engine = new FakeStageEngine({ model, layers, capacity: this.#capacity, compute, adapters })
      host.attachEngine(worker.engine)
    })
  }

  #compute(stage: number, step: EngineStep): Promise<void> {
    const total = step.entries.reduce((sum, entry) => sum + entry.count, 0)
    return new Promise((resolve) => {
      this.#timers.after(this.#stepMs[stage]! * (0.9 + this.#random.next() * 0.2) + total * 0.1, resolve)
    })
  }

  #gateway(index: number): RingConnection {
    const peer = `gateway-${index}`
    return new RingConnection(
      {
        leader: 'stage-0',
        tail: this.#stages === 1 ? null : `stage-${this.#stages - 1}`,
        resumePatienceMs: 60_000,
        wire: defaultWireLimits,
        tickMs: TICK_MS,
        reconnect,
      },
      {
        transport: this.#network.transport(linkIdentity('gateway', peer, ring), SECRET, limits),
        timers: this.#timers,
        random: seededRandom(this.options.seed * 17 + index),
        onNote: (level, text) => this.#note(`${peer} ${level}: ${text}`),
        onStatus: () => {},
      },
    )
  }

  #drawRequests(): void {
    const count = this.#draw(5, 40)
    for (let index = 0; index < count; index++) {
      const gateway = this.#draw(0, this.#gateways.length - 1)
      const request = this.#drawRequest(index)
      const sentMs = 1_000 + this.#draw(0, BUSY_MS - 1_000)
      const cancelMs = this.#chance(0.15) ? this.#draw(0, 500) : null
      this.#timers.after(sentMs, () => this.#send(gateway, request))
      if (cancelMs !== null) this.#timers.after(sentMs + cancelMs, () => this.#cancel(gateway, request.id))
    }
  }

  #drawRequest(index: number): ClientRequest {
    const { contextLength } = this.#capacity
    const length = this.#chance(0.05) ? contextLength + this.#draw(0, 3) : this.#draw(1, contextLength - 4)
    const odd = this.#chance(0.05)
    const tokens = Int32Array.from({ length }, () =>
      this.#draw(0, odd ? model.vocabSize : model.vocabSize - 1),
    )
    // Many begin like one of a few others.
    const shared = this.#prefixes[this.#draw(0, 4)]
    if (shared !== undefined) tokens.set(shared.subarray(0, this.#draw(0, length)))
    const pooling = this.#chance(0.1) ? (this.#chance(0.5) ? 'mean' : 'last') : null
    return {
      id: `r${index}`,
      tokens,
      tenant: `t${this.#draw(0, 2)}`,
      priority: this.#chance(0.2) ? this.#draw(-2, 2) : 0,
      needs: pooling === null ? this.#drawNeeds() : plainNeeds,
      pooling,
      maxTokens: this.#draw(1, 24),
      stopTokens: [this.#draw(0, model.vocabSize - 1)],
      sampling: { ...defaultSampling, seed: String(this.#draw(0, 1e9)) },
      deadlineMs: this.#chance(0.2) ? this.#draw(20, 2_000) : 0,
    }
  }

  #drawNeeds(): ClientRequest['needs'] {
    const adapter = this.#chance(0.2) ? this.#drawOf([...adapters, 'unknown']) : null
    const grammar = this.#chance(0.2) ? this.#drawOf(['1,2,3', '7', '60,5', 'not a grammar']) : null
    return { adapter, grammar }
  }

  #drawOf(options: readonly string[]): string {
    return options[this.#draw(0, options.length - 1)]!
  }

  #send(gateway: number, request: ClientRequest): void {
    const outcome: Outcome = {
      request,
      gateway,
      tokens: [],
      vector: null,
      ends: [],
      finish: null,
      cancelled: false,
    }
    this.#outcomes.push(outcome)
    const end = (text: string): void => {
      outcome.ends.push(text)
      this.#note(`${request.id} ends: ${text}`)
    }
    this.#gateways[gateway]!.generate(request, {
      onEmbedding: (vector) => {
        outcome.vector = vector
        end('embedding')
      },
      onToken: ({ index, sampled, finish }) => {
        this.#note(`${request.id} token ${index} = ${sampled.token}`)
        if (index !== outcome.tokens.length) end(`gap: token ${index} after ${outcome.tokens.length}`)
        outcome.tokens.push(sampled.token)
        if (finish === null) return
        outcome.finish = finish
        end(`finish ${finish}`)
      },
      onRejected: (code) => end(`rejected ${code}`),
      onFailed: (code) => end(`failed ${code}`),
      onInterrupted: (message) => this.#note(`${request.id} interrupted: ${message}`),
    })
  }

  #cancel(gateway: number, id: string): void {
    const outcome = this.#outcomes.find((candidate) => candidate.request.id === id)
    if (outcome === undefined || outcome.ends.length > 0) return
    outcome.cancelled = true
    this.#gateways[gateway]!.cancel(id)
  }

  #drawFaults(): void {
    const count = this.#draw(1, 6)
    for (let index = 0; index < count; index++) {
      const atMs = this.#draw(300, BUSY_MS)
      const kind = this.#draw(0, 5)
      const target = this.#draw(0, 1_000)
      this.#timers.after(atMs, () => this.#strike(kind, target))
    }
  }

  #strike(kind: number, target: number): void {
    const worker = this.#workers[target % this.#stages]!
    const open = this.#network.connections
    const link = open[target % Math.max(1, open.length)]
    const fault = (text: string): void => {
      this.faults.push(`${this.#timers.now()} ms: ${text}`)
      this.#note(`FAULT ${text}`)
    }
    switch (kind) {
      case 0:
        if (link === undefined) return
        fault(`cut ${link.from} -> ${link.to}`)
        link.cut('cut by the simulation')
        break
      case 1:
        if (link === undefined) return
        fault(`silence ${link.from} -> ${link.to}`)
        link.silence()
        break
      case 2:
        fault(`engine of stage ${worker.stage} crashes`)
        this.#crashEngine(worker)
        this.#load(worker)
        break
      case 3:
        fault(`engine of stage ${worker.stage} hangs`)
        this.#hang(worker)
        break
      case 4:
        fault(`gateway ${target % this.#gateways.length} restarts`)
        this.#restartGateway(target % this.#gateways.length)
        break
      default:
        fault(`worker ${worker.stage} restarts`)
        void this.#restart(worker)
    }
  }

  #crashEngine(worker: Worker): void {
    if (worker.engine === null) return
    void worker.engine.stop()
    worker.engine = null
    worker.host.detachEngine('crashed by the simulation')
  }

  /** The engine answers no more until it is reset; only the leader's step timeout notices. */
  #hang(worker: Worker): void {
    const { engine } = worker
    if (engine === null) return
    const { step, reset } = engine
    engine.step = () => new Promise(() => {})
    engine.reset = () => {
      Object.assign(engine, { step, reset })
      return engine.reset()
    }
  }

  async #restart(worker: Worker): Promise<void> {
    const me = `worker-${worker.stage}`
    for (const link of this.#network.connections) {
      if (link.from === me || link.to === worker.address) link.cut('process died')
    }
    void worker.engine?.stop()
    worker.engine = null
    worker.life += 1
    const previous = worker.host
    worker.host = this.#host(worker.stage, worker.layers, worker.life)
    const { host } = worker
    await previous.stop()
    this.#timers.after(this.#draw(50, 500), () => {
      if (worker.host === host) void this.#boot(worker)
    })
  }

  /** Its own requests end with it; nobody else's may notice. */
  #restartGateway(index: number): void {
    for (const outcome of this.#outcomes) {
      if (outcome.gateway === index && outcome.ends.length === 0) outcome.cancelled = true
    }
    this.#gateways[index]!.stop()
    this.#gateways[index] = this.#gateway(index)
    this.#gateways[index].start()
  }

  get #unanswered(): number {
    return this.#outcomes.filter((outcome) => outcome.ends.length === 0).length
  }

  #snapshots(): readonly RingSnapshot[] {
    return this.#workers.map((worker) => worker.host.snapshot())
  }

  #brokenBounds(): readonly string[] {
    const { kvPages } = this.#capacity
    const { maxQueued, maxSessions } = this.#leader
    // A ring of one stage runs one step ahead.
    const steps = mostStepsInFlight(this.#stages, this.#leader.microbatches) + (this.#stages === 1 ? 1 : 0)
    const bounds: [string, number, number][] = []
    for (const [stage, { pagesHeld, pendingSteps, leader }] of this.#snapshots().entries()) {
      bounds.push([`pages at stage ${stage}`, pagesHeld, kvPages])
      bounds.push([`steps inside stage ${stage}`, pendingSteps, steps])
      if (leader === null) continue
      bounds.push(['steps in flight', leader.stepsInFlight, steps])
      bounds.push(['sessions', leader.active + leader.queued, maxSessions + maxQueued])
      bounds.push(['active', leader.active, maxSessions])
      bounds.push(['pages held', leader.pagesHeld, kvPages])
    }
    return bounds
      .filter(([, value, limit]) => value > limit)
      .map(([name, value, limit]) => `${name}: ${value} > ${limit}`)
  }

  #wrongAnswers(): readonly string[] {
    return this.#outcomes.flatMap((outcome) => {
      const { request, ends, tokens } = outcome
      if (ends.length !== 1) return [`${request.id} has ${ends.length} answers: ${ends.join(', ')}`]
      const problems: string[] = []
      if (outcome.vector !== null && !this.#isEmbedding(request, outcome.vector)) {
        problems.push(`${request.id} got the vector ${outcome.vector.join(' ')}`)
      }
      if (!this.#plausible(outcome)) problems.push(`${request.id} cannot end as "${ends[0]}"`)
      const expected = this.#expected(request)
      if (tokens.some((token, index) => token !== expected[index])) {
        problems.push(`${request.id} generated ${tokens.join(' ')}, not ${expected.join(' ')}`)
      }
      if (outcome.finish !== null && tokens.length !== expected.length) {
        problems.push(`${request.id} finished after ${tokens.length} of ${expected.length} tokens`)
      }
      return problems
    })
  }

  #plausible({ request, ends, cancelled }: Outcome): boolean {
    const answer = request.pooling === null ? 1 : 0
    const tooLong = request.tokens.length + answer > this.#longest
    const { adapter, grammar } = request.needs
    const foreign = request.tokens.some((token) => token >= model.vocabSize)
    const invalid = foreign || adapter === 'unknown' || grammar === 'not a grammar'
    switch (ends[0]) {
      case 'embedding':
        return request.pooling !== null
      case 'finish stop':
        return request.stopTokens.includes(this.#expected(request).at(-1)!)
      case 'finish length':
        return !request.stopTokens.includes(this.#expected(request).at(-1)!)
      case 'failed cancelled':
        return cancelled
      case 'failed deadline':
        return request.deadlineMs > 0
      case 'rejected prompt_too_long':
        return tooLong
      case 'rejected invalid':
        return invalid
      case 'rejected queue_full':
        // Only the stages know adapters and grammars, and they are asked after the queue.
        return !tooLong && !foreign
      case 'rejected not_ready':
        return this.options.faults
      default:
        return false
    }
  }

  #isEmbedding({ tokens, pooling, needs }: ClientRequest, vector: Float32Array): boolean {
    const expected = fakeEmbedding(model, tokens, pooling!, needs.adapter)
    return expected.every((value, index) => value === vector[index])
  }

  get #longest(): number {
    return Math.min(this.#capacity.contextLength, this.#capacity.kvPages * this.#capacity.pageTokens)
  }

  #expected(request: ClientRequest): readonly number[] {
    const known = this.#generations.get(request.id)
    if (known !== undefined) return known
    const room = Math.max(0, this.#longest - request.tokens.length)
    const maxTokens = Math.min(request.maxTokens, room)
    const { tokens, sampling, stopTokens, needs } = request
    const generation =
      request.pooling === null ? fakeGeneration(model, tokens, sampling, maxTokens, stopTokens, needs) : []
    this.#generations.set(request.id, generation)
    return generation
  }

  /** What should be empty when nobody asks for anything any more. */
  async #leftovers(): Promise<readonly string[]> {
    const problems: string[] = []
    for (const [stage, { sessions, pagesHeld, leader }] of this.#snapshots().entries()) {
      if (sessions > 0) problems.push(`stage ${stage} still has ${sessions} sessions`)
      if (pagesHeld > 0) problems.push(`stage ${stage} still counts ${pagesHeld} pages`)
      if (leader === null) continue
      if (!leader.ready) problems.push('the ring is not ready')
      if (!this.options.faults && leader.faults > 0)
        problems.push(`${leader.faults} faults came from nowhere`)
      const { active, queued, stepsInFlight } = leader
      if (active + queued + stepsInFlight + leader.pagesHeld > 0) {
        problems.push(`the leader holds on to ${JSON.stringify(leader)}`)
      }
    }
    for (const worker of this.#workers) {
      const free = await worker.engine?.freePages()
      if (free !== this.#capacity.kvPages)
        problems.push(`stage ${worker.stage} has ${free} of ${this.#capacity.kvPages} pages`)
    }
    for (const gateway of this.#gateways) {
      if (gateway.open > 0) problems.push(`a gateway still waits for ${gateway.open} answers`)
    }
    return problems
  }
}
