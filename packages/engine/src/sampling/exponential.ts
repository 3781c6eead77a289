const STEPS = 256
const STEP = Math.LN2 / STEPS
/** Exponents below this give 0: e^-60 vanishes beside 1 in double precision, however many there are of it. */
const LEAST = -60

const fractions = Float64Array.from({ length: STEPS }, (_, i) => 2 ** (-i / STEPS))
const powers = Float64Array.from({ length: Math.ceil(-LEAST / Math.LN2) + 2 }, (_, i) => 2 ** -i)

/**
 * `e^x` for `x ≤ 0` by two tables and a cubic, several times faster than `Math.exp`; the relative error stays below
 * 1e-12. Below −60 it is 0.
 */
export function expNonPositive(x: number): number {
  if (x < LEAST) return 0
  const steps = (0.5 - x / STEP) | 0
  const rest = x + steps * STEP
  const cubic = 1 + rest * (1 + rest * (0.5 + rest * (1 / 6)))
  return powers[steps >> 8]! * fractions[steps & (STEPS - 1)]! * cubic
}
