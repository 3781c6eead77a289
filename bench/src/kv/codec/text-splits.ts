/** Parts of a text that share no token: bases are fitted on one, levels chosen on another, results taken from the third. */
export interface TextSplits {
  readonly calibration: Int32Array
  readonly validation: Int32Array
  readonly test: Int32Array
}

const SHARES = { calibration: 0.5, validation: 0.2 } as const

export function splitText(text: Int32Array): TextSplits {
  const first = Math.floor(SHARES.calibration * text.length)
  const second = first + Math.floor(SHARES.validation * text.length)
  return {
    calibration: text.subarray(0, first),
    validation: text.subarray(first, second),
    test: text.subarray(second),
  }
}
