import { type AnswerOf, ProblemError, type Routes } from '@deos/api'
import {
  bytes,
  type FleetSnapshot,
  type OrganisationId,
  type Placement,
  type PlacementOutcome,
  type PlacementRequest,
  type Placer,
  type StagePlacement,
  tokens,
  tokensPerSecond,
} from '@deos/domain'
import { beside, type DeploymentSpec, kvTokensOf, placeAnswering, ringOf } from '@deos/fleet'
import { type DeployableFleet, pricePerHourOf, withMachineNames } from './deployable-fleet.ts'
import type { DeployedModels } from './deployed-models.ts'
import { placeOf } from './deployment-answers.ts'
import type { Stages } from './stage-index.ts'

export type PreviewAnswer = AnswerOf<Routes['deployments']['preview']>

export interface PreviewParts {
  readonly fleet: DeployableFleet
  readonly models: DeployedModels
  readonly placer: Placer
  readonly stages: Stages
}

/** What a deployment would become if it were made now; nothing is kept. */
export function preview(
  spec: DeploymentSpec,
  organisation: OrganisationId,
  { fleet, models, placer, stages }: PreviewParts,
): PreviewAnswer {
  const model = models.modelOf(spec.model)
  const footprint = models.footprint(spec.model, spec.precision)
  if (model === null) throw new ProblemError('not-found', `There is no model ${spec.model}.`)
  if (footprint === null || model.shape === null) {
    const reasons = [`The sizes of ${model.name} as ${spec.precision} are not known yet.`]
    return { ...nothingFits, kvTokens: tokens(0), reasons }
  }
  const kvTokens = kvTokensOf(spec, model.shape.contextTokens)
  const { regions, providers, split } = spec
  const request = { model: footprint, kvTokens, regions, providers, avoid: [] }
  const wanted = Math.max(1, spec.minReplicas)
  const wantedPrefill = split?.prefillReplicas ?? 0
  const room = roomOf(organisation, fleet, stages)
  // As the reconciler does, and in its order.
  const { placements, reasons } = placeSeveral(wanted, request, room, (asked, left, placed) => {
    const answering = placed.map(({ stages }) => ringOf(stages))
    const others = { answering, prompts: [], missing: wantedPrefill }
    return placeAnswering(asked, others, (each) => placer.place(each, left)).outcome
  })
  const [first] = placements
  const names = (reason: string) => withMachineNames(fleet, reason)
  if (first === undefined) return { ...nothingFits, kvTokens, reasons: reasons.map(names) }
  const forPrompts = { ...request, work: 'prefill', avoid: machinesOf(placements) } as const
  const answering = placements.map(({ stages }) => ringOf(stages))
  const left = without(
    room,
    placements.flatMap(({ stages }) => stages),
  )
  const prefill = placeSeveral(wantedPrefill, beside(forPrompts, answering), left, (asked, room) =>
    placer.place(asked, room),
  )
  const [firstPrefill] = prefill.placements
  const shown = [...reasons, ...prefill.reasons.map((reason) => `For prompts: ${reason}`)].map(names)
  const machines = machinesOf([...placements, ...prefill.placements])
  const fits = placements.length === wanted && prefill.placements.length === wantedPrefill
  return {
    placement: {
      stages: first.stages.map((stage) => plannedStage(stage, fleet)),
      tokenMs: first.tokenMs,
    },
    fittingReplicas: placements.length,
    prefillPlacement:
      firstPrefill === undefined
        ? null
        : {
            stages: firstPrefill.stages.map((stage) => plannedStage(stage, fleet)),
            tokenMs: firstPrefill.tokenMs,
          },
    kvTokens,
    // As many sessions as there are stages keep a ring busy.
    predictedTokensPerSecond: tokensPerSecond(
      (Math.min(spec.sessions, first.stages.length) * 1000) / Math.max(first.tokenMs, 0.001),
    ),
    pricePerHour: fits ? pricePerHourOf(fleet, machines) : null,
    reasons: shown,
  }
}

const nothingFits = {
  placement: null,
  prefillPlacement: null,
  fittingReplicas: 0,
  predictedTokensPerSecond: null,
  pricePerHour: null,
} as const

function placeSeveral(
  wanted: number,
  request: PlacementRequest,
  room: FleetSnapshot,
  place: (request: PlacementRequest, room: FleetSnapshot, placed: readonly Placement[]) => PlacementOutcome,
): { readonly placements: readonly Placement[]; readonly reasons: readonly string[] } {
  const placements: Placement[] = []
  let left = room
  if (wanted === 0) return { placements, reasons: [] }
  for (;;) {
    const avoid = [...request.avoid, ...machinesOf(placements)]
    const outcome = place({ ...request, avoid: [...new Set(avoid)].sort() }, left, placements)
    if (outcome.placement === null) {
      return { placements, reasons: [...(placements[0]?.reasons ?? []), ...outcome.reasons] }
    }
    placements.push(outcome.placement)
    if (placements.length === wanted) return { placements, reasons: placements[0]!.reasons }
    left = without(left, outcome.placement.stages)
  }
}

const machinesOf = (placements: readonly Placement[]) =>
  placements.flatMap(({ stages }) => stages.map(({ machine }) => machine))

/** What the organisation's open machines have free. */
function roomOf(organisation: OrganisationId, fleet: DeployableFleet, stages: Stages): FleetSnapshot {
  const open = new Set(
    fleet
      .standings(organisation)
      .filter(({ standing }) => standing === 'open')
      .map(({ machine }) => machine),
  )
  const { candidates, links } = fleet.snapshot(organisation)
  return without({ candidates: candidates.filter(({ machine }) => open.has(machine)), links }, stages.all())
}

type Taken = Pick<StagePlacement, 'machine' | 'device' | 'weightBytes' | 'kvBytes'>

function without({ candidates, links }: FleetSnapshot, taken: readonly Taken[]): FleetSnapshot {
  const key = ({ machine, device }: Pick<Taken, 'machine' | 'device'>) => `${machine}\n${device}`
  const sums = new Map<string, number>()
  for (const stage of taken) {
    sums.set(key(stage), (sums.get(key(stage)) ?? 0) + stage.weightBytes + stage.kvBytes)
  }
  return {
    candidates: candidates.map((candidate) => ({
      ...candidate,
      freeBytes: bytes(Math.max(0, candidate.freeBytes - (sums.get(key(candidate)) ?? 0))),
    })),
    links,
  }
}

function plannedStage(
  { machine, device, layers, weightBytes, kvBytes, decodeMs }: StagePlacement,
  fleet: DeployableFleet,
) {
  const { name, location } = placeOf(machine, fleet)
  return { machineId: machine, machineName: name, device, location, layers, weightBytes, kvBytes, decodeMs }
}
