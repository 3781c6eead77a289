import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Handlers, ProblemMapping, Routes } from '@deos/api'
import { type OrganisationId, organisationId } from '@deos/domain'
import { deploymentStatus, listMachines } from '@deos/fleet'
import { currency } from '@deos/ledger'
import { inKvBlocks, planningPlacer, ringPlacer } from '@deos/planner'
import { PROTOCOL_VERSION } from '@deos/protocol'
import {
  findInstallation,
  ListenError,
  type Logger,
  Metrics,
  type Service,
  systemClock,
  systemIds,
  systemRandom,
} from '@deos/service'
import { formatPeerAddress, Relay, seededKey, systemTimers } from '@deos/transport'
import { Background, type ClaimedWork } from './background.ts'
import { Claims } from './cluster/claims.ts'
import { ClusterSecrets } from './cluster/cluster-secrets.ts'
import type { ControlPlaneConfig } from './config.ts'
import type { Database } from './database/database.ts'
import { openDatabase } from './database/open-database.ts'
import { organisations } from './database/schema/index.ts'
import {
  Assignments,
  aliasHandlers,
  assignmentHandlers,
  DeploymentLog,
  DeploymentService,
  decisionHandlers,
  deploymentHandlers,
  deploymentProblems,
  deploymentsStream,
  fleetOf,
  layerSources,
  RingAccess,
} from './deployments/index.ts'
import { EventSourced } from './events/event-sourced.ts'
import { EventStore } from './events/event-store.ts'
import type { Caller } from './http/caller.ts'
import { Credentials } from './http/credentials.ts'
import { StoredIdempotency } from './http/idempotency.ts'
import { createHttpServer } from './http/server.ts'
import { LedgerStore } from './ledger/ledger-store.ts'
import {
  defaultUsableShare,
  fleetStream,
  MachineService,
  machineHandlers,
  machineProblems,
  workerHandlers,
} from './machines/index.ts'
import {
  BlobReader,
  gatewayBlobHandlers,
  ModelRegistry,
  modelHandlers,
  modelProblems,
  workerBlobHandlers,
} from './models/index.ts'
import { spentOf } from './observation/budgets.ts'
import { Charging, chargingProblems } from './observation/charging.ts'
import { eventHandlers } from './observation/event-handlers.ts'
import { gatewayHandlers } from './observation/gateway-handlers.ts'
import { ledgerHandlers } from './observation/ledger-handlers.ts'
import { requestHandlers } from './observation/request-handlers.ts'
import { forgetOld } from './observation/retention.ts'
import { type SampleSource, takeSamples } from './observation/samples.ts'
import { sampleMs } from './observation/series.ts'
import { StatusBoard, statusHandlers } from './observation/status.ts'
import { usageHandlers } from './observation/usage-handlers.ts'
import { operations } from './operations.ts'
import { createPeople } from './people/people.ts'
import { RoutingFeed, routingHandlers } from './routing/index.ts'

const installation = findInstallation(import.meta.url)

/** Versions of the protocol between machines and control plane that are spoken. */
const workerProtocols = { min: PROTOCOL_VERSION, max: PROTOCOL_VERSION }
/** Minor versions that a machine may be older, so that a fleet can be updated machine by machine. */
const olderMinors = 2
/** Engines hand memory for KV out in blocks of so many tokens. */
const kvBlockTokens = 256
const overdueEveryMs = 5_000
const retentionEveryMs = 600_000
const stopLimitMs = 5_000

const problems: ProblemMapping = {
  ...machineProblems,
  ...deploymentProblems,
  ...modelProblems,
  ...chargingProblems,
}

/**
 * Time since the epoch that never jumps: leases go by it. The wall clock says only when the process began.
 */
function steadyClock(): () => Date {
  const startedMs = Date.now() - systemClock.now()
  return () => new Date(Math.floor(startedMs + systemClock.now()))
}

/** Where a listening process is reached, as a client of this machine would write it. */
function addressOf(host: string, port: number): string {
  const everywhere = host === '0.0.0.0' || host === '::'
  return `http://${everywhere ? 'localhost' : host.includes(':') ? `[${host}]` : host}:${port}`
}

/** A port that nobody listens on now. Links name it, so it must be known before anything is printed. */
function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (cause) => reject(ListenError.of(host, 0, cause)))
    server.listen({ host, port: 0 }, () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

const modelsUrl = (gatewayUrl: string | null): string | null =>
  gatewayUrl === null ? null : `${gatewayUrl.replace(/\/+$/, '')}/v1`

const originOf = (url: string): readonly string[] => {
  const parsed = URL.parse(url)
  return parsed === null ? [] : [parsed.origin]
}

function countBy(states: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const state of states) counts.set(state, (counts.get(state) ?? 0) + 1)
  return counts
}

/** What is told to whoever started the process. */
export interface Ready {
  readonly url: string
  /** Makes the first owner; null once there is one. */
  readonly setupUrl: string | null
}

/** The whole process. Any number of them may run over one database. */
export class ControlPlane implements Service {
  readonly #config: ControlPlaneConfig
  readonly #logger: Logger
  readonly #onReady: (ready: Ready) => void
  #stopping = false
  /** In the order of their starts; stopped in the opposite one. */
  readonly #stops: (() => Promise<unknown> | unknown)[] = []

  constructor(config: ControlPlaneConfig, logger: Logger, onReady: (ready: Ready) => void) {
    this.#config = config
    this.#logger = logger
    this.#onReady = onReady
  }

  async start(): Promise<void> {
    const config = this.#config
    const logger = this.#logger
    const now = steadyClock()
    const ids = systemIds
    const timers = systemTimers
    const database = await openDatabase(
      { url: config.databaseUrl, folder: config.dataFolder && join(config.dataFolder, 'database') },
      logger,
    )
    this.#stops.push(() => database.close())
    const self = ids.next('control-plane')
    const claims = new Claims({ database, holder: self, now })
    const secrets = new ClusterSecrets({ database, now })
    const events = new EventStore(database)
    const fleet = new EventSourced(fleetStream, { database, store: events, logger })
    const stream = new EventSourced(deploymentsStream, { database, store: events, logger })
    const log = new DeploymentLog({ stream, now, ids })
    const port = config.port === 0 ? await freePort(config.host) : config.port
    const publicUrl = config.publicUrl ?? addressOf(config.host, port)
    const machines = new MachineService(
      {
        self,
        heartbeatMs: config.heartbeatMs,
        leaseMs: config.leaseMs,
        heartbeatsPerSecond: config.heartbeatsPerSecond,
        graceMs: config.leaseMs * 2,
        publicUrl: publicUrl,
        versions: { version: installation.version, protocol: workerProtocols, olderMinors },
        usableShare: defaultUsableShare,
      },
      {
        fleet,
        database,
        secrets,
        placed: log.stages,
        assignmentsVersion: (machine) => log.assignmentsVersion(machine),
        onStageReports: (machine, incarnation, stages, _sequence, assignmentsVersion) =>
          log.onStageReports(machine, incarnation, stages, assignmentsVersion),
        now,
        timers,
        ids,
        logger,
      },
    )
    const models = new ModelRegistry(
      {
        dataFolder: join(config.dataFolder ?? (await this.#temporaryFolder()), 'models'),
        modelFolders: config.modelFolders,
        allowedHosts: config.allowedHosts,
        hubToken: config.hubToken,
      },
      {
        database,
        claims,
        events,
        ids,
        now,
        logger,
        deploymentsOf: (model) =>
          [...log.state.deployments.values()]
            .filter(({ revisions }) => revisions.some(({ spec }) => spec.model === model))
            .map(({ id }) => id),
      },
    )
    const placer = inKvBlocks(planningPlacer(ringPlacer), kvBlockTokens)
    const rings = await RingAccess.open(secrets)
    const deployable = fleetOf(machines)
    const deployments = new DeploymentService({
      log,
      fleet: deployable,
      models,
      rings,
      placer,
      claims,
      database,
      timers,
      now,
      random: systemRandom,
      ids,
      logger,
    })
    const routing = new RoutingFeed({ log, models, rings, database, timers, now, logger })
    const ledger = new LedgerStore({ database, ids, now })
    const charging = new Charging({ database, ledger, events, now, logger, prepaid: config.prepaid })
    const organisationIds = async (): Promise<readonly OrganisationId[]> =>
      (await database.queries.select({ id: organisations.id }).from(organisations)).map(({ id }) =>
        organisationId(id),
      )
    const board = new StatusBoard({
      database,
      version: installation.version,
      now,
      activityOf: (organisation) => deployments.activity.activityOf(organisation),
      machineStatesOf: (organisation) => machines.statesOf(organisation),
      organisations: organisationIds,
    })
    let reported: string | null = null
    const reportedUrl = () => reported
    const people = createPeople(
      { sessionSecret: (await secrets.get('sessions')).toString('hex'), publicUrl: publicUrl },
      {
        database,
        events,
        ids,
        now,
        logger,
        version: () => ({
          version: installation.version,
          workerProtocols,
          gatewayUrl: modelsUrl(config.gatewayUrl ?? reportedUrl()),
        }),
        spentOf: (limits, of) => spentOf(database.queries, limits, now(), currency(of)),
        remainingOf: async (_queries, organisation) => ({
          machines: listMachines(fleet.state, organisation).length,
          deployments: [...log.state.deployments.values()].filter(
            (each) => each.organisation === organisation,
          ).length,
        }),
      },
    )
    const assignments = new Assignments({ log, models, rings, sourcesOf: layerSources(log, machines) })
    const blobs = new BlobReader(models.store, now)
    const handlers: Handlers<Routes, Caller> = {
      ...people.handlers,
      ...machineHandlers({ service: machines, database, events, placed: log.stages, now }),
      ...modelHandlers(models),
      ...deploymentHandlers({
        ...{ log, fleet: deployable, models, database, timers, now, placer },
        ...{ wishes: deployments.wishes, activity: deployments.activity, gateways: deployments.gateways },
      }),
      ...aliasHandlers({ wishes: deployments.wishes, database, events, now }),
      ...decisionHandlers({ database }),
      ...eventHandlers({ database, events }),
      ...requestHandlers({ database }),
      ...usageHandlers({ database, now }),
      ...ledgerHandlers({ database, ledger, events, now, newKey: () => ids.next('deposit') }),
      ...statusHandlers({
        database,
        board,
        now,
        pause: async (delayMs, signal) => {
          await sleep(delayMs, null, { signal }).catch(() => undefined)
        },
      }),
      worker: {
        ...workerHandlers(machines, () => relay),
        ...assignmentHandlers({
          log,
          assignments,
          timers,
          // Streams that this process ends say nothing of machines.
          onBroken: (machine, incarnation) => {
            if (!this.#stopping) machines.connectionBroke(machine, incarnation)
          },
        }),
        ...workerBlobHandlers(blobs),
      },
      gateway: {
        ...gatewayHandlers({
          database,
          charging,
          accessOf: people.accessOf,
          routingVersion: () => routing.state.version,
          onReport: (url) => {
            reported = url
          },
          now,
        }),
        ...routingHandlers({ feed: routing, timers }),
        ...gatewayBlobHandlers(blobs),
      },
    }
    await fleet.start()
    await stream.start()
    await machines.start()
    const relay = await this.#startRelay(machines, secrets, publicUrl)
    await models.start()
    await routing.start()
    deployments.start()
    this.#stops.push(
      () => Promise.all([fleet.stop(), stream.stop()]),
      () => machines.stop(),
      () => models.stop(),
      () => routing.stop(),
      () => deployments.stop(),
    )
    const background = new Background(claims, logger)
    const sources: SampleSource[] = [
      () => machines.sampleMachines(),
      () => deployments.activity.samples(),
      () => board.samples(),
    ]
    background.start(this.#works(database, charging, sources, now))
    this.#stops.push(() => background.stop())
    const watch = operations({
      metrics: new Metrics(),
      healthOf: () => deployments.activity.healthOf(),
      machinesByState: () => countBy(listMachines(fleet.state, null).map(({ state }) => state)),
      deploymentsByState: () =>
        countBy([...log.state.deployments.values()].map((each) => deploymentStatus(each).condition)),
    })
    this.#stops.push(() => watch.stop())
    const app = await createHttpServer(
      {
        version: installation.version,
        publicUrl,
        consoleFolder: config.consoleFolder,
        trustProxy: config.trustProxy,
        connectSources: () => originOf(config.gatewayUrl ?? reportedUrl() ?? ''),
      },
      {
        handlers,
        credentials: new Credentials({
          ...people.credentials,
          machineOf: (digest) => machines.credentialOf(digest),
          gatewayToken: config.gatewayToken,
        }),
        problems,
        idempotency: new StoredIdempotency(database, now),
        logger,
        ids,
        operations: watch.register,
      },
    )
    this.#stops.push(() => app.close())
    if (config.bootstrapKey !== null) await people.keys.ensureKey(config.bootstrapKey, 'deos up')
    const setup = await people.setup.ensureSetup()
    const { host } = config
    await app
      .listen({ host, port, listenTextResolver: (address) => `Listening at ${address}.` })
      .catch((cause) => {
        throw ListenError.of(host, port, cause)
      })
    this.#onReady({ url: publicUrl, setupUrl: setup?.link ?? null })
  }

  /** Open streams end at once and are opened elsewhere; calls get as long as `signal` allows. */
  async drain(): Promise<void> {}

  /** What a database that has fallen silent does not let end is left: whatever was accepted is stored already. */
  async stop(): Promise<void> {
    const stopped = new AbortController()
    const { signal } = stopped
    const limit = sleep(stopLimitMs, 'late' as const, { signal }).catch(() => 'in time' as const)
    const stopping = this.#stopAll().finally(() => stopped.abort())
    if ((await Promise.race([stopping, limit])) !== 'late') return stopping
    this.#logger.warn(
      { stopLimitMs },
      'Not everything could be stopped in time; the process ends all the same.',
    )
  }

  async #stopAll(): Promise<void> {
    this.#stopping = true
    for (const stop of this.#stops.splice(0).reverse()) await stop()
  }

  /** @returns its address as machines reach it; null if there is to be none */
  async #startRelay(
    machines: MachineService,
    secrets: ClusterSecrets,
    publicUrl: string,
  ): Promise<string | null> {
    const { host, relayPort: port } = this.#config
    if (port === 0) return null
    const key = seededKey(await secrets.get('relay key'))
    const relay = new Relay({
      ...{ key, host, port },
      isMember: (publicKey) => machines.desk.knows(publicKey),
      onNote: (text) => this.#logger.info(text),
    })
    await relay.start()
    this.#stops.push(() => relay.stop())
    const at = `${new URL(publicUrl).hostname}:${port}`
    return formatPeerAddress({ at, key: key.publicKey, circuit: null })
  }

  /** For what is not to outlive the process. */
  async #temporaryFolder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'deos-control-plane-'))
    this.#stops.push(() => rm(folder, { recursive: true, force: true }))
    return folder
  }

  #works(
    database: Database,
    charging: Charging,
    sources: readonly SampleSource[],
    now: () => Date,
  ): readonly ClaimedWork[] {
    let round = 0
    return [
      {
        name: 'take samples',
        everyMs: sampleMs,
        run: () => takeSamples(database, sources, round++, now()),
      },
      {
        name: 'expire reservations',
        everyMs: overdueEveryMs,
        run: async () => {
          await charging.expireOverdue()
        },
      },
      { name: 'forget what is old', everyMs: retentionEveryMs, run: () => forgetOld(database, now()) },
    ]
  }
}
