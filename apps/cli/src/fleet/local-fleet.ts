import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock, DomainError } from '@deos/domain'
import {
  controlPlaneFlags,
  createRunFolder,
  defaultRestartLimits,
  type RestartLimits,
  startChild,
} from '@deos/service'
import { builtScript, packageRoot } from '../package-root.ts'
import {
  hasUrl,
  KeptProcess,
  type KeptProcessOptions,
  portAgain,
  type ReadyLine,
} from '../processes/kept-process.ts'
import { checkPort } from '../ring/port-check.ts'
import { type MachinePlace, type MachinePlan, placeMachines } from './machine-plan.ts'
import { parsePlaces } from './wan-places.ts'

const consoleFolder = join(packageRoot, 'dist', 'console')

export interface LocalFleetOptions {
  readonly host: string
  /** Of console and API. */
  readonly controlPort: number
  /** Of models. */
  readonly gatewayPort: number
  /** Where machines keep their identities and model files, and runs their logs. */
  readonly home: string
  /** Of the control plane; `null` keeps nothing. */
  readonly dataFolder: string | null
  /** PostgreSQL instead of the embedded one. */
  readonly databaseUrl: string | null
  /** From which models may be registered by path. */
  readonly modelFolders: readonly string[]
  /** API key that this process uses. */
  readonly key: string
  /** Threads of each machine's engine. */
  readonly threads: number
  /** Network profile between gateway and machines; null is none. */
  readonly wan: string | null
}

export interface LocalFleetObserver {
  onRestart(title: string, reason: string, delayMs: number): void
}

/** Where a fleet is reached. */
export interface FleetAddresses {
  readonly controlUrl: string
  readonly gatewayUrl: string
  /** Signs the first owner in; `null` once there is one. */
  readonly setupUrl: string | null
}

const clock: Clock = { now: () => performance.now() as ReturnType<Clock['now']> }

const after = (delayMs: number, then: () => void): (() => void) => {
  const timer = setTimeout(then, delayMs)
  return () => clearTimeout(timer)
}

/** Nobody finds an emulator again that comes back at other ports. */
const wanLimits: RestartLimits = { ...defaultRestartLimits, restarts: 0 }
/** Machines that go for a while come back: they may fall more often than what everybody depends on. */
const machineLimits: RestartLimits = { ...defaultRestartLimits, restarts: 20 }
/** Fenced, refused, or its key is in use. */
const agentFinalCodes = new Set([3, 4, 5])
const STOP_MS = 12_000

/** A control plane, a gateway and machines on one computer, each a process that is kept alive. */
export class LocalFleet {
  readonly runFolder: string
  /** Rejects when a process dies for good; never resolves. */
  readonly lost: Promise<never>
  #lose: (error: DomainError) => void = () => undefined
  readonly #gatewayToken = `deos_g_${randomBytes(32).toString('base64url')}`
  #places: readonly MachinePlace[] = []
  readonly #processes: { readonly name: string; readonly kept: KeptProcess }[] = []

  constructor(
    private readonly options: LocalFleetOptions,
    private readonly observer: LocalFleetObserver,
  ) {
    this.runFolder = createRunFolder(options.home)
    this.lost = new Promise((_, reject) => {
      this.#lose = reject
    })
    this.lost.catch(() => undefined)
  }

  /** Process ids by name: `control-plane`, `gateway` and the machines'. */
  get pids(): Readonly<Record<string, number | null>> {
    return Object.fromEntries(this.#processes.map(({ name, kept }) => [name, kept.pid]))
  }

  /** Starts control plane and gateway. @throws PortError, ProcessLostError */
  async start(): Promise<FleetAddresses> {
    const { host, controlPort, gatewayPort } = this.options
    await checkPort(host, controlPort, '--control-port')
    await checkPort(host, gatewayPort)
    const { wan } = this.options
    if (wan !== null) this.#places = parsePlaces(await this.#keep(this.#network(wan)))
    const control = await this.#keep(this.#controlPlane())
    const controlUrl = String(control.url)
    const gateway = await this.#keep(this.#gateway(controlUrl))
    return {
      controlUrl,
      gatewayUrl: String(gateway.url),
      setupUrl: typeof control.setupUrl === 'string' ? control.setupUrl : null,
    }
  }

  /** Starts machines that join by a token, unless the control plane knows them. Returns when they have joined. */
  async addMachines(machines: readonly MachinePlan[], controlUrl: string, joinToken: string): Promise<void> {
    const placed = placeMachines(machines, this.#places)
    await Promise.all(placed.map((machine) => this.#keep(this.#machine(machine, controlUrl, joinToken))))
  }

  /** Ends every process: first those that take requests, last the one that knows everything. */
  async stop(patience = 1): Promise<void> {
    const isNetwork = ({ name }: { readonly name: string }) => name === 'network'
    const network = this.#processes.find(isNetwork)?.kept
    const others = this.#processes.filter((process) => !isNetwork(process))
    const [control, gateway, ...machines] = others.map(({ kept }) => kept)
    await gateway?.stop(STOP_MS * patience)
    await Promise.all(machines.map((machine) => machine.stop(STOP_MS * patience)))
    await control?.stop(STOP_MS * patience)
    await network?.stop(STOP_MS * patience)
  }

  async #keep(options: KeptProcessOptions): Promise<ReadyLine> {
    const { title, name } = options
    const kept = new KeptProcess(
      options,
      {
        onRestart: (reason, delayMs) => this.observer.onRestart(title, reason, delayMs),
        onLost: (error) => this.#lose(error),
      },
      { startChild, clock, after },
    )
    this.#processes.push({ name, kept })
    return Promise.race([kept.start(), this.lost])
  }

  #network(profile: string): KeptProcessOptions {
    return {
      title: 'The network emulator',
      name: 'network',
      script: builtScript('wan'),
      runFolder: this.runFolder,
      limits: wanLimits,
      isReady: ({ event }) => event === 'ready',
      args: () => ['--profile', profile, '--supervised'],
      env: {},
    }
  }

  #controlPlane(): KeptProcessOptions {
    const { host, controlPort, gatewayPort, dataFolder, databaseUrl, modelFolders, key } = this.options
    return {
      title: 'The control plane',
      name: 'control-plane',
      script: builtScript('control-plane'),
      nodeFlags: controlPlaneFlags,
      runFolder: this.runFolder,
      limits: defaultRestartLimits,
      isReady: hasUrl,
      args: (url) => [
        ...['--host', host, '--port', portAgain(controlPort, url)],
        ...(dataFolder === null ? [] : ['--data', dataFolder]),
        ...(existsSync(join(consoleFolder, 'index.html')) ? ['--console', consoleFolder] : []),
        ...['--model-folders', modelFolders.join(',')],
        ...(gatewayPort === 0 ? [] : ['--gateway-url', `http://${host}:${gatewayPort}`]),
      ],
      env: {
        DEOS_GATEWAY_TOKEN: this.#gatewayToken,
        DEOS_BOOTSTRAP_KEY: key,
        DATABASE_URL: databaseUrl ?? '',
      },
    }
  }

  #gateway(controlUrl: string): KeptProcessOptions {
    const { host, gatewayPort, home } = this.options
    return {
      title: 'The gateway',
      name: 'gateway',
      script: builtScript('gateway'),
      runFolder: this.runFolder,
      limits: defaultRestartLimits,
      isReady: hasUrl,
      args: (url) => [
        ...['--host', host, '--port', portAgain(gatewayPort, url)],
        ...['--control-plane', controlUrl, '--cors-origins', new URL(controlUrl).origin],
        ...['--cache', join(home, 'gateway')],
      ],
      // What this process was given for itself means nothing to the gateway.
      env: {
        DEOS_GATEWAY_TOKEN: this.#gatewayToken,
        DEOS_API_KEY: '',
        ...proxyOf(this.#places[0] ?? null),
      },
    }
  }

  #machine(plan: MachinePlan, controlUrl: string, token: string): KeptProcessOptions {
    const { name, speed, memoryBytes, place } = plan
    const { home, threads } = this.options
    return {
      title: `Machine ${name}`,
      name,
      script: builtScript('agent'),
      runFolder: this.runFolder,
      limits: machineLimits,
      isReady: ({ event }) => event === 'joined',
      finalCodes: agentFinalCodes,
      args: () => [
        ...['--url', controlUrl, '--home', home, '--name', name],
        ...['--region', place?.region ?? 'local', '--provider', place?.provider ?? 'this-computer'],
        ...(place === null ? [] : ['--listen', place.host]),
        ...['--threads', String(threads), '--speed', String(speed), '--memory', String(memoryBytes)],
        // They end together, when nothing runs any more: there is nowhere to move stages to.
        ...['--supervised', '--drain-limit', '0ms'],
      ],
      env: { DEOS_TOKEN: token, ...proxyOf(place) },
    }
  }
}

/** What this process was given for itself does not lead to places of an emulated network. */
const proxyOf = (place: MachinePlace | null): Readonly<Record<string, string>> =>
  place === null ? {} : { DEOS_PROXY: place.proxy }
