import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { modelId, ringId, workerId } from '@deos/domain'
import { rankCount } from '@deos/engine'
import { openModel } from '@deos/engine/weights/open-model'
import { defaultLeaderOptions, type RingLeaderOptions, type StageEngine } from '@deos/protocol'
import {
  type Logger,
  type Service,
  startTracing,
  systemRandom,
  type Tracing,
  unixSeconds,
} from '@deos/service'
import {
  defaultHostTiming,
  dialBy,
  every,
  formatPeerAddress,
  type HttpProxy,
  type Link,
  linkIdentity,
  machineKey,
  PeerNode,
  parsePeerAddress,
  RingHost,
  ringNetwork,
  systemTimers,
  TcpTransport,
  type Transport,
} from '@deos/transport'
import type { Assignment } from './assignment.ts'
import { ConstrainedEngine, type MaskedEngine } from './constrained-engine.ts'
import type { EngineClient } from './engine-client.ts'
import { EngineSupervisor } from './engine-supervisor.ts'
import { KvBlockStore } from './kv-store/index.ts'
import { BlockCodec, KvExchange, type LoadedCalibration, loadCalibration } from './kv-transfer/index.ts'
import { ModelGrammars } from './model-grammars.ts'
import { ParentChannel } from './parent-channel.ts'
import { RankFollower, RankLeader } from './ranks/index.ts'
import { StageLoadMeter } from './stage-load.ts'
import { TracedEngine } from './traced-engine.ts'

const LOAD_REPORT_MS = 1_000

/** Where a build put the script of another process or thread. */
const entryFile = (name: string): string => join(dirname(fileURLToPath(import.meta.url)), name)

/** One place in one ring: the process that talks to the network and keeps an engine process alive. */
export class Worker implements Service {
  private readonly engine: EngineSupervisor
  /** Where several ranks compute the stage: this one's part in that. */
  private readonly ranks: RankLeader | null
  private follower: RankFollower | null = null
  private readonly parent: ParentChannel
  private readonly grammars: ModelGrammars
  private host: RingHost | null = null
  private exchange: KvExchange | null = null
  private node: PeerNode | null = null
  private constrained: ConstrainedEngine | null = null
  private tracing: Tracing | null = null
  private traced: TracedEngine | null = null
  private loaded: EngineClient | null = null
  private readonly meter = new StageLoadMeter(systemTimers.now())
  private stopReporting: () => void = () => undefined

  constructor(
    private readonly assignment: Assignment,
    private readonly secret: Uint8Array,
    private readonly proxy: HttpProxy | null,
    private readonly logger: Logger,
    private readonly onImpossible: (message: string) => void,
  ) {
    this.parent = new ParentChannel(
      process.stdout,
      process.stdin,
      (address) => (this.follower ?? this.host)?.connectNext(address),
      (line) => logger.warn({ line: line.slice(0, 200) }, 'Unreadable line on standard input.'),
    )
    this.ranks = this.openRanks()
    this.engine = this.superviseEngine()
    this.grammars = new ModelGrammars({
      modelPath: assignment.model.path,
      grammarEntry: entryFile('worker-grammar.mjs'),
      vocabularyEntry: entryFile('worker-vocabulary.mjs'),
    })
  }

  async start(): Promise<void> {
    if (this.assignment.rank > 0) await this.startFollowing()
    else await this.startInRing()
    this.engine.start()
  }

  private async startInRing(): Promise<void> {
    const { assignment } = this
    const { path, fingerprint: known } = assignment.model
    const { config, fingerprint } = await openModel(path, {
      vocabulary: false,
      ...(known !== null && { fingerprint: known }),
    })
    const { calibration: file } = assignment
    const loaded = file === null ? null : await loadCalibration(file, fingerprint)
    const identity = {
      worker: workerId(assignment.worker),
      model: modelId(fingerprint),
      stage: assignment.stage,
      stages: assignment.stages,
      layers: assignment.layers,
      hiddenSize: config.hiddenSize,
      calibration: loaded?.calibration.id ?? null,
    }
    const ring = ringId(assignment.ring)
    this.tracing = await startTracing({ service: 'deos-worker', env: process.env })
    const transport = await this.openTransport(ring)
    this.exchange = await this.openExchange(loaded)
    this.host = new RingHost(
      {
        identity,
        leader: assignment.stage === 0 ? this.leaderOptions(config.vocabSize) : null,
        listen: assignment.listen,
        previousPeer: null,
        ...defaultHostTiming,
      },
      {
        transport,
        timers: systemTimers,
        random: systemRandom,
        onNote: (level, text) => this.logger[level](text),
        handover: this.exchange,
        ...(this.ranks && { acceptRank: (link: Link) => this.ranks!.accept(link) }),
      },
    )
    this.parent.send({ event: 'listening', address: await this.host.start() })
    this.waitAtRelay()
    this.stopReporting = every(systemTimers, LOAD_REPORT_MS, () => this.reportLoad())
  }

  /** The ring does not see this worker; rank 0 tells it what to compute. */
  private async startFollowing(): Promise<void> {
    const { assignment, logger } = this
    this.follower = new RankFollower(assignment.rank, {
      transport: await this.openTransport(ringId(assignment.ring), 'rank'),
      timers: systemTimers,
      random: systemRandom,
      onNote: (text) => logger.warn(text),
    })
  }

  private openRanks(): RankLeader | null {
    const { rank, split } = this.assignment
    if (rank > 0 || rankCount(split) === 1) return null
    return new RankLeader(rankCount(split), {
      onReady: (engine) => {
        this.logger.info({ ...engine.capacity, ranks: rankCount(split) }, 'All ranks of the stage are there.')
        this.host?.attachEngine(this.trace(this.constrain(engine)))
      },
      onLost: (reason) => {
        this.logger.error({ reason }, 'A rank of the stage is lost; all are started again.')
        this.forgetEngine(reason)
      },
    })
  }

  async drain(signal: AbortSignal): Promise<void> {
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    await Promise.race([this.host?.drain(), aborted])
  }

  async stop(): Promise<void> {
    this.stopReporting()
    await this.exchange?.stop()
    await this.host?.stop()
    await this.follower?.stop()
    await this.engine.stop()
    await this.grammars.stop()
    this.traced?.forget('the worker stopped')
    await this.tracing?.stop()
  }

  private async openTransport(
    ring: ReturnType<typeof ringId>,
    role: 'worker' | 'rank' = 'worker',
  ): Promise<Transport> {
    const { worker, machineKey: keyFile } = this.assignment
    const identity = linkIdentity(role, worker, ring)
    const { secret, proxy, logger } = this
    const onRefused = (from: string, error: Error): void => logger.warn({ from }, error.message)
    if (keyFile === null) return new TcpTransport({ identity, secret, proxy, onRefused })
    const onNote = (text: string): void => logger.info(text)
    const key = machineKey(await readFile(keyFile, 'utf8'))
    this.node = new PeerNode({ key, dial: dialBy(proxy), punches: proxy === null, onRefused, onNote })
    return this.node.transport({ identity, secret, onRefused })
  }

  private waitAtRelay(): void {
    const { relay } = this.assignment
    if (this.node === null || relay === null) return
    const { circuit, ...address } = parsePeerAddress(relay)
    if (circuit !== null) this.node.beginWaitingAt(formatPeerAddress({ ...address, circuit: null }), circuit)
  }

  private reportLoad(): void {
    if (this.host === null) return
    const load = this.meter.read(this.host.snapshot(), this.loaded, systemTimers.now(), this.host.nextLink)
    this.parent.send({ event: 'load', ...load })
  }

  private leaderOptions(vocabSize: number): RingLeaderOptions {
    const { stages, microbatches, maxBatchTokens, maxSessions, maxQueued, ...assignment } = this.assignment
    const { prefixCache, prefillChunkTokens } = assignment
    return {
      ...defaultLeaderOptions,
      ...{ stages, microbatches, maxBatchTokens, maxSessions, maxQueued, vocabSize },
      ...{ prefixCache, prefillChunkTokens },
      firstEpoch: unixSeconds(),
    }
  }

  /** Where the head is, outputs can be bound to grammars. */
  private constrain(engine: MaskedEngine): StageEngine {
    const { hasHead, vocabSize, stopTokens } = this.loaded!.report
    if (!hasHead) return engine
    this.constrained = new ConstrainedEngine(engine, this.grammars, {
      vocabSize,
      stopTokens,
      onProblem: (message) => this.logger.warn(message),
    })
    return this.constrained
  }

  /** Where somebody collects traces, what sessions take here is reported. */
  private trace(engine: StageEngine): StageEngine {
    if (this.tracing === null) return engine
    const { ring, stage, layers, model } = this.assignment
    const place = { ring, stage, layers, model: model.id }
    this.traced = new TracedEngine(engine, place, this.tracing, () => Date.now())
    return this.traced
  }

  private async openExchange(loaded: LoadedCalibration | null): Promise<KvExchange> {
    const { worker, kvStoreBytes } = this.assignment
    const { node, proxy } = this
    return new KvExchange({
      worker,
      network: node === null ? ringNetwork(proxy) : { node, proxy },
      timers: systemTimers,
      random: systemRandom,
      onNote: (level, text) => this.logger[level](text),
      codec: new BlockCodec(entryFile('worker-codec.mjs'), loaded),
      store: kvStoreBytes === 0 ? null : await KvBlockStore.open({ memoryBytes: kvStoreBytes, disk: null }),
      computeUs: () => this.loaded?.computeUs ?? 0,
    })
  }

  private useEngine(engine: EngineClient): void {
    if (this.follower) this.follower.attach(engine)
    else if (this.ranks) this.ranks.attach(engine)
    else {
      // K and V of a divided stage lie in parts, which nobody puts together for other rings.
      this.exchange?.attach(engine)
      engine.onStored = (rows) => this.exchange?.stored(rows)
      this.host?.attachEngine(this.trace(this.constrain(engine)))
    }
  }

  private forgetEngine(reason: string): void {
    this.exchange?.attach(null)
    this.host?.detachEngine(reason)
    this.constrained?.forget()
    this.traced?.forget(reason)
  }

  private superviseEngine(): EngineSupervisor {
    const { model, listen: _, ...assignment } = this.assignment
    return new EngineSupervisor({
      entry: entryFile('worker-engine.mjs'),
      assignment: { ...assignment, modelPath: model.path, fingerprint: model.fingerprint },
      networkFirst: assignment.stages > 1 || rankCount(assignment.split) > 1,
      onHand: (to, data) => (this.follower ?? this.ranks)?.hand(to, data),
      onStrayFailure: (reason) => this.follower?.fail(reason),
      onProgress: (doneBytes, totalBytes) => this.parent.send({ event: 'loading', doneBytes, totalBytes }),
      onReady: (engine) => {
        const { kv, ...report } = engine.report
        this.logger.info({ ...report, kvType: kv.type, enginePid: engine.pid }, 'The engine is loaded.')
        this.loaded = engine
        this.useEngine(engine)
        this.parent.send({ event: 'ready', device: engine.report.device, enginePid: engine.pid })
      },
      onLost: (reason) => {
        this.logger.error({ reason }, 'The engine is lost; it is started again.')
        this.loaded = null
        if (this.follower) this.follower.detach(reason)
        else if (this.ranks) this.ranks.detach(reason)
        else this.forgetEngine(reason)
        this.parent.send({ event: 'engine-lost', reason })
      },
      onImpossible: (message) => {
        this.parent.send({ event: 'failed', message })
        this.onImpossible(message)
      },
    })
  }
}
