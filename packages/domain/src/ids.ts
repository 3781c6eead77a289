declare const brand: unique symbol

type Id<B extends string> = string & { readonly [brand]: B }

export type WorkerId = Id<'worker'>
export type RingId = Id<'ring'>
export type SessionId = Id<'session'>
export type ModelId = Id<'model'>

export const workerId = (value: string): WorkerId => value as WorkerId
export const ringId = (value: string): RingId => value as RingId
export const sessionId = (value: string): SessionId => value as SessionId
export const modelId = (value: string): ModelId => value as ModelId
