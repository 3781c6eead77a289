import type { Bytes, BytesPerSecond, Milliseconds, Tokens, TokensPerSecond } from '@deos/domain'
import { z } from 'zod'

/** The schema adds the unit that tells numbers apart. */
const quantity = <Q extends number>(schema: z.ZodType<number, number>): z.ZodType<Q, number> =>
  schema as unknown as z.ZodType<Q, number>

/** Rates and times beyond this are mistakes of a clock. */
const maxReal = 1e18
const real = () => z.number().min(0).max(maxReal)

export const count = () => z.int().min(0)
export const bytesSchema = () => quantity<Bytes>(count())
export const bytesPerSecondSchema = () => quantity<BytesPerSecond>(real())
export const millisecondsSchema = () => quantity<Milliseconds>(real())
export const tokensSchema = () => quantity<Tokens>(count())
export const tokensPerSecondSchema = () => quantity<TokensPerSecond>(real())
export const ratePerSecond = real
/** Of a whole: 0 to 1. */
export const fraction = () => z.number().min(0).max(1)
