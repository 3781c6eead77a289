import { type PlacementRequest, tokens } from '@deos/domain'
import { expect, test } from 'vitest'
import { inKvBlocks } from './kv-blocks.ts'

test.each([
  [1, 256],
  [256, 256],
  [257, 512],
  [0, 0],
])('%i tokens are placed as %i', (wanted, placed) => {
  const asked: number[] = []
  const placer = inKvBlocks(
    {
      place: ({ kvTokens }) => {
        asked.push(kvTokens)
        return { placement: null, reasons: [] }
      },
    },
    256,
  )
  placer.place({ kvTokens: tokens(wanted) } as PlacementRequest, { candidates: [], links: [] })
  expect(asked).toEqual([placed])
})
