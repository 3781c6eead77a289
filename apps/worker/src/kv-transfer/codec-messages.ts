import type { BlockFacts } from './block-codec.ts'

/** To the thread that codes blocks. */
export interface CodecRequest {
  readonly id: number
  readonly direction: 'encode' | 'decode'
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly facts: BlockFacts
}

export type CodecReply =
  | { readonly id: number; readonly bytes: Uint8Array }
  | { readonly id: number; readonly problem: string }
