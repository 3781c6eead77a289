import type { LayerRange } from '@deos/domain'
import { KvSplitError } from './errors.ts'

/** One chunk of the prompt, layer by layer of the whole model. */
export interface ChunkCost {
  /** Time the prefill side takes to compute each layer. */
  readonly computeMs: readonly number[]
  /** What each layer's KV takes on the wire, keys and values together; 0 if the decode side has it. */
  readonly sizeBytes: readonly number[]
}

/** From one machine that computes to one that will decode. Each pair has its own, used in one direction. */
export interface KvLink {
  readonly bytesPerSecond: number
  readonly rttMs: number
  /** Bytes that may be under way: what the link carries at most in a round trip. */
  readonly windowBytes: number
}

export interface KvTransfer {
  readonly chunks: readonly ChunkCost[]
  /** Stages of both rings in order; each covers all layers. */
  readonly senders: readonly LayerRange[]
  readonly receivers: readonly LayerRange[]
  /** From a stage that computes to the next. */
  readonly hopMs: number
  readonly link: (sender: number, receiver: number) => KvLink
}

/** One link, and from which piece on it was never idle again. */
export interface LinkForecast {
  readonly sender: number
  readonly receiver: number
  readonly sizeBytes: number
  readonly finishMs: number
  /** The piece that decides `finishMs`: smaller blocks of earlier pieces would not help. */
  readonly binding: { readonly chunk: number; readonly layer: number }
}

export interface TransferForecast {
  /** Since the prompt began to be computed. */
  readonly computedMs: number
  readonly finishMs: number
  /** What the decode side waits for after the last layer of the last chunk is computed. */
  readonly exposedMs: number
  readonly links: readonly LinkForecast[]
}

/**
 * When the KV of a prompt is where it will be decoded, if every layer of every chunk leaves as soon as it is computed.
 *
 * For one link and one chunk this is max over layers l of (Σ_{i≤l} computeᵢ + Σ_{i≥l} transferᵢ): until some piece is
 * ready the link may be idle, from then on it is busy. With chunks and stages, when a piece is ready follows from the
 * pipeline; links are independent of each other. Round trips of the protocol are hidden, except for the way of the last
 * piece.
 *
 * @throws KvSplitError if stages do not cover the layers, or a number is negative
 */
export function predictTransfer(transfer: KvTransfer): TransferForecast {
  check(transfer)
  const ready = readyTimes(transfer)
  const computedMs = ready.at(-1)!.at(-1)!
  const links: LinkForecast[] = []
  for (const [sender, own] of transfer.senders.entries()) {
    for (const [receiver, other] of transfer.receivers.entries()) {
      const layers = { first: Math.max(own.first, other.first), end: Math.min(own.end, other.end) }
      if (layers.first >= layers.end) continue
      links.push({
        sender,
        receiver,
        ...forecastLink(transfer, layers, transfer.link(sender, receiver), ready),
      })
    }
  }
  const finishMs = Math.max(computedMs, ...links.map((link) => link.finishMs))
  return { computedMs, finishMs, exposedMs: finishMs - computedMs, links }
}

/** What a link carries when its window is the limit. */
export const goodput = ({ bytesPerSecond, rttMs, windowBytes }: KvLink): number =>
  rttMs === 0 ? bytesPerSecond : Math.min(bytesPerSecond, (windowBytes / rttMs) * 1000)

/** When each layer of each chunk is computed: a stage works on one chunk at a time, in order. */
function readyTimes({ chunks, senders, hopMs }: KvTransfer): readonly (readonly number[])[] {
  const free = senders.map(() => 0)
  return chunks.map(({ computeMs }) => {
    const times: number[] = []
    let arrived = 0
    for (const [stage, { first, end }] of senders.entries()) {
      let now = Math.max(arrived, free[stage]!)
      for (let layer = first; layer < end; layer++) {
        now += computeMs[layer]!
        times.push(now)
      }
      free[stage] = now
      arrived = now + hopMs
    }
    return times
  })
}

function forecastLink(
  { chunks }: KvTransfer,
  layers: LayerRange,
  link: KvLink,
  ready: readonly (readonly number[])[],
): Omit<LinkForecast, 'sender' | 'receiver'> {
  const msPerByte = 1000 / goodput(link)
  let behindMs = 0
  let sizeBytes = 0
  let finishMs = 0
  let binding = { chunk: 0, layer: layers.first }
  for (let chunk = chunks.length - 1; chunk >= 0; chunk--) {
    for (let layer = layers.end - 1; layer >= layers.first; layer--) {
      const size = chunks[chunk]!.sizeBytes[layer]!
      if (size === 0) continue
      sizeBytes += size
      behindMs += size * msPerByte
      const through = ready[chunk]![layer]! + behindMs
      if (through <= finishMs) continue
      finishMs = through
      binding = { chunk, layer }
    }
  }
  return { sizeBytes, finishMs: sizeBytes === 0 ? 0 : finishMs + link.rttMs / 2, binding }
}

function check({ chunks, senders, receivers, hopMs, link }: KvTransfer): void {
  const layers = chunks[0]?.computeMs.length ?? 0
  if (layers === 0) throw new KvSplitError('There is no chunk with a layer to transfer.')
  for (const [index, { computeMs, sizeBytes }] of chunks.entries()) {
    if (computeMs.length !== layers || sizeBytes.length !== layers) {
      throw new KvSplitError(`Chunk ${index} does not have times and sizes for ${layers} layers.`)
    }
    const odd = [...computeMs, ...sizeBytes].find(
      (value) => !(value >= 0 && value < Number.POSITIVE_INFINITY),
    )
    if (odd !== undefined) throw new KvSplitError(`Chunk ${index} has a cost of ${odd}.`)
  }
  if (!(hopMs >= 0)) throw new KvSplitError(`hopMs is ${hopMs}.`)
  for (const [name, stages] of [
    ['senders', senders],
    ['receivers', receivers],
  ] as const) {
    let next = 0
    for (const { first, end } of stages) {
      if (first !== next || end <= first)
        throw new KvSplitError(`The ${name} do not cover layer ${next} once.`)
      next = end
    }
    if (next !== layers) throw new KvSplitError(`The ${name} cover ${next} of ${layers} layers.`)
  }
  for (const sender of senders.keys()) {
    for (const receiver of receivers.keys()) {
      const { bytesPerSecond, rttMs, windowBytes } = link(sender, receiver)
      if (!(bytesPerSecond > 0 && rttMs >= 0 && windowBytes > 0)) {
        throw new KvSplitError(`Link ${sender} to ${receiver} carries ${bytesPerSecond} B/s in ${rttMs} ms.`)
      }
    }
  }
}
