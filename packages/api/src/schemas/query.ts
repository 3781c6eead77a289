import { z } from 'zod'

/** A whole number in a query string. */
export const queryInteger = ({ min, max }: { readonly min: number; readonly max: number }) =>
  z
    .string()
    .regex(/^-?\d{1,16}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min).max(max))

/** `true` or `false` in a query string. */
export const queryBoolean = () =>
  z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .pipe(z.boolean())

/** A field that may be repeated: `?state=ready&state=offline`. */
export const queryList = <S extends z.ZodType>(item: S, max = 20) =>
  z
    .union([z.array(z.string()).max(max), z.string()])
    .transform((given) => (typeof given === 'string' ? [given] : given))
    .pipe(z.array(item as z.ZodType<z.output<S>, string>).max(max))
