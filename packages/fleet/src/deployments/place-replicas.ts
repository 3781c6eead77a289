import {
  type DeploymentId,
  type HeldRing,
  ms,
  type Placement,
  type PlacementOutcome,
  type PlacementRequest,
  type StageId,
} from '@deos/domain'
import { drain, sortReplicas } from './balance-replicas.ts'
import {
  activeSpec,
  type Deployment,
  isCurrent,
  type Refusal,
  type Replica,
  refusalOf,
  wantedReplicas,
} from './deployment.ts'
import { kvTokensOf } from './deployment-spec.ts'
import { beside, placeAnswering, type ReplicasBeside, ringOf } from './place-answering.ts'
import { backoff } from './reconciler-settings.ts'
import type { Reconciliation } from './reconciliation.ts'
import { type ReplicaRole, replicaRoles } from './replica-role.ts'

const unknownModel = 'unknown model'

/**
 * Finds machines for replicas that have none: first for those that answer, oldest first. Where one does not fit, the next
 * one does not either.
 */
export function placeReplicas(run: Reconciliation, id: DeploymentId): void {
  const { replicas } = run.deployment(id)
  for (const { id: replicaId } of replicaRoles.flatMap((role) => replicas.filter(hasRole(role)))) {
    const deployment = run.deployment(id)
    const replica = deployment.replicas.find((candidate) => candidate.id === replicaId)
    if (!replica || !isDue(replica, run)) continue
    const refusal = refusalOf(deployment, replica.role)
    if (refusal && run.nowMs < retryAtMs(deployment, refusal, run)) return
    const { request, outcome } = lookFor(run, deployment, replica)
    if (outcome.placement) {
      place(run, deployment, replica, outcome.placement)
      continue
    }
    refuse(run, deployment, replica.role, outcome.reasons)
    if (request) makeRoom(run, id, request)
    return
  }
}

const hasRole =
  (role: ReplicaRole) =>
  (replica: Replica): boolean =>
    replica.role === role

const isDue = ({ phase, failure }: Replica, { nowMs }: Reconciliation): boolean =>
  phase === 'placing' || (phase === 'failed' && nowMs >= failure!.retryAtMs)

/** When a refused placement is worth another try: soon if something has changed. */
export function retryAtMs(deployment: Deployment, refusal: Refusal, run: Reconciliation): number {
  const changed = fleetKey(run, deployment) !== refusal.fleetKey
  return changed ? Math.min(refusal.retryAtMs, refusal.atMs + run.settings.refusalGapMs) : refusal.retryAtMs
}

function footprintOf(run: Reconciliation, deployment: Deployment) {
  const { model, precision } = activeSpec(deployment)
  return run.input.footprint(model, precision)
}

const sizesAreKnown = (run: Reconciliation, deployment: Deployment): boolean =>
  footprintOf(run, deployment) !== null && run.input.contextTokens(activeSpec(deployment).model) !== null

const fleetKey = (run: Reconciliation, deployment: Deployment): string =>
  sizesAreKnown(run, deployment) ? run.roomKey(deployment.organisation) : unknownModel

function sizesUnknown(deployment: Deployment): PlacementOutcome {
  const { model, precision } = activeSpec(deployment)
  return { placement: null, reasons: [`The sizes of ${model} as ${precision} are not known yet.`] }
}

/** A place in its role, and how it was asked for; `null` if there was nothing to ask. */
function lookFor(
  run: Reconciliation,
  deployment: Deployment,
  replica: Replica,
): { readonly request: PlacementRequest | null; readonly outcome: PlacementOutcome } {
  const request = requestFor(run, deployment, replica)
  if (request === null) return { request, outcome: sizesUnknown(deployment) }
  const room = run.room(deployment.organisation)
  const place = (asked: PlacementRequest) => run.input.placer.place(asked, room)
  if (replica.role === 'decode') return placeAnswering(request, replicasBeside(run, deployment), place)
  const asked = beside(request, ringsOf(run, deployment, 'decode'))
  return { request: asked, outcome: place(asked) }
}

function requestFor(run: Reconciliation, deployment: Deployment, replica: Replica): PlacementRequest | null {
  const model = footprintOf(run, deployment)
  const spec = activeSpec(deployment)
  const modelTokens = run.input.contextTokens(spec.model)
  if (!model || modelTokens === null) return null
  const others = deployment.replicas.filter(({ id }) => id !== replica.id)
  const theirs = others.flatMap(({ stages }) => stages.map(({ machine }) => machine))
  return {
    model,
    kvTokens: kvTokensOf(spec, modelTokens),
    regions: spec.regions,
    providers: spec.providers,
    avoid: [...new Set([...theirs, ...replica.avoid])].sort(),
    work: replica.role,
    ...(replica.held === undefined || !isCurrent(deployment, replica) ? {} : { held: replica.held }),
  }
}

/** Where those of the role are that keep their place. */
const ringsOf = (run: Reconciliation, deployment: Deployment, role: ReplicaRole): readonly HeldRing[] =>
  sortReplicas(run, deployment, role)
    .staying.filter(({ stages }) => stages.length > 0)
    .map(({ stages }) => ringOf(stages))

function replicasBeside(run: Reconciliation, deployment: Deployment): ReplicasBeside {
  const placed = deployment.replicas.filter(({ role, stages }) => role === 'prefill' && stages.length > 0)
  return {
    answering: ringsOf(run, deployment, 'decode'),
    prompts: ringsOf(run, deployment, 'prefill'),
    missing: Math.max(0, wantedReplicas(deployment, 'prefill') - placed.length),
  }
}

function place(run: Reconciliation, deployment: Deployment, replica: Replica, placement: Placement): void {
  assertSound(run, deployment, placement)
  const { tokenMs, reasons, forecast } = placement
  const stages = placement.stages.map(({ machine, device, layers, weightBytes, kvBytes }) => {
    const { incarnation } = run.machine(machine)!
    const id = run.input.ids.next('stage') as StageId
    return { id, machine, device, layers, weightBytes, kvBytes, incarnation }
  })
  run.emit({
    type: 'replicaPlaced',
    deployment: deployment.id,
    atMs: run.nowMs,
    replica: replica.id,
    generation: replica.generation + 1,
    stages,
    tokenMs,
    reasons,
    ...(forecast === undefined ? {} : { forecast }),
  })
}

/** Whatever placer is put in: all layers in order, in memory that is free. */
function assertSound(run: Reconciliation, deployment: Deployment, { stages }: Placement): void {
  const layers = footprintOf(run, deployment)!.layerBytes.length
  let next = 0
  for (const { layers: range } of stages) {
    if (range.first !== next || range.end <= next) throw new Error(`A placement leaves out layer ${next}.`)
    next = range.end
  }
  if (next !== layers) throw new Error(`A placement ends at layer ${next} of ${layers}.`)
  const { candidates } = run.room(deployment.organisation)
  for (const candidate of candidates) {
    const here = stages.filter(
      ({ machine, device }) => machine === candidate.machine && device === candidate.device,
    )
    const taken = here.reduce((sum, { weightBytes, kvBytes }) => sum + weightBytes + kvBytes, 0)
    if (taken > candidate.freeBytes) {
      const where = `${candidate.machine}/${candidate.device}`
      throw new Error(`A placement takes ${taken} bytes of ${candidate.freeBytes} on ${where}.`)
    }
  }
  const open = new Set(candidates.map(({ machine }) => machine))
  const stranger = stages.find(({ machine }) => !open.has(machine))
  if (stranger) throw new Error(`A placement uses ${stranger.machine}, which was not offered.`)
}

function refuse(
  run: Reconciliation,
  deployment: Deployment,
  role: ReplicaRole,
  reasons: readonly string[],
): void {
  const { refusal, id } = deployment
  const key = fleetKey(run, deployment)
  const count = refusal?.fleetKey === key && refusal.role === role ? refusal.count + 1 : 1
  const { refusalBackoffMs, longestBackoffMs } = run.settings
  const waitMs = backoff(refusalBackoffMs, longestBackoffMs, count)
  run.emit({
    type: 'placementRefused',
    deployment: id,
    atMs: run.nowMs,
    role,
    reasons,
    fleetKey: key,
    count,
    retryAtMs: ms(run.nowMs + waitMs),
  })
}

/**
 * An update without room for a spare: as many of the replicas it replaces go first as must, if any number of them
 * makes it fit. None has to if what is going anyway makes room enough.
 */
function makeRoom(run: Reconciliation, id: DeploymentId, request: PlacementRequest): void {
  const leaving = replicaRoles.flatMap((role) => sortReplicas(run, run.deployment(id), role).leaving)
  if (leaving.length === 0) return
  const freed = goingAnyway(run)
  const { organisation } = run.deployment(id)
  const fits = () => run.input.placer.place(request, run.room(organisation, freed)).placement !== null
  if (fits()) return
  // Replicas that compute prompts are missed least. Of one role those on draining machines give no room; others do.
  const inOrder = leaving.toReversed()
  for (const [index, replica] of inOrder.entries()) {
    for (const stage of replica.stages) freed.add(stage.id)
    if (!fits()) continue
    const going = inOrder.slice(0, index + 1)
    const { activeRevision } = run.deployment(id)
    const who = going.length === 1 ? 'One replica stops' : `${going.length} replicas stop`
    const reason = `${who} before revision ${activeRevision} has taken over: there is no room for a spare.`
    run.emit({ type: 'updateSqueezed', deployment: id, atMs: run.nowMs, reason })
    for (const old of going) drain(run, id, old, 'room', reason)
    return
  }
}

/** Stages whose room will be free without anything more being done. */
function goingAnyway(run: Reconciliation): Set<StageId> {
  const going = new Set<StageId>()
  for (const { replicas, leaving } of run.state.deployments.values()) {
    for (const { id } of leaving) going.add(id)
    for (const { phase, stages } of replicas) {
      if (phase === 'draining') for (const { id } of stages) going.add(id)
    }
  }
  return going
}
