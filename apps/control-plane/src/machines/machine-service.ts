import type { AnswerOf, MachineState, Routes } from '@deos/api'
import {
  type DeviceInventory,
  type FleetSnapshot,
  type IdSource,
  type MachineId,
  ms,
  type OrganisationId,
} from '@deos/domain'
import {
  expireLeases,
  FleetError,
  type FleetEvent,
  type FleetState,
  Leases,
  type LeaseTerms,
  leaseTerms,
  listMachines,
  liveMachines,
  type Machine,
  type MachineStanding,
  missingReport,
  receiveHeartbeat,
  type VersionPolicy,
} from '@deos/fleet'
import type { Logger } from '@deos/service'
import { every, type Timers } from '@deos/transport'
import type { ClusterSecrets } from '../cluster/cluster-secrets.ts'
import type { Database } from '../database/database.ts'
import type { EventCause } from '../database/schema/index.ts'
import type { EventSourced } from '../events/event-sourced.ts'
import type { Sample } from '../observation/samples.ts'
import { Challenges } from './challenges.ts'
import { FleetLog } from './fleet-log.ts'
import { FleetView, type MachineDetails } from './fleet-view.ts'
import { HeartbeatExchange } from './heartbeat-exchange.ts'
import { JoinDesk } from './join-desk.ts'
import { LinkTable } from './link-table.ts'
import { LogIntake } from './log-intake.ts'
import { type CredentialHolder, MachineCredentials } from './machine-credentials.ts'
import { type Heartbeat, type MachineReport, MachineReports, type StageReport } from './machine-reports.ts'
import { MachineSamples } from './machine-samples.ts'
import { MachineSettingsTable } from './machine-settings.ts'
import { iso } from './machine-view.ts'
import { assertOwnAddress } from './own-address.ts'
import { leftByOwner, ownerDrainReason } from './owner-drain.ts'
import { choosePeers, type PossiblePeer } from './peer-choice.ts'
import type { PlacedStages } from './placed-stages.ts'
import { isCurrent } from './standings.ts'
import { type Ticket, ticketBetween } from './tickets.ts'

export type HeartbeatAnswer = AnswerOf<Routes['worker']['heartbeat']>
export type Peers = AnswerOf<Routes['worker']['peers']>

export interface MachineServiceSettings {
  /** Names this control plane among those that share the database; new with each start. */
  readonly self: string
  readonly heartbeatMs: number
  readonly leaseMs: number
  /** Of all machines together, at most; see {@link leaseTerms}. */
  readonly heartbeatsPerSecond: number
  /** After the start nothing expires for so long. */
  readonly graceMs: number
  /** Where machines reach the control planes. */
  readonly publicUrl: string
  readonly versions: VersionPolicy
  /** How much of a device's memory stages may have. */
  readonly usableShare: Readonly<Record<DeviceInventory['kind'], number>>
}

export interface MachineServiceParts {
  readonly fleet: EventSourced<FleetState, FleetEvent>
  readonly database: Database
  readonly secrets: Pick<ClusterSecrets, 'get'>
  readonly placed: PlacedStages
  /** Of the newest assignments for the machine. */
  readonly assignmentsVersion: (machine: MachineId) => number
  /**
   * Called when anything in a machine's stages differs from the last time it was called, or the machine has seen other
   * assignments; again with the next heartbeat if it fails.
   */
  readonly onStageReports: (
    machine: MachineId,
    incarnation: number,
    stages: readonly StageReport[],
    sequence: number,
    assignmentsVersion: number,
  ) => Promise<void>
  /** Since the Unix epoch. Leases go by it: it should not jump. */
  readonly now: () => Date
  readonly timers: Timers
  readonly ids: IdSource
  readonly logger: Logger
}

export const defaultUsableShare = { cpu: 0.6, gpu: 0.9 } as const

const watchEveryMs = 500
/** When no look was taken for so long, this process did not listen either: it, or its host, was suspended. */
const deafAfterMs = 2_000
const exchangeEveryMs = 1_000
/** The embedded database has nobody to tell, and a start has its grace. */
const storeEveryMs = { embedded: 30_000, server: 1_000 } as const
const reportsEveryMs = { embedded: 30_000, server: 5_000 } as const
/** A decision made before the drain is known everywhere may still place something there. */
const drainSettlesMs = 1_000
const mostPeers = 8
const mostLinks = 64

interface ReachablePeer extends PossiblePeer {
  readonly linkAddress: string
}

/** Good until one of its sources changes. */
interface KnownPeers {
  readonly state: FleetState
  readonly versions: string
  readonly of: Map<OrganisationId, readonly ReachablePeer[]>
}

/** Machines of all organisations: who may join, who is there, what they hold. */
export class MachineService {
  readonly log: FleetLog
  readonly reports = new MachineReports()
  readonly settings: MachineSettingsTable
  readonly links: LinkTable
  readonly logIntake: LogIntake
  readonly #options: MachineServiceSettings
  readonly #parts: MachineServiceParts
  readonly #credentials: MachineCredentials
  readonly #view: FleetView
  readonly #samples = new MachineSamples()
  readonly #listeners = new Set<() => void>()
  readonly #stops: (() => void)[] = []
  readonly #running = new Set<Promise<void>>()
  #started: {
    readonly leases: Leases
    readonly exchange: HeartbeatExchange
    readonly desk: JoinDesk
  } | null = null
  #peers: KnownPeers | null = null
  #watchedAtMs = Number.NEGATIVE_INFINITY
  #deafUntilMs = Number.NEGATIVE_INFINITY

  constructor(options: MachineServiceSettings, parts: MachineServiceParts) {
    const { fleet, database, now, ids, placed } = parts
    this.#options = options
    this.#parts = parts
    this.log = new FleetLog({ fleet, now, ids, versions: options.versions })
    this.settings = new MachineSettingsTable(database)
    this.links = new LinkTable(database)
    this.logIntake = new LogIntake(database, placed)
    this.#credentials = new MachineCredentials(database)
    this.#view = new FleetView({
      state: () => fleet.state,
      settings: this.settings,
      links: this.links,
      reports: this.reports,
      placed,
      isReachable: (machine) => this.isReachable(machine),
      usableShare: options.usableShare,
    })
  }

  get publicUrl(): string {
    return this.#options.publicUrl
  }

  get leases(): Leases {
    return this.#live.leases
  }

  get desk(): JoinDesk {
    return this.#live.desk
  }

  /** After the fleet's events have been folded. */
  async start(): Promise<void> {
    const { database, secrets } = this.#parts
    const { self, leaseMs, graceMs } = this.#options
    const { nowMs } = this.log
    const leases = new Leases({ durationMs: ms(leaseMs), graceMs: ms(graceMs) }, nowMs)
    const times = {
      self,
      leasesEveryMs: storeEveryMs[database.kind],
      reportsEveryMs: reportsEveryMs[database.kind],
    }
    const exchange = new HeartbeatExchange(times, database, leases, this.reports)
    const desk = new JoinDesk({
      log: this.log,
      database,
      challenges: new Challenges(await secrets.get('machine challenges')),
      credentials: this.#credentials,
      settings: this.settings,
    })
    await exchange.load(nowMs)
    await this.settings.refresh()
    await this.links.refresh()
    await this.#credentials.follow(this.log.state)
    this.#started = { leases, exchange, desk }
    this.#watchedAtMs = nowMs
    this.#stops.push(
      this.log.onChange(() => this.#changed()),
      this.#repeat(watchEveryMs, 'Watching over machines failed.', () => this.watch()),
      this.#repeat(exchangeEveryMs, 'Exchanging heartbeats failed.', () => this.exchange()),
    )
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.splice(0)) stop()
    await Promise.all(this.#running)
    await this.#started?.exchange.store(this.log.nowMs, true)
    await this.links.store()
  }

  /** After anything that standings or snapshots are made from has changed, wherever. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** @param organisation - `null` for everybody's */
  standings(organisation: OrganisationId | null): readonly MachineStanding[] {
    return this.#view.standings(organisation)
  }

  /** What stages of the organisation may be placed on. What is promised to stages already is not taken off. */
  snapshot(organisation: OrganisationId): FleetSnapshot {
    return this.#view.snapshot(organisation)
  }

  details(machine: MachineId): MachineDetails | null {
    return this.#view.details(machine)
  }

  /** What the present process of the machine said last, if it is there. */
  reportOf(machine: MachineId): MachineReport | null {
    const known = this.log.state.machines.get(machine)
    const report = this.reports.of(machine)
    return known?.presence.online && report?.incarnation === known.incarnation ? report : null
  }

  statesOf(organisation: OrganisationId): readonly MachineState[] {
    return listMachines(this.log.state, organisation).map(({ state }) => state as MachineState)
  }

  /** Where other machines reach it; null behind a NAT, or while it is not known here. */
  linkAddressOf(machine: MachineId): string | null {
    return this.#credentials.peer(machine)?.linkAddress ?? null
  }

  /** False only if it is known that no machine can reach it; while its address is not known here, it may be. */
  isReachable(machine: MachineId): boolean {
    const peer = this.#credentials.peer(machine)
    return peer === null || peer.linkAddress !== null
  }

  /** Lets one machine talk to another; null while the target's secret is not known here. */
  ticketFor(reader: MachineId, target: MachineId): Ticket | null {
    const peer = this.#credentials.peer(target)
    return peer && ticketBetween(reader, target, peer.secret, this.log.nowMs)
  }

  /**
   * Whose credential it is; null if nobody's.
   *
   * @param digest - `sha256:…`
   * @throws FleetError if a later process has taken over, or the machine was removed
   */
  async credentialOf(digest: string): Promise<CredentialHolder | null> {
    const holder = await this.#credentials.holderOf(digest)
    if (holder === null) return null
    const known = this.log.state.machines.get(holder.machine)
    // It may have joined at another control plane a moment ago.
    if (known === undefined || known.incarnation < holder.incarnation) await this.log.refresh()
    const machine = this.log.state.machines.get(holder.machine)
    if (machine === undefined) return null
    const { id, incarnation, removal } = machine
    if (removal !== null) throw new FleetError('MACHINE_REMOVED', `${id} was removed: ${removal.reason}`)
    if (holder.incarnation >= incarnation) return holder
    throw new FleetError(
      'MACHINE_FENCED',
      `Incarnation ${holder.incarnation} of ${id} is fenced: another process with the same key joined as incarnation ${incarnation}.`,
    )
  }

  /** @throws FleetError if the process is not the machine's latest, or has said goodbye */
  async heartbeat(machine: MachineId, cause: EventCause, beat: Heartbeat): Promise<HeartbeatAnswer> {
    const { nowMs } = this.log
    const { incarnation, sequence } = beat
    const decision = receiveHeartbeat(
      this.log.state,
      this.leases,
      { machine, incarnation, sequence },
      this.log.context,
      this.#terms().durationMs,
    )
    if (decision instanceof FleetError) throw decision
    const { fingerprint } = this.log.state.machines.get(machine)!
    for (const { linkAddress } of beat.stages) assertOwnAddress(fingerprint, linkAddress)
    const before = this.reports.of(machine)
    const { load, stages, assignmentsVersion } = beat
    const report = { machine, incarnation, sequence, assignmentsVersion, load, stages, reportedAtMs: nowMs }
    const isNews = this.reports.take(report)
    if (isNews) this.#live.exchange.heard(machine)
    if (decision.length > 0) await this.log.execute(cause, { type: 'heartbeat', machine, incarnation })
    if (isNews) await this.#followReport(report, before)
    if (beat.leaving) await this.#startLeaving(machine, cause)
    return this.#heartbeatAnswer(machine, beat.leaving)
  }

  leaseTerms(machine: Machine): HeartbeatAnswer['lease'] {
    return { expiresAt: iso(this.leases.expiresAtMs(machine)), ...this.#terms() }
  }

  /** The stream that the process of a machine keeps open broke: perhaps the machine is lost. */
  connectionBroke(machine: MachineId, incarnation: number): void {
    if (this.log.state.machines.get(machine)?.incarnation === incarnation) {
      this.leases.suspect(machine, this.log.nowMs)
    }
  }

  /** Machines to which the link of this one is worth measuring now. */
  async peersOf(machine: MachineId): Promise<Peers> {
    const { state, nowMs } = this.log
    await this.#credentials.follow(state)
    const { organisation } = state.machines.get(machine)!
    const measured = this.links.from(machine)
    const known = { measuredAtMs: (to: MachineId) => measured?.get(to)?.measuredAtMs ?? null }
    const wish = { self: machine, most: mostPeers, mostKept: mostLinks, nowMs }
    const peers = choosePeers(this.#reachable(organisation), known, wish).map(
      ({ machine: id, linkAddress }) => ({
        machineId: id,
        linkAddress,
        ...this.ticketFor(machine, id)!,
      }),
    )
    return { peers }
  }

  /** Ready machines that others can reach, by id. */
  #reachable(organisation: OrganisationId): readonly ReachablePeer[] {
    const { state } = this.log
    const versions = `${this.settings.version} ${this.#credentials.version}`
    if (this.#peers?.state !== state || this.#peers.versions !== versions) {
      this.#peers = { state, versions, of: new Map() }
    }
    const { of } = this.#peers
    const known = of.get(organisation)
    if (known !== undefined) return known
    const reachable = liveMachines(state, organisation).flatMap(({ id, state, location }) => {
      const linkAddress = this.linkAddressOf(id)
      if (state !== 'ready' || linkAddress === null) return []
      const { region } = this.settings.of(id).location ?? location
      return [{ machine: id, region, linkAddress }]
    })
    of.set(organisation, reachable)
    return reachable
  }

  linksMeasured(from: MachineId, links: Parameters<LinkTable['measured']>[1]): void {
    const { machines } = this.log.state
    const { organisation } = machines.get(from)!
    // A peer may have been removed while its link was measured.
    const known = links.filter(({ to }) => {
      const target = machines.get(to)
      return to !== from && target?.organisation === organisation && target.removal === null
    })
    // Placements to come use it. What runs does not depend on it, so nobody is woken.
    this.links.measured(from, known, this.log.nowMs)
  }

  /** What charts draw of every machine that is there. */
  sampleMachines(): readonly Sample[] {
    const reports = liveMachines(this.log.state, null).flatMap(({ id }) => this.reportOf(id) ?? [])
    return this.#samples.take(reports)
  }

  /** After operators have changed settings. */
  async settingsChanged(): Promise<void> {
    if (await this.settings.refresh()) this.#changed()
  }

  forget(machine: MachineId): void {
    this.reports.forget(machine)
    this.logIntake.forget(machine)
  }

  /** Lets leases run out and drains end; every half second, and whenever a test wants. */
  async watch(): Promise<void> {
    const { nowMs } = this.log
    if (nowMs - this.#watchedAtMs > deafAfterMs) this.#deafUntilMs = nowMs + this.#terms().durationMs
    this.#watchedAtMs = nowMs
    if (nowMs >= this.#deafUntilMs) await this.#expire()
    await this.#endDrains()
  }

  /** Tells other control planes what was heard here, and learns what they heard. */
  async exchange(): Promise<void> {
    const { exchange } = this.#live
    const { nowMs } = this.log
    await exchange.store(nowMs)
    await this.links.store()
    const followed = await this.#credentials.follow(this.log.state)
    // Nobody shares an embedded database.
    if (this.#parts.database.kind === 'embedded') return
    const changes = [
      followed,
      await exchange.merge(nowMs),
      await this.settings.refresh(),
      await this.links.refresh(),
    ]
    if (changes.includes(true)) this.#changed()
  }

  async #followReport(report: MachineReport, before: MachineReport | null): Promise<void> {
    const { machine, incarnation, stages, sequence, assignmentsVersion } = report
    const known = this.log.state.machines.get(machine)!
    const unsettled = this.reports.isUnsettled(machine)
    if (unsettled) {
      await this.#parts.onStageReports(machine, incarnation, stages, sequence, assignmentsVersion)
      this.reports.settle(report)
    }
    if (unsettled || !isCurrent(known, before)) this.#changed()
  }

  /** Once it is empty nothing more has to be done. */
  async #startLeaving(id: MachineId, cause: EventCause): Promise<void> {
    const machine = this.log.state.machines.get(id)!
    const isGoing = machine.drain !== null || leftByOwner(machine)
    const isUnused = machine.cordon !== null && this.#parts.placed.of(id).length === 0
    if (isGoing || isUnused) return
    await this.log.change(cause, (state) => {
      const reason = ownerDrainReason(state.machines.get(id)!)
      return this.log.decide(state, { type: 'drain', machine: id, reason })
    })
  }

  #heartbeatAnswer(id: MachineId, leaving: boolean): HeartbeatAnswer {
    const machine = this.log.state.machines.get(id)!
    const isDrained = machine.drain === null && machine.cordon !== null
    return {
      lease: this.leaseTerms(machine),
      assignmentsVersion: this.#parts.assignmentsVersion(id),
      missingReport: missingReport(machine),
      released: leaving && isDrained && this.#parts.placed.of(id).length === 0,
    }
  }

  async #expire(): Promise<void> {
    if (this.#expired().length === 0) return
    if (this.#parts.database.kind === 'server') {
      // Perhaps another control plane has heard of them.
      await this.#live.exchange.merge(this.log.nowMs)
      if (this.#expired().length === 0) return
    }
    await this.log.change({ kind: 'system' }, (state) => expireLeases(state, this.leases, this.log.nowMs))
  }

  #expired(): readonly FleetEvent[] {
    return expireLeases(this.log.state, this.leases, this.log.nowMs)
  }

  async #endDrains(): Promise<void> {
    const { placed } = this.#parts
    const { state, nowMs } = this.log
    for (const { id, drain, removal } of state.machines.values()) {
      if (drain === null || removal !== null || nowMs - drain.atMs < drainSettlesMs) continue
      if (placed.of(id).length > 0) continue
      await this.log.execute({ kind: 'system' }, { type: 'drained', machine: id, placed: placed.all() })
    }
  }

  #repeat(intervalMs: number, failure: string, work: () => Promise<void>): () => void {
    let busy = false
    return every(this.#parts.timers, intervalMs, () => {
      if (busy) return
      busy = true
      const run = work()
        .catch((error: unknown) => this.#parts.logger.warn({ err: error }, failure))
        .finally(() => {
          busy = false
          this.#running.delete(run)
        })
      this.#running.add(run)
    })
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }

  #terms(): LeaseTerms {
    const { heartbeatMs, leaseMs, heartbeatsPerSecond } = this.#options
    const pace = { heartbeatMs: ms(heartbeatMs), durationMs: ms(leaseMs), heartbeatsPerSecond }
    return leaseTerms(pace, liveMachines(this.log.state, null).length)
  }

  get #live() {
    if (this.#started === null) throw new Error('The machine service has not started.')
    return this.#started
  }
}
