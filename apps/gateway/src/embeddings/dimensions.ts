import { unsupported } from '../http/problem.ts'

/**
 * Vectors have as many dimensions as the model; cutting them is only for models trained for that.
 *
 * @throws Problem naming `dimensions` if others were asked for
 */
export function checkDimensions(asked: number | null | undefined, vectors: readonly Float32Array[]): void {
  const other = asked == null ? undefined : vectors.find(({ length }) => length !== asked)
  if (other === undefined) return
  throw unsupported(
    'dimensions',
    `Embeddings of ${asked} dimensions are`,
    `Leave it out for the model's ${other.length}.`,
  )
}
