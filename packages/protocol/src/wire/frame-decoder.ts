import { decodeKv } from '../kv/transfer/transfer-wire.ts'
import type { Message } from '../messages.ts'
import { decodeControl } from './control-messages.ts'
import { type FrameHeader, HEADER_BYTES, readHeader } from './frame-header.ts'
import { decodeClose, decodeStep, decodeStepDone, decodeToken } from './hot-messages.ts'
import type { WireLimits } from './wire-limits.ts'

const nothing = new Uint8Array(0)
const noHeader: FrameHeader = { type: 'hello', metaBytes: 0, payloadBytes: 0, epoch: 0 }

/**
 * Turns a byte stream, cut anywhere, into messages. Header and meta inside one chunk are read in place; a payload
 * is allocated once at its full length (8-byte aligned, so it can be viewed as float32 or int32) and filled.
 * After an error the stream has lost its frame boundaries: the decoder keeps throwing, close the link.
 */
export class FrameDecoder {
  readonly #headerBytes = new Uint8Array(HEADER_BYTES)
  readonly #headerView = new DataView(this.#headerBytes.buffer)
  #limits: WireLimits
  #failure: unknown = null
  #part: 'header' | 'meta' | 'payload' = 'header'
  /** Bytes of the current part that have arrived. */
  #filled = 0
  #header: FrameHeader = noHeader
  #meta: Uint8Array = nothing
  #payload: Uint8Array = nothing

  constructor(
    limits: WireLimits,
    private readonly onMessage: (message: Message) => void,
  ) {
    this.#limits = limits
  }

  /** Takes effect with the next header. */
  setLimits(limits: WireLimits): void {
    this.#limits = limits
  }

  /** Whether the stream would end inside a frame. */
  get partial(): boolean {
    return this.#part !== 'header' || this.#filled > 0
  }

  /**
   * Messages completed by this chunk reach `onMessage` before this returns, in order. The chunk may be reused after.
   *
   * @throws WireError if the stream is not what this side accepts; messages before the fault were delivered
   */
  push(chunk: Uint8Array): void {
    if (this.#failure !== null) throw this.#failure
    try {
      let at = 0
      while (at < chunk.length) at = this.#advance(chunk, at)
    } catch (error) {
      this.#failure = error
      throw error
    }
  }

  /** Consumes from the current part and returns where the unread rest of the chunk begins. */
  #advance(chunk: Uint8Array, at: number): number {
    switch (this.#part) {
      case 'header':
        return this.#readHeader(chunk, at)
      case 'meta':
        return this.#readMeta(chunk, at)
      case 'payload':
        return this.#readPayload(chunk, at)
    }
  }

  #readHeader(chunk: Uint8Array, at: number): number {
    const next = this.#fill(this.#headerBytes, chunk, at)
    if (this.#filled === HEADER_BYTES) {
      this.#header = readHeader(this.#headerView, this.#limits)
      this.#begin('meta')
    }
    return next
  }

  #readMeta(chunk: Uint8Array, at: number): number {
    const { metaBytes, payloadBytes } = this.#header
    let next = at + metaBytes
    if (this.#filled === 0 && next + payloadBytes <= chunk.length) {
      // The whole frame is here, so its meta is read before the chunk can be reused.
      this.#meta = chunk.subarray(at, next)
    } else {
      if (this.#filled === 0) this.#meta = new Uint8Array(metaBytes)
      next = this.#fill(this.#meta, chunk, at)
      if (this.#filled < metaBytes) return next
    }
    if (payloadBytes === 0) this.#finishFrame()
    else {
      this.#payload = new Uint8Array(payloadBytes)
      this.#begin('payload')
    }
    return next
  }

  #readPayload(chunk: Uint8Array, at: number): number {
    const next = this.#fill(this.#payload, chunk, at)
    if (this.#filled === this.#payload.length) this.#finishFrame()
    return next
  }

  #finishFrame(): void {
    const message = decodeFrame(this.#header, this.#meta, this.#payload, this.#limits)
    this.#begin('header')
    this.#meta = nothing
    this.#payload = nothing
    this.onMessage(message)
  }

  #begin(part: 'header' | 'meta' | 'payload'): void {
    this.#part = part
    this.#filled = 0
  }

  #fill(target: Uint8Array, chunk: Uint8Array, at: number): number {
    const take = Math.min(target.length - this.#filled, chunk.length - at)
    target.set(take === chunk.length ? chunk : chunk.subarray(at, at + take), this.#filled)
    this.#filled += take
    return at + take
  }
}

function decodeFrame(
  header: FrameHeader,
  meta: Uint8Array,
  payload: Uint8Array,
  limits: WireLimits,
): Message {
  const { type, epoch } = header
  switch (type) {
    case 'step':
      return decodeStep(meta, payload, epoch, limits)
    case 'step-done':
      return decodeStepDone(meta, epoch, limits)
    case 'token':
      return decodeToken(meta, limits)
    case 'close':
      return decodeClose(meta, epoch)
    case 'kv-introduce':
    case 'kv-plan':
    case 'kv-offer':
    case 'kv-have':
    case 'kv-block':
    case 'kv-ack':
    case 'kv-commit':
    case 'kv-committed':
    case 'kv-abort':
    case 'kv-guard':
      return decodeKv(type, meta, payload, epoch, limits)
    default:
      return decodeControl({ ...header, type }, meta, payload, limits)
  }
}
