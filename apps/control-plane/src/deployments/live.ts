import type { AnswerOf, Routes } from '@deos/api'
import { type Milliseconds, tokens, tokensPerSecond } from '@deos/domain'
import type { Deployment, Replica } from '@deos/fleet'
import type { DeployableFleet } from './deployable-fleet.ts'
import { iso } from './deployment-answers.ts'
import { type GatewayReport, requestsAt } from './gateway-reports.ts'
import type { RingActivity } from './ring-activity.ts'

type EventOf<S> = S extends AsyncIterable<{ readonly data: infer D }> ? D : never
export type LiveAnswer = EventOf<AnswerOf<Routes['deployments']['live']>>

/** What the rings of a deployment do now. */
export function liveAnswer(
  deployment: Deployment,
  activity: RingActivity,
  fleet: DeployableFleet,
  gateways: readonly GatewayReport[],
  nowMs: number,
): LiveAnswer {
  return {
    at: iso(nowMs),
    replicas: deployment.replicas.map((replica) => ({
      id: replica.id,
      state: replica.phase,
      tokensPerSecond: tokensPerSecond(activity.tokensPerSecond(replica)),
      activeSessions: activity.activeSessions(replica),
      queuedSessions: requestsAt(gateways, replica.id, replica.generation).queued,
      kvUsedTokens: tokens(activity.kvUsedTokens(replica)),
      kvCapacityTokens: tokens(activity.kvCapacityTokens(deployment, replica) ?? 0),
      stages: replica.stages.map(({ id }, position) => ({
        id,
        busyFraction: activity.reportOf(replica, position)?.busyFraction ?? 0,
        linkRoundTripMs: roundTrip(replica, position, activity, fleet),
        linkPath: activity.reportOf(replica, position)?.nextPath ?? null,
      })),
    })),
  }
}

/** To the next stage: as its own link feels it, or else as it was measured between the machines. */
function roundTrip(
  replica: Replica,
  position: number,
  activity: RingActivity,
  fleet: DeployableFleet,
): Milliseconds | null {
  const { stages } = replica
  if (stages.length === 1) return null
  const { machine } = stages[position]!
  const next = stages[(position + 1) % stages.length]!.machine
  const felt = activity.reportOf(replica, position)?.nextRoundTripMs ?? null
  return felt ?? fleet.linkBetween(machine, next)?.roundTripMs ?? null
}
