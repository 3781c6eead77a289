import type { Random } from '@deos/domain'
import type { Lengths, ServingRequest, ServingWorkload } from '@deos/planner'
import type { RequestUnderWay } from '../serving/simulate-serving.ts'

/** z of the 95th percentile. */
const z95 = 1.6449

/** A length of a lognormal distribution with the given mean and 95th percentile. */
export function drawLength({ mean, p95 }: Lengths, random: Random): number {
  if (p95 <= mean) return Math.round(mean)
  const sigma = z95 - Math.sqrt(Math.max(0, z95 ** 2 - 2 * Math.log(p95 / mean)))
  const normal = Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())
  return Math.max(1, Math.round(mean * Math.exp(sigma * normal - sigma ** 2 / 2)))
}

/**
 * Requests at a rate: recorded ones with their gaps stretched or squeezed, again and again; otherwise drawn ones that
 * come independently of each other.
 */
export function drawRequests(
  workload: ServingWorkload,
  requestsPerS: number,
  count: number,
  random: Random,
): readonly ServingRequest[] {
  const { trace, contextTokens } = workload
  if (trace !== null && trace.length > 0) return repeated(trace, requestsPerS, count)
  let atMs = 0
  return Array.from({ length: count }, () => {
    atMs += (-Math.log(1 - random.next()) * 1000) / requestsPerS
    const promptTokens = Math.min(drawLength(workload.promptTokens, random), contextTokens - 1)
    const outputTokens = Math.min(drawLength(workload.outputTokens, random), contextTokens - promptTokens)
    return { atMs, promptTokens, outputTokens }
  })
}

function repeated(
  trace: readonly ServingRequest[],
  requestsPerS: number,
  count: number,
): readonly ServingRequest[] {
  const firstMs = trace[0]!.atMs
  const spanMs = Math.max(1, trace.at(-1)!.atMs - firstMs)
  const roundMs = (trace.length * 1000) / requestsPerS
  const stretch = (roundMs * (trace.length - 1)) / trace.length / spanMs
  return Array.from({ length: count }, (_, at) => {
    const request = trace[at % trace.length]!
    return {
      ...request,
      atMs: Math.floor(at / trace.length) * roundMs + (request.atMs - firstMs) * stretch,
    }
  })
}

/**
 * Requests as they are met in the middle of their answers: long answers more often than short ones, anywhere in them.
 *
 * @param overMs - their next steps begin within so long
 */
export function drawUnderWay(
  requests: readonly ServingRequest[],
  count: number,
  overMs: number,
  random: Random,
): readonly RequestUnderWay[] {
  const answering = requests.filter(({ outputTokens }) => outputTokens > 0)
  const longest = answering.reduce((most, { outputTokens }) => Math.max(most, outputTokens), 0)
  const drawn: RequestUnderWay[] = []
  while (drawn.length < count && answering.length > 0) {
    const { promptTokens, outputTokens } = answering[Math.floor(random.next() * answering.length)]!
    if (random.next() * longest >= outputTokens) continue
    const steps = Math.floor(random.next() * outputTokens)
    drawn.push({ promptTokens, outputTokens, steps, atMs: random.next() * overMs })
  }
  return drawn
}
