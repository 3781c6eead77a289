import { expect, test } from 'vitest'
import { CompletionClient } from './completion-client.ts'
import type { Contender, ContenderName } from './contender.ts'
import { measureRounds } from './rounds.ts'
import type { ServerProcess } from './server-process.ts'

const contender = (name: ContenderName): Contender => ({
  name,
  client: new CompletionClient('http://127.0.0.1:9', 'none'),
  process: { pids: () => [] } as unknown as ServerProcess,
})

test('contenders take turns, each round in the other order, and results keep their places', async () => {
  const order: string[] = []
  const results = await measureRounds({
    contenders: [contender('deos'), contender('llamaServer')],
    count: 3,
    measure: async ({ name }, round) => {
      order.push(`${name} ${round}`)
      return `${name} in ${round}`
    },
  })
  expect(order).toEqual([
    ...['deos 0', 'llamaServer 0', 'llamaServer 1', 'deos 1', 'deos 2', 'llamaServer 2'],
  ])
  expect(results.get('deos')).toEqual(['deos in 0', 'deos in 1', 'deos in 2'])
  expect(results.get('llamaServer')).toEqual([0, 1, 2].map((round) => `llamaServer in ${round}`))
})
