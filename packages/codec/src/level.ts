import type { Basis, KvPart } from './basis.ts'
import type { ChannelModel } from './innovation.ts'
import type { MultiplyTransposed } from './projection.ts'
import type { RotaryOf } from './rotary.ts'

/** Levels a block may be written at, as its header says them. Sending tokens instead of a block is the router's choice. */
export const levelNumbers = { lossless: 0, int8: 1, hadamard4: 2, basis: 3, sharedBasis: 4 } as const
export type LevelName = keyof typeof levelNumbers

/** Tokens at the beginning and end of a block that are sent without loss. */
export interface ExactTokens {
  readonly first: number
  readonly last: number
}

export type Level =
  | { readonly name: 'lossless' }
  | { readonly name: 'int8' | 'hadamard4' }
  /** Step in units of the weighted channels: the larger, the fewer bytes. */
  | { readonly name: 'basis' | 'sharedBasis'; readonly step: number; readonly exact: ExactTokens }

/** What both sides have of a model before blocks travel. */
export interface KvTools {
  readonly rotary: RotaryOf
  /** For the levels with a basis. */
  readonly basis?: Basis
  /** Makes lossless parts smaller; one for a part or none, the same on both sides. */
  readonly channelModel?: (part: KvPart) => ChannelModel | null
  /** Names the channel models, as a basis' id names it. */
  readonly channelModelsId?: string
  /** `[tokens, referenceChannels]` of the basis, for the tokens of the block. */
  readonly reference?: Float32Array
  readonly multiply?: MultiplyTransposed
}
