/** How a matrix is told. */
export interface Plan {
  /** Of each channel in order. */
  readonly scales: Uint8Array
  /** Of each channel if there is no model, else empty. */
  readonly means: Uint16Array
  /** In order of telling. */
  readonly expected: Float32Array
}

/** What an infinity or NaN adds to a sum: nothing. */
export const finite = (value: number): number => (Number.isFinite(value) ? value : 0)
