import { sessionId } from '@deos/domain'
import { expect, test } from 'vitest'
import { IncomingTransfer } from './incoming-transfer.ts'
import { KV_ID_BYTES, type KvPlan } from './transfer-messages.ts'

const BLOCKS = 50
const layers = { first: 3, end: 7 }
const plan: KvPlan = {
  ...{ type: 'kv-plan', epoch: 1, session: sessionId('s'), role: 'receive', layers, levels: [2, 2, 2, 2] },
  ...{ shape: { length: 4 * BLOCKS - 1, blockTokens: 4, parts: 2 }, enhanceTo: 0, calibration: null },
  ...{ maxBlockBytes: 10, deadlineMs: 1_000, routes: [{ peer: 'p', layers }] },
  ids: new Uint8Array(BLOCKS * KV_ID_BYTES),
}
const addresses = Array.from({ length: BLOCKS }, (_, block) =>
  [3, 4, 5, 6].flatMap((layer) => [0, 1].map((part) => ({ block, layer, part }))),
).flat()

test('how far all layers reach is found in as many steps as there are blocks, however often it is asked', () => {
  const transfer = new IncomingTransfer(plan, 'g', null)
  let looks = 0
  const levels = new Proxy([2, 2, 2, 2], {
    get: (target, name, self) => {
      looks += 1
      return Reflect.get(target, name, self)
    },
  })
  for (const [index, address] of addresses.entries()) {
    transfer.found([{ ...address, level: 2 }])
    const whole = Math.floor((index + 1) / 8)
    expect(transfer.prefix(levels)).toBe(Math.min(4 * whole, plan.shape.length))
  }
  expect(looks).toBeLessThanOrEqual(2 * addresses.length)
})

test('another question is looked at from the beginning, and blocks may come in any order', () => {
  const transfer = new IncomingTransfer(plan, 'g', null)
  const coarse = [2, 2, 2, 2]
  transfer.found(addresses.slice(8).map((address) => ({ ...address, level: 2 })))
  expect(transfer.prefix(coarse)).toBe(0)
  transfer.found(addresses.slice(0, 8).map((address) => ({ ...address, level: 0 })))
  expect(transfer.prefix(coarse)).toBe(plan.shape.length)
  expect(transfer.prefix([0, 0, 0, 0])).toBe(4)
  expect(transfer.prefix([0, 2, 2, 2])).toBe(4)
  expect(transfer.prefix(coarse)).toBe(plan.shape.length)
})
