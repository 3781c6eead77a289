import type { StageAssignment } from '@deos/api'
import { ProblemError } from '@deos/api'
import { type LayerRange, type MachineId, tokens } from '@deos/domain'
import { kvTokensOf, mayLoad, requireRevision } from '@deos/fleet'
import type { DeployedModel, DeployedModels } from './deployed-models.ts'
import type { DeploymentLog } from './deployment-log.ts'
import type { RingAccess } from './ring-access.ts'
import type { StageOfReplica } from './stage-index.ts'

export type LayerSource = StageAssignment['sources'][number]

export interface AssignmentParts {
  readonly log: DeploymentLog
  readonly models: DeployedModels
  readonly rings: RingAccess
  /** Machines that hold some of the layers already, with tickets for `reader`; never waited for long. */
  readonly sourcesOf: (
    reader: MachineId,
    model: DeployedModel,
    layers: LayerRange,
  ) => Promise<readonly LayerSource[]>
}

export interface StageAssignments {
  /** Grows with every change of what is assigned, {@link DeploymentLog.assignmentsVersion}. */
  readonly version: number
  readonly assignments: readonly StageAssignment[]
}

/** What machines are to hold, as the state promises it. */
export class Assignments {
  constructor(private readonly parts: AssignmentParts) {}

  /** @throws ProblemError `unavailable` while a model cannot be told of: less than all would be taken for a change */
  async of(machine: MachineId, incarnation: number): Promise<StageAssignments> {
    const { log } = this.parts
    const version = log.assignmentsVersion(machine)
    const due = log.stages
      .placedOn(machine)
      .filter(({ stage }) => stage.incarnation === incarnation)
      .filter(({ replica, stage, position }) => stage.state.type !== 'assigned' || mayLoad(replica, position))
    return { version, assignments: await Promise.all(due.map((entry) => this.#assignment(machine, entry))) }
  }

  async #assignment(machine: MachineId, { deployment, replica, stage, position }: StageOfReplica) {
    const { models, rings, sourcesOf } = this.parts
    const { spec } = requireRevision(deployment, replica.revision)
    const model = models.modelOf(spec.model)
    if (model === null || model.fingerprint === null || model.shape === null) {
      throw new ProblemError('unavailable', `The model of ${deployment.name} is not known here yet.`, {
        retryAfterMs: 500,
      })
    }
    const { stages } = replica
    const neighbour = (at: number) => {
      const { id, machine: machineId, linkAddress } = stages[(at + stages.length) % stages.length]!
      return { stageId: id, machineId, linkAddress }
    }
    return {
      stageId: stage.id,
      replicaId: replica.id,
      deploymentId: deployment.id,
      generation: replica.generation,
      wanted: replica.phase === 'draining' ? 'drain' : 'run',
      position,
      stages: stages.length,
      device: stage.device,
      layers: { ...stage.layers },
      model: {
        id: model.id,
        name: model.name,
        fingerprint: model.fingerprint,
        files: model.files.map((file) => ({ ...file })),
      },
      precision: spec.precision,
      activations: spec.activations,
      contextTokens: tokens(spec.contextTokens ?? model.shape.contextTokens),
      sessions: spec.sessions,
      kvTokens: kvTokensOf(spec, model.shape.contextTokens),
      weightBytes: stage.weightBytes,
      kvBytes: stage.kvBytes,
      ring: rings.idOf(replica),
      ringSecret: rings.secretOf(replica),
      previous: neighbour(position - 1),
      next: neighbour(position + 1),
      // They matter only to who loads.
      sources: stage.state.type === 'loaded' ? [] : [...(await sourcesOf(machine, model, stage.layers))],
    } satisfies StageAssignment
  }
}
