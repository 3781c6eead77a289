import {
  bytes,
  formatBytes,
  formatLayers,
  layerCount,
  type PlacementCandidate,
  type PlacementRequest,
} from '@deos/domain'
import type { Demand } from './demand.ts'
import { byRoom, type Eligible, totalRoom } from './eligible.ts'
import type { LinkTimes } from './link-times.ts'
import { PIECE_TOKENS } from './prompt-pieces.ts'
import type { RingChoice } from './quick-ring.ts'

const nameOf = ({ machine, device }: PlacementCandidate) => `${machine}/${device}`

const list = (names: readonly string[], most = 4): string =>
  names.length <= most
    ? names.join(', ')
    : `${names.slice(0, most).join(', ')} and ${names.length - most} more`

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`

const formatMs = (time: number): string => `${Number(time.toPrecision(3))} ms`

/** Sentences for people: who holds what, why in so many stages, why these and not others. */
export function reasonsFor(
  request: PlacementRequest,
  demand: Demand,
  eligible: Eligible,
  links: LinkTimes,
  choice: RingChoice,
): readonly string[] {
  const unit = request.work === 'prefill' ? `piece of ${PIECE_TOKENS} tokens of a prompt` : 'token'
  return [
    whatIsNeeded(request, demand),
    ...whoHoldsWhat(demand, choice, unit),
    whyNotFewer(demand, eligible, choice),
    ...timeOfAToken(demand, links, choice, unit),
    ...whyNotOthers(eligible, choice, unit),
    ...whoWasAvoided(eligible, choice),
    ...whoWasLeftOut(request, eligible),
  ]
}

/** The same of a ring that was found elsewhere: who holds what, and who was left out. */
export function reasonsForRing(
  request: PlacementRequest,
  demand: Demand,
  eligible: Eligible,
  links: LinkTimes,
  best: RingChoice['best'],
): readonly string[] {
  const choice = { best, runnerUp: null }
  return [
    whatIsNeeded(request, demand),
    ...whoHoldsWhat(demand, choice, 'token'),
    ...timeOfAToken(demand, links, choice, 'token'),
    ...whoWasAvoided(eligible, choice),
    ...whoWasLeftOut(request, eligible),
  ]
}

/** What is missing, with numbers. */
export function reasonsAgainst(
  request: PlacementRequest,
  demand: Demand,
  eligible: Eligible,
): readonly string[] {
  const allowed = [...eligible.fresh, ...eligible.avoided]
  return [
    whatIsNeeded(request, demand),
    whatIsMissing(demand, eligible, allowed),
    ...whoWasLeftOut(request, eligible),
  ]
}

function whatIsNeeded({ model, kvTokens }: PlacementRequest, demand: Demand): string {
  const weights = `${formatBytes(demand.weightBytes)} of ${model.weightType} weights`
  const kv = `${formatBytes(demand.kvBytes)} of KV for ${count(kvTokens, 'token')}`
  return `The ${count(demand.layers, 'layer')} need ${formatBytes(demand.roomBytes)}: ${weights} and ${kv}.`
}

function whatIsMissing(
  demand: Demand,
  { exclusions }: Eligible,
  allowed: readonly PlacementCandidate[],
): string {
  const considered = allowed.length + exclusions.tooSmall.length
  if (considered === 0) return 'No measured device is allowed to hold a part of it.'
  const room = totalRoom([...allowed, ...exclusions.tooSmall])
  const offer = `The ${count(considered, 'measured and allowed device')} offer ${formatBytes(room)}`
  const short = demand.roomBytes - room
  if (short > 0) return `${offer}: ${formatBytes(bytes(short))} short.`
  const largest = allowed[0]
    ? `the largest, ${nameOf(allowed.toSorted(byRoom)[0]!)}, has ${formatBytes(allowed.toSorted(byRoom)[0]!.freeBytes)} free`
    : 'none of them has room for one layer'
  return `${offer} together, but in pieces that whole layers of about ${layerRoom(demand)} do not fill; ${largest}.`
}

const layerRoom = (demand: Demand): string => formatBytes(bytes(Math.round(demand.roomBytes / demand.layers)))

function whoHoldsWhat(demand: Demand, { best }: RingChoice, unit: string): readonly string[] {
  return best.order.map((candidate, index) => {
    const range = best.ranges[index]!
    const { region, provider } = candidate.location
    const weights = formatBytes(demand.weightsOf(range))
    const kv = formatBytes(demand.kvOf(range))
    const time = formatMs(demand.readTime(range, candidate.benchmark.weightBytesPerSecond))
    const where = `${nameOf(candidate)} (${region}, ${provider})`
    const layers = `layers ${formatLayers(range)}, ${layerCount(range)} of ${demand.layers}`
    return `${where} holds ${layers}: ${weights} of weights and ${kv} of KV in ${formatBytes(candidate.freeBytes)} free, ${time} for each ${unit}.`
  })
}

function whyNotFewer(demand: Demand, eligible: Eligible, { best }: RingChoice): string {
  const stages = best.order.length
  if (stages === 1) return 'One device holds it all, so nothing crosses a link.'
  const sharing = best.order.some((candidate) => eligible.avoided.includes(candidate))
  const candidates = [...eligible.fresh, ...(sharing ? eligible.avoided : [])].sort(byRoom)
  const largest = candidates.slice(0, stages - 1)
  const runs = largest.reduce((sum, { freeBytes }) => sum + demand.longestRun(freeBytes), 0)
  const who =
    stages === 2
      ? `${nameOf(largest[0]!)}, which has most memory free,`
      : `the ${largest.length} with most memory free`
  const holds =
    runs < demand.layers
      ? `for ${runs} of the ${demand.layers} layers`
      : 'for the layers only without the embedding and the head, or not in whole layers'
  return `Not in fewer than ${stages} stages: ${who} (${formatBytes(totalRoom(largest))}) would have room ${holds}.`
}

function timeOfAToken(
  demand: Demand,
  links: LinkTimes,
  { best }: RingChoice,
  unit: string,
): readonly string[] {
  const crossings = links.around(best.order)
  const linkMs = crossings.reduce((sum, { timeMs }) => sum + timeMs, 0)
  const total = `A ${unit} is predicted to take ${formatMs(best.tokenMs)}`
  if (crossings.length === 0) {
    return [`${total}: ${formatBytes(demand.readBytes)} of weights are read for each.`]
  }
  const slowest = crossings.reduce((worst, crossing) => (crossing.timeMs > worst.timeMs ? crossing : worst))
  const way = `${slowest.from.machine} → ${slowest.to.machine}`
  const sentence = `${total}: ${formatMs(best.tokenMs - linkMs)} computing and ${formatMs(linkMs)} on links, the slowest of which is ${way} with ${formatMs(slowest.timeMs)}.`
  const unmeasured = crossings.filter(({ measured }) => !measured)
  if (unmeasured.length === 0) return [sentence]
  const ways = list(unmeasured.map(({ from, to }) => `${from.machine} → ${to.machine}`))
  return [sentence, `Not measured and taken for slow: ${ways}.`]
}

function whyNotOthers(eligible: Eligible, { best, runnerUp }: RingChoice, unit: string): readonly string[] {
  if (!runnerUp) {
    return eligible.fresh.length + eligible.avoided.length > best.order.length
      ? [`No ${count(best.order.length, 'other device')} that fit were found.`]
      : []
  }
  const who = list(runnerUp.order.map(nameOf))
  const difference = runnerUp.tokenMs - best.tokenMs
  return [
    difference > best.tokenMs * 1e-6
      ? `Not on ${who}: a ${unit} would take ${formatMs(runnerUp.tokenMs)}.`
      : `${who} would do as well.`,
  ]
}

function whoWasAvoided({ avoided }: Eligible, { best }: RingChoice): readonly string[] {
  if (avoided.length === 0) return []
  const shared = best.order.filter((candidate) => avoided.includes(candidate))
  return shared.length === 0
    ? [`Kept away from ${list(avoided.map(nameOf))}, so that not everything depends on the same machines.`]
    : [`${list(shared.map(nameOf))} should have been avoided, but without any such machine it does not fit.`]
}

function whoWasLeftOut(request: PlacementRequest, { exclusions }: Eligible): readonly string[] {
  const { region, provider, unmeasured, tooSmall } = exclusions
  const sentence = (left: readonly PlacementCandidate[], why: string) =>
    left.length === 0
      ? []
      : [`Left out: ${count(left.length, 'device')} with ${formatBytes(totalRoom(left))} free, ${why}.`]
  const places = (allowed: readonly string[] | null, found: readonly string[], what: string) =>
    `in other ${what} (${list([...new Set(found)].sort())}) than ${list(allowed ?? []) || 'none'}`
  return [
    ...sentence(
      region,
      places(
        request.regions,
        region.map(({ location }) => location.region),
        'regions',
      ),
    ),
    ...sentence(
      provider,
      places(
        request.providers,
        provider.map(({ location }) => location.provider),
        'providers',
      ).replace('in other', 'of other'),
    ),
    ...sentence(unmeasured, `not measured yet (${list(unmeasured.map(nameOf))})`),
    ...sentence(tooSmall, `too little for a single layer (${list(tooSmall.map(nameOf))})`),
  ]
}
