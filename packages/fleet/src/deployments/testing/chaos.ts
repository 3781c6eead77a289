import {
  type DeploymentId,
  type MachineId,
  ms,
  type Random,
  type ReplicaId,
  type StageId,
  seededRandom,
} from '@deos/domain'
import { promisedStages, publishedReplicas, strayStages } from '../deployment.ts'
import type { DeploymentFact } from '../deployment-commands.ts'
import { DeploymentError } from '../deployment-error.ts'
import type { DeploymentAction } from '../outstanding-actions.ts'
import { reconcile } from '../reconcile.ts'
import { storeDeployments } from '../stored-deployments.ts'
import { Control, organisation, plainSpec, project } from './control.ts'

interface Holding {
  readonly bytes: number
  loaded: boolean
}

interface SimulatedMachine {
  running: boolean
  reachable: boolean
  readonly held: Map<StageId, Holding>
  /** It does what it is told in order: nothing arrives before this. */
  busyUntilMs: number
}

interface Due {
  readonly atMs: number
  readonly sequence: number
  readonly act: () => void
}

/**
 * Machines that die, return, are cut off and drained, a gateway that drains replicas, and messages that are late, twice
 * or, on the way to machines, lost. One seed always gives the same run.
 */
export class Chaos {
  readonly control = new Control()
  /** How many events there were, and what the state was then. */
  readonly prefixes: { readonly events: number; readonly state: string }[] = []
  readonly #random: Random
  readonly #machines = new Map<MachineId, SimulatedMachine>()
  readonly #placedOn = new Map<StageId, MachineId>()
  readonly #deployments: DeploymentId[] = []
  #due: Due[] = []
  #sequence = 0
  #calm = false
  #checked = 0

  constructor(seed: number) {
    this.#random = seededRandom(seed)
    const count = 5 + this.#below(4)
    for (let index = 1; index <= count; index += 1) {
      const region = this.#chance(0.5) ? 'eu' : 'us'
      const id = this.control.machine(`m${index}`, { freeBytes: 30 + this.#below(130), region })
      this.#machines.set(id, { running: true, reachable: true, held: new Map(), busyUntilMs: 0 })
    }
    for (const name of ['one', 'two', 'three']) {
      const wish = {
        type: 'create',
        organisation,
        project,
        name,
        spec: plainSpec,
        replicas: 1 + this.#below(2),
      } as const
      this.#deployments.push(this.control.tell(wish)[0]!.deployment)
    }
  }

  /** Lets everything happen that can, for so long. */
  rage(durationMs: number): void {
    const end = this.control.nowMs + durationMs
    while (this.control.nowMs < end) {
      if (this.#chance(0.12)) this.#trouble()
      if (this.#chance(0.06)) this.#wish()
      this.#second()
    }
  }

  /** All machines are back with room for everything, and nothing fails any more. */
  calm(): void {
    this.#calm = true
    for (const [id, machine] of this.#machines) {
      this.#recover(id, machine)
      this.control.machine(id, { freeBytes: 2000, standing: 'open', reason: '' })
    }
    for (const deployment of this.#deployments) this.control.tell({ type: 'resume', deployment })
  }

  rest(durationMs: number): void {
    const end = this.control.nowMs + durationMs
    while (this.control.nowMs < end) this.#second()
  }

  removeAll(): void {
    for (const deployment of this.#deployments) {
      this.control.tell({ type: 'remove', deployment, reason: 'the end' })
    }
  }

  /** What machines still hold, whoever speaks of it. */
  held(): number {
    return [...this.#machines.values()].reduce((sum, { held }) => sum + held.size, 0)
  }

  #second(): void {
    const end = this.control.nowMs + 1000
    for (;;) {
      this.#due.sort((a, b) => a.atMs - b.atMs || a.sequence - b.sequence)
      const next = this.#due[0]
      if (!next || next.atMs > end) break
      this.#due = this.#due.slice(1)
      this.control.pass(Math.max(0, next.atMs - this.control.nowMs))
      next.act()
      if (this.#chance(0.3)) this.#reconcile()
    }
    this.control.pass(end - this.control.nowMs)
    // A wake-up that is lost.
    if (this.#chance(0.8)) this.#reconcile()
    for (const [id, machine] of this.#machines) if (this.#chance(0.2)) this.#dropStrays(id, machine)
  }

  #reconcile(): void {
    const { events, actions } = this.control.reconcile()
    for (const event of events) {
      if (event.type !== 'replicaPlaced') continue
      for (const { id, machine } of event.stages) {
        if (this.#placedOn.has(id)) throw new Error(`${id} was placed twice.`)
        this.#placedOn.set(id, machine)
      }
    }
    this.#check()
    for (const action of actions) if (this.#chance(0.8)) this.#send(action)
  }

  #send(action: DeploymentAction): void {
    switch (action.type) {
      case 'load':
        this.#order(action.stage.machine, (machine) => this.#load(machine, action))
        return
      case 'unload':
        this.#order(action.machine, (machine) => {
          machine.held.delete(action.stage)
          this.#tell({ type: 'stageUnloaded', deployment: action.deployment, stage: action.stage })
        })
        return
      case 'verify':
        this.#later(200, () => this.#verify(action))
        return
      case 'drain': {
        const { deployment, replica, drain } = action
        this.#later(4000, () => this.#tell({ type: 'drained', deployment, replica, drain }))
        return
      }
      default:
    }
  }

  /** In order, if it can be reached when it arrives. */
  #order(id: MachineId, act: (machine: SimulatedMachine) => void): void {
    const machine = this.#machines.get(id)!
    machine.busyUntilMs = Math.max(machine.busyUntilMs, this.control.nowMs + this.#below(300))
    const process = machine.held
    this.#at(machine.busyUntilMs, () => {
      if (machine.running && machine.reachable && machine.held === process) act(machine)
    })
  }

  #load(machine: SimulatedMachine, action: Extract<DeploymentAction, { type: 'load' }>): void {
    const { deployment, replica, generation, stage } = action
    const about = { deployment, replica, generation, stage: stage.id }
    if (this.#placedOn.get(stage.id) !== stage.machine) throw new Error(`${stage.id} is loaded elsewhere.`)
    const before = machine.held.get(stage.id)
    if (before) {
      if (before.loaded) this.#tell({ type: 'stageLoaded', ...about })
      return
    }
    const holding = { bytes: stage.weightBytes + stage.kvBytes, loaded: false }
    machine.held.set(stage.id, holding)
    this.#tell({ type: 'stageProgress', ...about, fraction: 0 })
    this.#later(3000, () => {
      if (!machine.running || machine.held.get(stage.id) !== holding) return
      if (this.#fails(0.1)) {
        this.#tell({ type: 'stageFailed', ...about, reason: 'chance' })
        return
      }
      holding.loaded = true
      this.#tell({ type: 'stageProgress', ...about, fraction: 1 })
      this.#tell({ type: 'stageLoaded', ...about })
    })
  }

  #verify({ deployment, replica, generation, stages }: Extract<DeploymentAction, { type: 'verify' }>): void {
    const about = { deployment, replica, generation }
    const works = stages.every(({ id, machine }) => {
      const { running, reachable, held } = this.#machines.get(machine)!
      return running && reachable && held.get(id)?.loaded
    })
    if (works && !this.#fails(0.05)) this.#tell({ type: 'tokenVerified', ...about, firstTokenMs: ms(3) })
    else this.#tell({ type: 'verificationFailed', ...about, reason: 'no token' })
  }

  /** Late, and sometimes once more, much later. */
  #tell(fact: DeploymentFact): void {
    const tell = () => {
      this.control.tell(fact)
      this.#note()
    }
    this.#later(2000, tell)
    if (this.#chance(0.3)) this.#later(30_000, tell)
  }

  #trouble(): void {
    const ids = [...this.#machines.keys()]
    const id = ids[this.#below(ids.length)]!
    const machine = this.#machines.get(id)!
    const { standing, incarnation } = this.control.machines.get(id)!
    if (!machine.running || !machine.reachable) {
      this.#recover(id, machine)
      return
    }
    if (standing !== 'open') {
      this.control.machine(id, { standing: 'open', reason: '' })
      return
    }
    switch (this.#below(4)) {
      case 0:
        machine.running = false
        machine.held.clear()
        this.#later(3000, () => {
          if (!machine.running) this.control.machine(id, { standing: 'lost', reason: 'no heartbeat' })
        })
        this.#tell({ type: 'machineLost', machine: id, incarnation, reason: 'its connection broke' })
        return
      case 1:
        machine.reachable = false
        this.#later(3000, () => {
          if (!machine.reachable) this.control.machine(id, { standing: 'lost', reason: 'no heartbeat' })
        })
        return
      case 2:
        this.control.machine(id, { standing: 'draining', reason: 'maintenance' })
        return
      default:
        this.control.machine(id, { standing: 'closed', reason: 'cordoned' })
    }
  }

  /** A machine that comes back says what it holds before it gets anything new. */
  #recover(id: MachineId, machine: SimulatedMachine): void {
    if (!machine.running) {
      const { incarnation } = this.control.machines.get(id)!
      this.#machines.set(id, { running: true, reachable: true, held: new Map(), busyUntilMs: 0 })
      this.control.machine(id, { standing: 'open', reason: '', incarnation: incarnation + 1 })
      return
    }
    machine.reachable = true
    this.#dropStrays(id, machine)
    this.control.machine(id, { standing: 'open', reason: '' })
  }

  #dropStrays(id: MachineId, machine: SimulatedMachine): void {
    if (!machine.running || !machine.reachable) return
    for (const stage of strayStages(this.control.state, id, [...machine.held.keys()]))
      machine.held.delete(stage)
  }

  #wish(): void {
    const deployment = this.#deployments[this.#below(3)]!
    const { revisions } = this.control.state.deployments.get(deployment)!
    try {
      switch (this.#below(5)) {
        case 0:
          this.control.tell({ type: 'scale', deployment, replicas: this.#below(4) })
          break
        case 1: {
          const precision = ['F16', 'Q8_0', 'native'][this.#below(3)]!
          const regions = this.#chance(0.2) ? ['eu'] : null
          const prefillReplicas = this.#below(3)
          const split = prefillReplicas === 0 ? null : ({ prefillReplicas, kvQuality: 'lossless' } as const)
          this.control.tell({ type: 'revise', deployment, changes: { precision, regions, split } })
          break
        }
        case 2:
          this.control.tell({ type: 'rollback', deployment, revision: 1 + this.#below(revisions.length) })
          break
        case 3:
          this.control.tell({ type: 'pause', deployment, reason: 'quiet' })
          break
        default:
          this.control.tell({ type: 'resume', deployment })
      }
    } catch (error) {
      if (!(error instanceof DeploymentError)) throw error
    }
    this.#note()
  }

  #check(): void {
    const { state, machines } = this.control
    for (const { replica, stages } of publishedReplicas(state)) this.#checkPublished(replica, stages)
    const promised = new Map<MachineId, number>()
    const seen = new Set<StageId>()
    for (const { id, machine, weightBytes, kvBytes } of promisedStages(state)) {
      if (seen.has(id)) throw new Error(`${id} is there twice.`)
      seen.add(id)
      promised.set(machine, (promised.get(machine) ?? 0) + weightBytes + kvBytes)
    }
    for (const [id, size] of promised) {
      const { freeBytes } = machines.get(id)!
      if (size > freeBytes) throw new Error(`${size} of ${freeBytes} bytes are promised on ${id}.`)
      const held = [...this.#machines.get(id)!.held.values()].reduce((sum, holding) => sum + holding.bytes, 0)
      const sound = this.#machines.get(id)!.reachable && machines.get(id)!.standing === 'open'
      if (sound && held > freeBytes) throw new Error(`${id} holds ${held} of ${freeBytes} bytes.`)
    }
    for (const { replicas } of state.deployments.values()) {
      for (const { id, phase, stages } of replicas) {
        const placed = phase !== 'placing' && phase !== 'failed'
        if (placed !== stages.length > 0) throw new Error(`${id} is ${phase} with ${stages.length} stages.`)
      }
    }
    this.#note()
    this.#checked += 1
    if (this.#checked % 10 !== 0) return
    const again = reconcile(state, this.control.input())
    if (again.events.length > 0) throw new Error(`A second run adds ${again.events[0]!.type}.`)
  }

  #checkPublished(
    replica: ReplicaId,
    stages: readonly { readonly id: StageId; readonly machine: MachineId }[],
  ) {
    for (const { id, machine } of stages) {
      const standing = this.control.machines.get(machine)!
      if (standing.standing === 'lost')
        throw new Error(`${replica} is published on ${machine}, which is lost.`)
      const { running, reachable, held } = this.#machines.get(machine)!
      if (!running || !reachable) continue
      const restarted = [...promisedStages(this.control.state)].some(
        (stage) => stage.id === id && stage.incarnation < standing.incarnation,
      )
      if (restarted || !held.get(id)?.loaded)
        throw new Error(`${replica} is published, but ${machine} lost ${id}.`)
    }
  }

  #note(): void {
    this.prefixes.push({
      events: this.control.events.length,
      state: JSON.stringify(storeDeployments(this.control.state)),
    })
  }

  #later(longestMs: number, act: () => void): void {
    this.#at(this.control.nowMs + this.#below(longestMs), act)
  }

  #at(atMs: number, act: () => void): void {
    this.#sequence += 1
    this.#due.push({ atMs, sequence: this.#sequence, act })
  }

  #fails(probability: number): boolean {
    return this.#chance(probability) && !this.#calm
  }

  #chance(probability: number): boolean {
    return this.#random.next() < probability
  }

  #below(count: number): number {
    return Math.floor(this.#random.next() * count)
  }
}
