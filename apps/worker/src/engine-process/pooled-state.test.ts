import { expect, test } from 'vitest'
import { PooledState } from './pooled-state.ts'

const read = (state: PooledState) => [...new Float32Array(state.vector().buffer)]

test('the mean is over all rows of all chunks', () => {
  const state = new PooledState('mean', 2)
  state.add(Float32Array.of(1, 10, 2, 20))
  state.add(Float32Array.of(6, 0))
  expect(read(state)).toEqual([3, 10])
})

test('a single row is the vector', () => {
  const state = new PooledState('last', 3)
  state.add(new Float32Array())
  state.add(Float32Array.of(0.1, -2, 5))
  expect(read(state)).toEqual([...Float32Array.of(0.1, -2, 5)])
})
