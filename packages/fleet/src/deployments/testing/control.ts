import {
  bytes,
  bytesPerSecond,
  type IdSource,
  type MachineId,
  type ModelFootprint,
  type ModelId,
  ms,
  type OrganisationId,
  type PlacementCandidate,
  type Placer,
  type ProjectId,
  tokens,
} from '@deos/domain'
import { decideDeployments } from '../decide-deployments.ts'
import { type Deployment, type DeploymentsState, noDeployments, type Replica } from '../deployment.ts'
import type { DeploymentCommand, DeploymentFact } from '../deployment-commands.ts'
import type { DeploymentEvent } from '../deployment-events.ts'
import type { DeploymentSpec } from '../deployment-spec.ts'
import { foldDeployments } from '../evolve-deployments.ts'
import type { DeploymentAction } from '../outstanding-actions.ts'
import { type ReconcileResult, reconcile } from '../reconcile.ts'
import type { MachineStanding, ReconcileInput } from '../reconciliation.ts'
import { firstFitPlacer } from './first-fit-placer.ts'

/** Six layers of 10 bytes with 1 byte of KV for each of 10 tokens: 120 bytes. */
export const sixLayers: ModelFootprint = {
  weightType: 'F16',
  layerBytes: new Array(6).fill(bytes(10)),
  embeddingBytes: bytes(0),
  headBytes: bytes(0),
  kvBytesPerLayer: bytes(1),
  boundaryBytes: bytes(1),
}

export const plainSpec: DeploymentSpec = {
  model: 'model-a' as ModelId,
  contextTokens: tokens(10),
  sessions: 1,
  precision: 'native',
  activations: 'f32',
  target: {},
  minReplicas: 0,
  maxReplicas: 8,
  regions: null,
  providers: null,
  split: null,
}

export const organisation = 'org-1' as OrganisationId
export const project = 'project-1' as ProjectId

export interface TestMachine extends Omit<MachineStanding, 'machine'> {
  readonly freeBytes: number
  readonly region: string
}

/** A control plane without an outside: what machines and gateways would say is said by the test. */
export class Control {
  readonly machines = new Map<MachineId, TestMachine>()
  readonly events: DeploymentEvent[] = []
  state: DeploymentsState = noDeployments
  nowMs = ms(1_000_000)
  placer: Placer = firstFitPlacer
  footprint: ReconcileInput['footprint'] = () => sixLayers
  contextTokens: ReconcileInput['contextTokens'] = () => tokens(10)
  #ids = 0

  readonly ids: IdSource = {
    next: (prefix) => {
      this.#ids += 1
      return `${prefix}-${this.#ids}`
    },
  }

  machine(name: string, change: Partial<TestMachine> = {}): MachineId {
    const id = name as MachineId
    const before = this.machines.get(id)
    const fresh = {
      standing: 'open',
      reason: '',
      incarnation: 1,
      freeBytes: 120,
      region: 'eu',
      organisation,
    } as const
    this.machines.set(id, { ...(before ?? fresh), ...change })
    return id
  }

  tell(command: DeploymentCommand): readonly DeploymentEvent[] {
    const events = decideDeployments(this.state, command, { nowMs: this.nowMs, ids: this.ids })
    this.#happened(events)
    return events
  }

  reconcile(): ReconcileResult {
    const result = reconcile(this.state, this.input())
    this.#happened(result.events)
    return result
  }

  input(): ReconcileInput {
    const { placer, nowMs, ids } = this
    return {
      machines: [...this.machines].map(([machine, { organisation, standing, reason, incarnation }]) => ({
        machine,
        organisation,
        standing,
        reason,
        incarnation,
      })),
      fleet: { candidates: this.#candidates(), links: [] },
      placer,
      footprint: (model, precision) => this.footprint(model, precision),
      contextTokens: (model) => this.contextTokens(model),
      nowMs,
      ids,
    }
  }

  /** Reconciles and answers every action with success until nothing more happens. */
  settle(): void {
    for (let round = 0; round < 200; round += 1) {
      const { events, actions } = this.reconcile()
      const told = actions.flatMap(answer).flatMap((fact) => this.tell(fact))
      if (events.length + told.length === 0) return
    }
    throw new Error('It does not settle.')
  }

  /** Reconciles and answers actions of these types only, once. */
  step(...types: readonly DeploymentAction['type'][]): void {
    const { actions } = this.reconcile()
    for (const action of actions) {
      if (types.includes(action.type)) for (const fact of answer(action)) this.tell(fact)
    }
    this.reconcile()
  }

  pass(durationMs: number): void {
    this.nowMs = ms(this.nowMs + durationMs)
  }

  /** The only deployment there is. */
  get only(): Deployment {
    const [deployment, ...others] = this.state.deployments.values()
    if (!deployment || others.length > 0)
      throw new Error(`There are ${this.state.deployments.size} deployments.`)
    return deployment
  }

  replicas(phase: Replica['phase']): readonly Replica[] {
    return [...this.state.deployments.values()].flatMap(({ replicas }) =>
      replicas.filter((replica) => replica.phase === phase),
    )
  }

  #candidates(): readonly PlacementCandidate[] {
    return [...this.machines].map(([machine, { freeBytes, region }]) => ({
      machine,
      device: 'CPU',
      location: { region, provider: 'home' },
      freeBytes: bytes(freeBytes),
      benchmark: {
        device: 'CPU',
        weightBytesPerSecond: bytesPerSecond(1e9),
        flopsPerSecond: {},
        hostBytesPerSecond: null,
      },
    }))
  }

  #happened(events: readonly DeploymentEvent[]): void {
    this.events.push(...events)
    this.state = foldDeployments(events, this.state)
  }
}

/** What a faultless outside says after it has done an action. */
export function answer(action: DeploymentAction): readonly DeploymentFact[] {
  const { deployment, replica } = action
  switch (action.type) {
    case 'load': {
      const about = { deployment, replica, generation: action.generation, stage: action.stage.id }
      return [
        { type: 'stageProgress', ...about, fraction: 0 },
        { type: 'stageLoaded', ...about },
      ]
    }
    case 'unload':
      return [{ type: 'stageUnloaded', deployment, stage: action.stage }]
    case 'verify':
      return [
        { type: 'tokenVerified', deployment, replica, generation: action.generation, firstTokenMs: ms(5) },
      ]
    case 'drain':
      return [{ type: 'drained', deployment, replica, drain: action.drain }]
    default:
      return []
  }
}
