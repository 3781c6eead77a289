import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TensorInfo } from './model-source.ts'
import { interleaveHalves, readTensor, tensorData } from './tensor-data.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deos-tensor-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function stored(
  name: string,
  values: readonly number[],
  rest: Partial<TensorInfo>,
): Promise<TensorInfo> {
  const file = join(folder, name)
  const data = new Uint8Array(Float32Array.from(values).buffer)
  await writeFile(file, data)
  return { name, type: 'F32', shape: [values.length], file, offset: 0, sizeBytes: data.length, ...rest }
}

test('interleaveHalves() puts the two members of each rotary pair side by side', () => {
  expect([...interleaveHalves(Uint8Array.of(0, 1, 2, 3, 4, 5), 1)]).toEqual([0, 3, 1, 4, 2, 5])
})

test('rows of two heads of four are reordered within each head', async () => {
  // Row r holds [10 r, 10 r + 1]; rotary pairs of a head are its rows (0, 2) and (1, 3).
  const rows = Array.from({ length: 8 }, (_, row) => [10 * row, 10 * row + 1])
  const tensor = await stored('q', rows.flat(), { shape: [2, 8], permuteHeads: 2 })
  const read = await readTensor(tensor)
  const order = Array.from({ length: 8 }, (_, row) => read[2 * row]! / 10)
  expect(order).toEqual([0, 2, 1, 3, 4, 6, 5, 7])
  expect([...read].filter((_, index) => index % 2 === 1)).toEqual(order.map((row) => 10 * row + 1))
})

test('large tensors come in chunks of whole rows', async () => {
  const columns = 96
  const values = Array.from({ length: columns * 5000 }, (_, index) => index % 8191)
  const tensor = await stored('large', values, { shape: [columns, 5000] })
  const sizes: number[] = []
  for await (const chunk of tensorData(tensor, 'F16')) sizes.push(chunk.length)
  expect(sizes.length).toBeGreaterThan(2)
  expect(sizes.every((size) => size % (columns * 2) === 0)).toBe(true)
  expect(sizes.reduce((sum, size) => sum + size)).toBe(values.length * 2)
  expect((await readTensor(tensor)).every((value, index) => value === values[index])).toBe(true)
})

test('a file that became shorter is refused', async () => {
  const tensor = await stored('short', [1, 2, 3], {})
  await writeFile(tensor.file, new Uint8Array(8))
  await expect(readTensor(tensor)).rejects.toThrow(/ended at byte 8 while it was read/)
})
