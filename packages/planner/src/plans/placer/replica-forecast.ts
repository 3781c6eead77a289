import type {
  FleetSnapshot,
  HeldLayers,
  HeldRing,
  ModelFootprint,
  Placement,
  PlacementRequest,
} from '@deos/domain'
import { LEAST_SPLIT_GAIN } from '../../kv-split/advise-split.ts'
import { predictTransfer } from '../../kv-split/predict-transfer.ts'
import { type LinkEnd, LinkTimes } from '../../link-times.ts'
import { PIECE_TOKENS } from '../../prompt-pieces.ts'
import { coversAll } from './mended-rings.ts'
import {
  forecastRing,
  type RingForecast,
  type StageCost,
  stageCosts,
  stageMs,
  type UsualRequests,
} from './ring-forecast.ts'

/** A prompt that is computed in one ring and handed over to another. */
export interface HandOver {
  /** Until its last layer is computed. */
  readonly computedMs: number
  /** How long it then waits for KV that is under way. */
  readonly waitMs: number
  /** What the busiest of the links between the rings takes for it, and which that is. */
  readonly linkMs: number
  readonly link: string
  /** Names of the other ring's machines. */
  readonly partner: string
  /** What whoever decodes it would take to compute it; `null` where that was not measured. */
  readonly ownMs: number | null
}

/** What a replica does to requests in its role. */
export interface ReplicaForecast extends Omit<RingForecast, 'tpotMs' | 'slowest'> {
  /** `null` where only prompts are computed. */
  readonly tpotMs: number | null
  /** What sets the pace: a stage, or the link on which KV leaves. */
  readonly slowest: RingForecast['slowest'] | 'link'
  /** Of prompts, to each partner; where it decodes, from each that is worth it. */
  readonly handOvers: readonly HandOver[]
  /** Where it decodes, partners that are not: it computes such prompts itself. */
  readonly slowPartners: number
  /** Until a prompt is computed here; where it decodes, its first token too. */
  readonly hereMs: number
}

/**
 * What a replica does in the role that is asked of it.
 *
 * - Only prompts (`work: 'prefill'`): the time until the KV of one is at the replica that decodes it, by the mean of those
 *   there are. There are no steps of decoding in it. Compared (`requestMs`) is what they make of it: one that is sooner
 *   done by itself does so, and does not count against a place that is good for others.
 * - Decoding beside others that compute prompts: a gateway takes any of these, and has a prompt computed there if it is
 *   sooner done by as much as `adviseSplit` asks for; else it is computed here.
 *
 * KV travels as it is cached; what the codec saves is not known before it is measured.
 *
 * @returns null if reading weights, or products in the model's weight type, were not measured on all of its devices
 */
export function forecastReplica(
  request: PlacementRequest,
  placement: Pick<Placement, 'stages'>,
  fleet: FleetSnapshot,
  requests: UsualRequests,
): ReplicaForecast | null {
  const { model, work } = request
  const partners = (request.partners ?? []).filter((ring) => coversAll(ring, model.layerBytes.length))
  const stages = stageCosts(model, placement.stages, fleet)
  if (stages === null) return null
  const forecast = work === 'prefill' ? ofPrompts : besidePrompts
  return forecast(model, stages, partners, fleet, requests)
}

function ofPrompts(
  model: ModelFootprint,
  stages: readonly StageCost[],
  partners: readonly HeldRing[],
  fleet: FleetSnapshot,
  { promptTokens }: UsualRequests,
): ReplicaForecast {
  const links = new LinkTimes(fleet.links, model.boundaryBytes)
  // To where it is already, it takes no time.
  const { computedMs } = handOver(model, stages, ownEnds(stages), links, promptTokens)
  const handOvers = partners.map((partner) => {
    const costs = stageCosts(model, partner, fleet)
    return {
      ...handOver(model, stages, endsOf(partner, fleet), links, promptTokens),
      partner: namesOf(partner),
      ownMs: costs && handOver(model, costs, ownEnds(costs), links, promptTokens).computedMs,
    }
  })
  const ttftMs = computedMs + mean(handOvers.map(({ waitMs }) => waitMs))
  const readyMs = handOvers.map(({ waitMs, ownMs }) =>
    Math.min(computedMs + waitMs, ownMs ?? Number.POSITIVE_INFINITY),
  )
  const times = stages.map((stage) => stageMs(stage, promptTokens))
  const paceMs = Math.max(...times)
  const linkMs = mean(handOvers.map((each) => each.linkMs))
  const stage = times.indexOf(paceMs)
  const { readMs, productMs } = stages[stage]!
  const bound = promptTokens * productMs > readMs ? 'compute' : 'memory'
  return {
    ttftMs,
    tpotMs: null,
    tokensPerS: (promptTokens * 1000) / Math.max(paceMs, linkMs),
    requestMs: readyMs.length === 0 ? computedMs : mean(readyMs),
    slowest: linkMs > paceMs ? 'link' : { stage, bound },
    handOvers,
    slowPartners: 0,
    hereMs: computedMs,
  }
}

function besidePrompts(
  model: ModelFootprint,
  stages: readonly StageCost[],
  partners: readonly HeldRing[],
  fleet: FleetSnapshot,
  requests: UsualRequests,
): ReplicaForecast {
  const { promptTokens, outputTokens } = requests
  const own = forecastRing(model, stages, fleet, requests)
  const links = new LinkTimes(fleet.links, model.boundaryBytes)
  const order = stages.map(({ candidate }) => candidate)
  // The last token of a prompt is computed here in any case: the first of the answer comes of it.
  const firstMs = stages.reduce((sum, stage) => sum + stageMs(stage, 1), links.aroundMs(order))
  const firsts: number[] = []
  const handOvers: HandOver[] = []
  for (const partner of partners) {
    const senders = stageCosts(model, partner, fleet)
    const there = senders === null ? null : handOver(model, senders, ownEnds(stages), links, promptTokens)
    const thereMs = there === null ? Number.POSITIVE_INFINITY : there.computedMs + there.waitMs + firstMs
    const worthIt = there !== null && thereMs < own.ttftMs * (1 - LEAST_SPLIT_GAIN)
    firsts.push(worthIt ? thereMs : own.ttftMs)
    if (worthIt) handOvers.push({ ...there, partner: namesOf(partner), ownMs: own.ttftMs })
  }
  const ttftMs = firsts.length === 0 ? own.ttftMs : mean(firsts)
  const requestMs = ttftMs + outputTokens * own.tpotMs
  const slowPartners = partners.length - handOvers.length
  return { ...own, ttftMs, requestMs, handOvers, slowPartners, hereMs: own.ttftMs }
}

/** A stage of a ring that KV comes from or goes to. */
export interface PlacedLayers {
  readonly end: LinkEnd
  readonly layers: HeldLayers['layers']
}

const ownEnds = (stages: readonly StageCost[]): readonly PlacedLayers[] =>
  stages.map(({ candidate, layers }) => ({ end: candidate, layers }))

/** Of a machine that is not offered nothing but its measured links is known. */
const nowhere = { region: '', provider: '' }

export const endsOf = (ring: HeldRing, { candidates }: FleetSnapshot): readonly PlacedLayers[] =>
  ring.map(({ machine, layers }) => {
    const known = candidates.find((candidate) => candidate.machine === machine)
    return { end: known ?? { machine, location: nowhere }, layers }
  })

/** A prompt goes through the senders in pieces, and each layer leaves as soon as it is computed. */
function handOver(
  model: ModelFootprint,
  senders: readonly StageCost[],
  receivers: readonly PlacedLayers[],
  links: LinkTimes,
  promptTokens: number,
): Omit<HandOver, 'partner' | 'ownMs'> {
  const pieces = Math.ceil(promptTokens / PIECE_TOKENS)
  const tokens = promptTokens / pieces
  const computeMs = senders.flatMap((stage) => {
    const sizes = model.layerBytes.slice(stage.layers.first, stage.layers.end)
    const msPerByte = stageMs(stage, tokens) / sizes.reduce<number>((sum, size) => sum + size, 0)
    return sizes.map((size) => size * msPerByte)
  })
  const sizeBytes = computeMs.map(() => model.kvBytesPerLayer * tokens)
  const ways = new LinkTimes(links.links, model.boundaryBytes * tokens)
  const hopsMs = senders
    .slice(1)
    .map(({ candidate }, index) => ways.stepMs(senders[index]!.candidate, candidate))
  const forecast = predictTransfer({
    chunks: Array.from({ length: pieces }, () => ({ computeMs, sizeBytes })),
    senders: senders.map(({ layers }) => layers),
    receivers: receivers.map(({ layers }) => layers),
    hopMs: mean(hopsMs),
    link: (sender, receiver) => kvLink(links, senders[sender]!.candidate, receivers[receiver]!.end),
  })
  const busy = forecast.links.map(({ sender, receiver, sizeBytes: size }) => {
    const [from, to] = [senders[sender]!.candidate, receivers[receiver]!.end]
    const linkMs = (size / kvLink(links, from, to).bytesPerSecond) * 1000
    return { linkMs, link: `${from.machine} → ${to.machine}` }
  })
  const busiest = busy.reduce((most, each) => (each.linkMs > most.linkMs ? each : most))
  return { computedMs: forecast.computedMs, waitMs: forecast.exposedMs, ...busiest }
}

/** A stage that stays on its machine hands its KV over in no time. */
export function kvLink(links: LinkTimes, from: LinkEnd, to: LinkEnd) {
  const inside = { roundTripMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY }
  const { roundTripMs, bytesPerSecond } = from.machine === to.machine ? inside : links.rateOf(from, to)
  return { bytesPerSecond, rttMs: roundTripMs, windowBytes: Number.POSITIVE_INFINITY }
}

const namesOf = (ring: HeldRing): string => ring.map(({ machine }) => machine).join(' + ')

export const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length
