import type { MachineId, PlacedStage, StageId } from '@deos/domain'
import {
  type AssignedStage,
  type Deployment,
  type DeploymentsState,
  placedStage,
  type Replica,
  type ReplicaStage,
} from '@deos/fleet'
import type { HeldStage, PlacedStages } from '../machines/placed-stages.ts'

/** A stage of a replica, with what it is a part of. */
export interface StageOfReplica {
  readonly deployment: Deployment
  readonly replica: Replica
  readonly stage: ReplicaStage
  /** Along the ring, from 0. */
  readonly position: number
}

/** Where everything lies, as one state says. */
class StageIndex {
  readonly placed: readonly StageOfReplica[]
  readonly byMachine = new Map<MachineId, StageOfReplica[]>()
  readonly leavingByMachine = new Map<
    MachineId,
    { readonly deployment: Deployment; readonly stage: AssignedStage }[]
  >()
  readonly held = new Map<StageId, HeldStage & { readonly machine: MachineId }>()
  readonly heldByMachine = new Map<MachineId, HeldStage[]>()
  readonly all: readonly PlacedStage[]

  constructor({ deployments }: DeploymentsState) {
    const placed: StageOfReplica[] = []
    const all: PlacedStage[] = []
    for (const deployment of deployments.values()) {
      for (const replica of deployment.replicas) {
        for (const [position, stage] of replica.stages.entries()) {
          const entry = { deployment, replica, stage, position }
          placed.push(entry)
          all.push(placedStage(stage))
          listAt(this.byMachine, stage.machine).push(entry)
          this.#hold({ stageId: stage.id, replicaId: replica.id, deploymentId: deployment.id }, stage.machine)
        }
      }
      for (const stage of deployment.leaving) {
        all.push(placedStage(stage))
        listAt(this.leavingByMachine, stage.machine).push({ deployment, stage })
        this.#hold(
          { stageId: stage.id, replicaId: stage.replica, deploymentId: deployment.id },
          stage.machine,
        )
      }
    }
    this.placed = placed
    this.all = all
  }

  #hold(stage: HeldStage, machine: MachineId): void {
    this.held.set(stage.stageId, { ...stage, machine })
    listAt(this.heldByMachine, machine).push(stage)
  }
}

function listAt<K, V>(map: Map<K, V[]>, key: K): V[] {
  const known = map.get(key)
  if (known) return known
  const list: V[] = []
  map.set(key, list)
  return list
}

const nothing: readonly never[] = []

/** Finds stages by machine and id, in whatever the state is when it is asked. */
export class Stages implements PlacedStages {
  #index: { readonly of: DeploymentsState; readonly stages: StageIndex } | null = null

  constructor(private readonly stateNow: () => DeploymentsState) {}

  get #now(): StageIndex {
    const state = this.stateNow()
    if (this.#index?.of !== state) this.#index = { of: state, stages: new StageIndex(state) }
    return this.#index.stages
  }

  /** Of replicas, without those that leave. */
  placed(): readonly StageOfReplica[] {
    return this.#now.placed
  }

  placedOn(machine: MachineId): readonly StageOfReplica[] {
    return this.#now.byMachine.get(machine) ?? nothing
  }

  leavingOn(
    machine: MachineId,
  ): readonly { readonly deployment: Deployment; readonly stage: AssignedStage }[] {
    return this.#now.leavingByMachine.get(machine) ?? nothing
  }

  /** Machines to which memory of stages is promised. */
  machines(): Iterable<MachineId> {
    return this.#now.heldByMachine.keys()
  }

  all(): readonly PlacedStage[] {
    return this.#now.all
  }

  of(machine: MachineId): readonly HeldStage[] {
    return this.#now.heldByMachine.get(machine) ?? nothing
  }

  find(stage: StageId): (HeldStage & { readonly machine: MachineId }) | null {
    return this.#now.held.get(stage) ?? null
  }
}
