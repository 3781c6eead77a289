import { benchmarkReportSchema, inventoryReportSchema } from '@deos/sdk'
import { describe, expect, test } from 'vitest'
import { benchmarkOf, inventoryOf, kindsInOrder, machineKinds } from './machine-kinds.ts'

describe('kinds of machines', () => {
  test.each([1, 7, 100, 1000])('add up to %i machines', (machines) => {
    expect(machineKinds(machines).reduce((sum, { count }) => sum + count, 0)).toBe(machines)
  })

  test('hold four, three and two layers of 17.2 GB in nine tenths of their memory', () => {
    const layerBytes = 16_384 * 1024 * 1024
    expect(machineKinds(1000).map(({ gpuBytes }) => Math.floor((gpuBytes * 0.9) / layerBytes))).toEqual([
      4, 3, 2,
    ])
  })

  test.each([1, 10, 1000])('of %i machines are mixed and each comes as often as it should', (machines) => {
    const order = kindsInOrder(machines)
    for (const { gpu, count } of machineKinds(machines)) {
      expect(order.filter((kind) => kind.gpu === gpu)).toHaveLength(count)
    }
    const firstTen = new Set(order.slice(0, 10).map(({ gpu }) => gpu))
    if (machines === 1000) expect(firstTen.size).toBe(3)
  })

  test('say what the API takes', () => {
    for (const kind of machineKinds(10)) {
      const inventory = inventoryReportSchema.safeParse({
        incarnation: 1,
        inventory: inventoryOf(kind, 'm1'),
      })
      const benchmark = benchmarkReportSchema.safeParse({ incarnation: 1, benchmark: benchmarkOf(kind) })
      expect([inventory.error, benchmark.error]).toEqual([undefined, undefined])
    }
  })
})
