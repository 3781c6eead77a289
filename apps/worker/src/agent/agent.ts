import { randomBytes } from 'node:crypto'
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { PieceStore } from '@deos/blobs'
import { type Clock, describeError, type Random } from '@deos/domain'
import { PROTOCOL_VERSION } from '@deos/protocol'
import { connect } from '@deos/sdk'
import { createRunFolder, defaultRestartLimits, type Logger, type Service, startChild } from '@deos/service'
import {
  dialBy,
  formatPeerAddress,
  formatTcpAddress,
  newCircuitName,
  parsePeerAddress,
  parseTcpAddress,
  RelaySeat,
} from '@deos/transport'
import { type FinalError, judgeJoin } from './agent-error.ts'
import type { AgentEvent } from './agent-event.ts'
import type { AgentSettings } from './agent-options.ts'
import { Hardware } from './hardware/hardware.ts'
import type { Inventory } from './hardware/hardware-job.ts'
import { MachineLoadMeter } from './hardware/machine-load.ts'
import { defaultShipping, LogShipper } from './logs/log-shipper.ts'
import type { MachineIdentity } from './machine/machine-identity.ts'
import { Joiner, type Membership } from './membership/joiner.ts'
import { defaultTiming, Session, type SessionTiming } from './membership/session.ts'
import { Backoff, pause } from './pause.ts'
import { findOwnHost } from './peers/own-host.ts'
import { PeerListener } from './peers/peer-listener.ts'
import { HeldStage } from './stages/held-stage.ts'
import { ModelStore } from './stages/model-store.ts'
import type { StageAssignment } from './stages/stage-assignment.ts'
import { StageKeeper } from './stages/stage-keeper.ts'

export interface AgentParts {
  readonly identity: MachineIdentity
  /** Of the software, told when it joins. */
  readonly version: string
  /** Built entries of processes. */
  readonly scripts: { readonly stage: string; readonly hardware: string }
  readonly logger: Logger
  readonly clock: Clock
  readonly random: Random
  readonly timing?: SessionTiming
  readonly tell: (event: AgentEvent) => void
  /** This machine is over for good. Called once, when its stages have ended. */
  readonly onEnd: (error: FinalError) => void
}

const JOIN_FIRST_DELAY_MS = 500
const RELAY_MS = 10_000

const after = (delayMs: number, then: () => void): (() => void) => {
  const timer = setTimeout(then, delayMs)
  return () => clearTimeout(timer)
}

/** A machine of the fleet: joins, says what it is, and holds the stages it is told to. */
export class Agent implements Service {
  readonly #stopped = new AbortController()
  readonly #hardware: Hardware
  readonly #shipper = new LogShipper(defaultShipping, () => new Date())
  readonly #keeper: StageKeeper
  readonly #listener: PeerListener
  #store: PieceStore | null = null
  #models: ModelStore | null = null
  #inventory: Inventory | null = null
  #runFolder = ''
  #ownHost: string | null = null
  /** Where this machine waits for others if they cannot dial it. */
  #relay: string | null = null
  readonly #circuit = newCircuitName()
  #seat: RelaySeat | null = null
  #linkPort = 0
  #membership: Membership | null = null
  #session: Session | null = null
  #running: Promise<void> = Promise.resolve()
  #toldStages = ''

  constructor(
    private readonly settings: AgentSettings,
    private readonly parts: AgentParts,
  ) {
    const { folder, device, memoryLimitBytes, threads, speed, listenHost, linkPort } = settings
    this.#hardware = new Hardware({
      ...{ script: parts.scripts.hardware, folder, device, memoryLimitBytes, threads, speed },
    })
    this.#keeper = new StageKeeper({
      hold: (assignment) => this.#hold(assignment),
      onModels: (fingerprints) => {
        this.#models!.keepOnly(fingerprints).catch((error: unknown) =>
          parts.logger.warn({ reason: describeError(error) }, 'Models could not be cleared away.'),
        )
      },
      onChange: () => this.#stagesChanged(),
    })
    this.#listener = new PeerListener(
      { host: listenHost, port: linkPort },
      {
        identity: () => this.#membership,
        readBlob: (digest, range) => this.#store!.read(digest, range),
        now: Date.now,
        onRefused: (from, problem) =>
          parts.logger.warn({ from, problem }, 'Another machine was turned away.'),
      },
    )
  }

  /** @throws HardwareError, ListenError */
  async start(): Promise<void> {
    const { home, folder, cacheLimitBytes, proxy } = this.settings
    const { logger, tell } = this.parts
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await chmod(folder, 0o700)
    this.#runFolder = createRunFolder(home)
    this.#store = await PieceStore.open(join(home, 'cache', 'blobs'))
    this.#models = new ModelStore(
      { folder: join(folder, 'models'), cacheLimitBytes, proxy },
      this.#store,
      () => this.#client(),
    )
    this.#inventory = await this.#hardware.inventory()
    const address = await this.#listener.start()
    this.#linkPort = parseTcpAddress(address).port
    const devices = this.#inventory.devices.map(({ name }) => name)
    logger.info({ address, devices, url: this.settings.url }, 'The agent is up.')
    tell({ event: 'started', address, devices })
    this.#running = this.#run()
  }

  async drain(signal: AbortSignal): Promise<void> {
    if (this.#session === null) return
    this.parts.tell({ event: 'leaving' })
    const late = new Promise<void>((resolve) =>
      signal.addEventListener('abort', () => resolve(), { once: true }),
    )
    await Promise.race([this.#session.leave(), late])
  }

  async stop(): Promise<void> {
    await this.#session?.goodbye()
    await this.#close()
    await this.#running
  }

  async #close(): Promise<void> {
    this.#stopped.abort(new Error('The agent was stopped.'))
    await this.#keeper.stop()
    this.#seat?.stop()
    await this.#listener.stop()
  }

  #client() {
    if (this.#membership === null) throw new Error('This machine has not joined.')
    return this.#membership.client
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    const joiner = this.#joiner()
    while (!signal.aborted) {
      const joined = await this.#join(joiner, signal)
      if (joined === null) return
      if ('error' in joined) return this.#endFor(joined.error)
      this.#membership = joined
      this.#session = new Session(joined, this.#sessionParts(), signal)
      const end = await this.#session.run()
      this.#session = null
      if (end?.next === 'end') return this.#endFor(end.error)
      if (end !== null)
        this.parts.logger.warn('The control plane does not know this process; it joins again.')
    }
  }

  async #endFor(error: FinalError): Promise<void> {
    await this.#close()
    this.parts.onEnd(error)
  }

  #joiner(): Joiner {
    const { url, token, wantedName, location } = this.settings
    return new Joiner(
      {
        ...{ token, name: wantedName, location, version: this.parts.version },
        process: `process-${randomBytes(12).toString('base64url')}`,
        protocols: { min: PROTOCOL_VERSION, max: PROTOCOL_VERSION },
      },
      {
        identity: this.parts.identity,
        connect: (credential) => connect({ url, token: credential }),
        linkAddress: (relay) => this.#linkAddress(relay),
      },
    )
  }

  /** Null when the agent is stopped. */
  async #join(
    joiner: Joiner,
    signal: AbortSignal,
  ): Promise<Membership | { readonly error: FinalError } | null> {
    const { logger, random, tell, timing = defaultTiming } = this.parts
    const backoff = new Backoff(JOIN_FIRST_DELAY_MS, timing.longestBackoffMs, random)
    while (!signal.aborted) {
      try {
        const membership = await joiner.join(signal)
        const { machineId, name, incarnation, linkAddress } = membership
        this.#takeSeat()
        logger.info({ machineId, name, incarnation, linkAddress }, 'The machine has joined.')
        tell({ event: 'joined', machineId, name, incarnation, linkAddress })
        return membership
      } catch (error) {
        if (signal.aborted) return null
        const verdict = judgeJoin(error, joiner.hasJoined)
        if (verdict.next === 'end') return { error: verdict.error }
        const delayMs = backoff.failed()
        const message = describeError(error)
        logger.warn({ delayMs }, `The machine could not join. ${message}`)
        tell({ event: 'unreachable', message, delayMs })
        await pause(delayMs, signal)
      }
    }
    return null
  }

  async #linkAddress(relay: string | null): Promise<string | null> {
    this.#ownHost = await findOwnHost(this.settings)
    this.#relay = this.#ownHost === null ? relay : null
    if (this.#ownHost !== null) return formatTcpAddress({ host: this.#ownHost, port: this.#linkPort })
    return relay === null ? null : this.#addressAt(relay, this.#circuit)
  }

  #addressAt(relay: string, circuit: string): string {
    const { at } = parsePeerAddress(relay)
    return formatPeerAddress({ at, key: this.parts.identity.publicKey, circuit })
  }

  /** The control plane knows this machine now, and so does its relay. */
  #takeSeat(): void {
    this.#seat?.stop()
    this.#seat = null
    if (this.#relay === null) return
    const { identity, random, logger } = this.parts
    this.#seat = new RelaySeat({
      ...{
        relay: this.#relay,
        circuit: this.#circuit,
        key: identity,
        dial: dialBy(this.settings.proxy),
        random,
      },
      timeoutMs: RELAY_MS,
      onCircuit: ({ stream }) => this.#listener.accept(stream),
      onNote: (text) => logger.warn(text),
    })
    this.#seat.begin()
  }

  #sessionParts() {
    const { logger, random, tell, timing = defaultTiming } = this.parts
    return {
      ...{ keeper: this.#keeper, hardware: this.#hardware, shipper: this.#shipper },
      ...{ logger, random, tell, timing, inventory: this.#inventory! },
      load: new MachineLoadMeter(this.settings.memoryLimitBytes),
      proxy: this.settings.proxy,
    }
  }

  #hold(assignment: StageAssignment): HeldStage {
    const { home, folder, listenHost, threads, speed } = this.settings
    const circuit = newCircuitName()
    const relay = this.#relay
    const { scripts, clock, random, logger } = this.parts
    const log = logger.child({ stage: assignment.stageId })
    return new HeldStage(
      assignment,
      {
        script: scripts.stage,
        limits: defaultRestartLimits,
        logFile: join(this.#runFolder, `stage-${assignment.stageId.replace(/[^\w.-]/g, '_')}.log`),
        settings: {
          ...{ listenHost, threads, speed, cacheDir: join(home, 'cache') },
          machineKey: join(folder, 'key.pem'),
          relay: relay === null ? null : formatPeerAddress({ ...parsePeerAddress(relay), circuit }),
        },
      },
      {
        ...{ models: this.#models!, startChild, clock, after, random },
        advertised: (address) => {
          if (relay !== null) return this.#addressAt(relay, circuit)
          if (this.#ownHost === null) return null
          const { at, key } = parsePeerAddress(address)
          const { port } = parseTcpAddress(at)
          return formatPeerAddress({
            at: formatTcpAddress({ host: this.#ownHost, port }),
            ...{ key, circuit: null },
          })
        },
        onChange: () => this.#stagesChanged(),
        log: (line) => {
          log[line.level](line.message)
          this.#shipper.add(line)
        },
      },
    )
  }

  #stagesChanged(): void {
    this.#session?.stagesChanged()
    const told = this.#describeStages()
    const text = JSON.stringify(told)
    if (text === this.#toldStages) return
    this.#toldStages = text
    this.parts.tell({ event: 'stages', stages: told })
  }

  #describeStages() {
    const assignments = new Map(
      this.#keeper.assigned.map((assignment) => [assignment.stageId as string, assignment]),
    )
    return this.#keeper.reports().flatMap(({ stageId, state, loadedFraction, problem }) => {
      const assignment = assignments.get(stageId)
      if (assignment === undefined) return []
      const { model, layers } = assignment
      return [{ stageId, model: model.name, layers, state, loadedFraction, problem }]
    })
  }
}
