import {
  type Bytes,
  bytes,
  type LayerRange,
  layerCount,
  type Milliseconds,
  ms,
  type PlacementRequest,
} from '@deos/domain'
import { PlacementRequestError } from './errors.ts'

/** What a model asks of those that share its layers: room in bytes, and bytes read for each token. */
export class Demand {
  /** Room of all: weights, embedding, head and KV. */
  readonly roomBytes: Bytes
  readonly weightBytes: Bytes
  /** Read for each token of one sequence: every weight but the embedding, of which only a row is. */
  readonly readBytes: Bytes
  readonly kvBytes: Bytes
  /** KV of one layer. */
  readonly layerKvBytes: Bytes
  readonly layers: number
  /** `[n]`: weights of the first n layers. */
  readonly #weightsBefore: readonly number[]
  /** The same with their KV. */
  readonly #roomBefore: readonly number[]
  readonly #embedding: number
  readonly #head: number
  /** `[n]`: the least room that any n consecutive layers take. */
  readonly #leastRoom: readonly number[]

  /** @throws PlacementRequestError if a size makes no sense */
  constructor({ model, kvTokens }: PlacementRequest) {
    checkSizes(model, kvTokens)
    this.layers = model.layerBytes.length
    this.layerKvBytes = bytes(Math.ceil(model.kvBytesPerLayer * kvTokens))
    const weights = [0]
    const room = [0]
    for (const layer of model.layerBytes) {
      weights.push(weights.at(-1)! + layer)
      room.push(room.at(-1)! + layer + this.layerKvBytes)
    }
    this.#weightsBefore = weights
    this.#roomBefore = room
    this.#embedding = model.embeddingBytes
    this.#head = model.headBytes
    this.kvBytes = bytes(this.layerKvBytes * this.layers)
    this.readBytes = bytes(weights.at(-1)! + this.#head)
    this.weightBytes = bytes(this.readBytes + this.#embedding)
    this.roomBytes = bytes(this.weightBytes + this.kvBytes)
    this.#leastRoom = this.#leastRooms()
  }

  weightsOf({ first, end }: LayerRange): Bytes {
    const layers = this.#weightsBefore[end]! - this.#weightsBefore[first]!
    return bytes(layers + (first === 0 ? this.#embedding : 0) + this.#headAt(end))
  }

  kvOf(range: LayerRange): Bytes {
    return bytes(layerCount(range) * this.layerKvBytes)
  }

  roomOf({ first, end }: LayerRange): Bytes {
    return bytes(this.#roomBetween(first, end))
  }

  readTime({ first, end }: LayerRange, bytesPerSecond: number): Milliseconds {
    const read = this.#weightsBefore[end]! - this.#weightsBefore[first]! + this.#headAt(end)
    return ms((read / bytesPerSecond) * 1000)
  }

  /**
   * How far a stage that begins at `first` gets, not beyond `limit`, in so much room and in so much time. What the
   * head takes is not counted, so `limit` has to leave a layer for the stage that holds it.
   */
  reach(first: number, room: number, readBytes: number, limit: number): number {
    const free = room - (first === 0 ? this.#embedding : 0)
    const byRoom = lastAtMost(this.#roomBefore, this.#roomBefore[first]! + free, first - 1, limit)
    return lastAtMost(this.#weightsBefore, this.#weightsBefore[first]! + readBytes, first - 1, byRoom)
  }

  /** The most consecutive layers that so much room can hold, wherever they lie. */
  longestRun(room: number): number {
    return Math.max(0, lastAtMost(this.#leastRoom, room, 0, this.layers))
  }

  #leastRooms(): readonly number[] {
    const least = new Array<number>(this.layers + 1).fill(Number.POSITIVE_INFINITY)
    least[0] = 0
    for (let first = 0; first < this.layers; first += 1) {
      for (let end = first + 1; end <= this.layers; end += 1) {
        least[end - first] = Math.min(least[end - first]!, this.#roomBetween(first, end))
      }
    }
    return least
  }

  #roomBetween(first: number, end: number): number {
    const layers = this.#roomBefore[end]! - this.#roomBefore[first]!
    return layers + (first === 0 ? this.#embedding : 0) + this.#headAt(end)
  }

  #headAt(end: number): number {
    return end === this.layers ? this.#head : 0
  }
}

/** The last index up to `limit` whose value is at most `most`, in ascending values; `none` if there is none above. */
function lastAtMost(values: readonly number[], most: number, none: number, limit: number): number {
  let low = none
  let high = limit
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (values[middle]! <= most) low = middle
    else high = middle - 1
  }
  return low
}

function checkSizes(model: PlacementRequest['model'], kvTokens: number): void {
  if (model.layerBytes.length === 0) {
    throw new PlacementRequestError('model.layerBytes', 'empty', 'the bytes of at least one layer')
  }
  for (const [index, size] of model.layerBytes.entries()) {
    checkWhole(`model.layerBytes[${index}]`, size, 1)
  }
  checkWhole('model.embeddingBytes', model.embeddingBytes, 0)
  checkWhole('model.headBytes', model.headBytes, 0)
  checkWhole('model.boundaryBytes', model.boundaryBytes, 0)
  checkWhole('kvTokens', kvTokens, 0)
  if (!(model.kvBytesPerLayer >= 0) || !Number.isFinite(model.kvBytesPerLayer)) {
    throw new PlacementRequestError('model.kvBytesPerLayer', model.kvBytesPerLayer, 'bytes from 0 on')
  }
}

function checkWhole(field: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return
  throw new PlacementRequestError(field, value, `a whole number from ${least} on`)
}
