import type { BlockCoding, BlockFacts } from './block-codec.ts'

/** What the thread that codes blocks begins with. */
export interface CodecSettings {
  /** Bytes of the calibration of a model; `null` codes without one. */
  readonly calibration: { readonly bytes: Uint8Array; readonly model: string } | null
}

/** To the thread that codes blocks. */
export interface CodecRequest {
  readonly id: number
  /** How to encode; `null` decodes. */
  readonly coding: BlockCoding | null
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly facts: BlockFacts
}

export type CodecReply =
  | { readonly id: number; readonly bytes: Uint8Array; readonly durationMs: number }
  | { readonly id: number; readonly problem: string }
