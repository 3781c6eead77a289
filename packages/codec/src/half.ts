const float = new Float32Array(1)
const word = new Uint32Array(float.buffer)

function widen(half: number): number {
  const sign = half & 0x8000 ? -1 : 1
  const exponent = (half >>> 10) & 31
  const mantissa = half & 0x3ff
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  if (exponent === 0) return sign * mantissa * 2 ** -24
  return sign * (1024 + mantissa) * 2 ** (exponent - 25)
}

/** The number each of the 65,536 halves stands for. */
export const halfValues: Float32Array = Float32Array.from({ length: 65_536 }, (_, half) => widen(half))

/** The half next to a number, ties to even; too large ones become infinite. */
export function toHalf(value: number): number {
  float[0] = value
  const bits = word[0]!
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  if (magnitude < 0x38800000) {
    // Below the normal halves a step is 2^-24, and adding 0.5 leaves just those bits of a float.
    float[0] = Math.abs(value) + 0.5
    return sign | (word[0]! - 0x3f000000)
  }
  const odd = (magnitude >>> 13) & 1
  return sign | ((magnitude - 0x38000000 + 0xfff + odd) >>> 13)
}

/** Numbers of halves; NaN and infinities included. */
export function widenHalves(halves: Uint16Array, into = new Float32Array(halves.length)): Float32Array {
  const bits = new Uint32Array(into.buffer, into.byteOffset, into.length)
  for (let index = 0; index < halves.length; index += 1) {
    const half = halves[index]!
    const magnitude = half & 0x7fff
    if (magnitude >= 0x400 && magnitude < 0x7c00)
      bits[index] = ((half & 0x8000) << 16) | ((magnitude << 13) + 0x38000000)
    else into[index] = halfValues[half]!
  }
  return into
}

export function narrowToHalves(
  values: Float32Array,
  into: Uint16Array<ArrayBuffer> = new Uint16Array(values.length),
): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  for (let index = 0; index < bits.length; index += 1) {
    const all = bits[index]!
    const magnitude = all & 0x7fffffff
    into[index] =
      magnitude >= 0x38800000 && magnitude < 0x477ff000
        ? ((all >>> 16) & 0x8000) | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
        : toHalf(values[index]!)
  }
  return into
}
