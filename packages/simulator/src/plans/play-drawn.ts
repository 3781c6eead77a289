import { seededRandom } from '@deos/domain'
import type { ServingRequest, ServingWorkload } from '@deos/planner'
import type { ServingResult } from '../serving/serving-result.ts'
import { type RequestTimes, type ServingRun, simulateServing } from '../serving/simulate-serving.ts'
import { drawRequests, drawUnderWay } from './draw-requests.ts'

/** What is asked of a service. */
export interface DrawnLoad {
  readonly requestsPerS: number
  readonly seed: number
  /** How many requests are played; the first third only warms up. */
  readonly requests: number
  /** Requests in the middle of their answers at the beginning, whose steps begin within so long. Default none. */
  readonly underWay?: { readonly requests: number; readonly overMs: number }
  /** Ends when the last request comes, and not when it is answered. Default false. */
  readonly endsWithWindow?: boolean
}

/** A service that was played, request by request. */
export interface PlayedRequests {
  readonly result: ServingResult
  /** Of those that count, in the order in which they ended. */
  readonly requests: readonly RequestTimes[]
  /** In the time that counts. */
  readonly came: number
  /** Mean tokens of an answer that counts. */
  readonly meanOutput: number
}

const warmUp = 1 / 3
/** Nothing in time, but behind everything that happens at the same moment. */
const gatherMs = 1e-6

/** Plays requests as a workload says through a fleet whose engines step all their sequences together. */
export function playDrawn(
  service: Pick<ServingRun, 'fleet' | 'router' | 'outages'>,
  workload: ServingWorkload,
  { requestsPerS, seed, requests, underWay, endsWithWindow = false }: DrawnLoad,
): PlayedRequests {
  const random = seededRandom(seed)
  const arrivals = drawRequests(workload, requestsPerS, requests, random)
  const earlier =
    underWay === undefined ? [] : drawUnderWay(arrivals, underWay.requests, underWay.overMs, random)
  const warm = Math.floor(arrivals.length * warmUp)
  const firstMs = arrivals[warm]!.atMs
  const counted: RequestTimes[] = []
  const result = simulateServing({
    ...service,
    workload: { kind: 'open', arrivals },
    underWay: earlier,
    endsWithWindow,
    window: { fromMs: firstMs, toMs: Math.max(firstMs + 1, arrivals.at(-1)!.atMs) },
    gatherMs,
    stepsTogether: true,
    onRequest: (request) => {
      if (request.id >= warm && request.id < arrivals.length) counted.push(request)
    },
  })
  const came = arrivals.length - warm
  return { result, requests: counted, came, meanOutput: meanOutput(arrivals.slice(warm)) }
}

const meanOutput = (requests: readonly ServingRequest[]): number =>
  requests.reduce((sum, { outputTokens }) => sum + outputTokens, 0) / requests.length
