/**
 * Solves `A X = B` for a symmetric positive `A [size, size]` with a ridge on its diagonal, and `B [size, columns]`.
 *
 * @param ridge - share of the mean of the diagonal that is added to it
 */
export function solveSymmetric(
  matrix: Float64Array,
  size: number,
  right: Float64Array,
  ridge: number,
): Float64Array {
  const columns = right.length / size
  let trace = 0
  for (let i = 0; i < size; i += 1) trace += matrix[i * size + i]!
  const extra = (ridge * trace) / size + 1e-12
  const lower = new Float64Array(size * size)
  for (let i = 0; i < size; i += 1) {
    for (let j = 0; j <= i; j += 1) {
      let rest = matrix[i * size + j]! + (i === j ? extra : 0)
      for (let k = 0; k < j; k += 1) rest -= lower[i * size + k]! * lower[j * size + k]!
      lower[i * size + j] = i === j ? Math.sqrt(Math.max(rest, extra)) : rest / lower[j * size + j]!
    }
  }
  const x = Float64Array.from(right)
  const subtract = (to: number, from: number, factor: number) => {
    for (let c = 0; c < columns; c += 1)
      x[to * columns + c] = x[to * columns + c]! - factor * x[from * columns + c]!
  }
  const divide = (row: number) => {
    for (let c = 0; c < columns; c += 1)
      x[row * columns + c] = x[row * columns + c]! / lower[row * size + row]!
  }
  for (let i = 0; i < size; i += 1) {
    for (let k = 0; k < i; k += 1) subtract(i, k, lower[i * size + k]!)
    divide(i)
  }
  for (let i = size - 1; i >= 0; i -= 1) {
    for (let k = i + 1; k < size; k += 1) subtract(i, k, lower[k * size + i]!)
    divide(i)
  }
  return x
}
