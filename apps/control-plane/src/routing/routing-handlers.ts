import type { Handlers, Routes } from '@deos/api'
import type { Timers } from '@deos/transport'
import { latest } from '../deployments/latest.ts'
import type { Caller } from '../http/caller.ts'
import type { RoutingFeed } from './routing-feed.ts'

export interface RoutingHandlerParts {
  readonly feed: RoutingFeed
  readonly timers: Timers
}

const gapMs = 100

export const routingHandlers = ({
  feed,
  timers,
}: RoutingHandlerParts): Pick<Handlers<Routes, Caller>['gateway'], 'followRouting'> => ({
  async *followRouting(_, caller) {
    let told: object | null = null
    const watch = { onChange: feed.onChange.bind(feed), timers, signal: caller.signal, gapMs, idleMs: null }
    const read = async () => (feed.state === told ? null : feed.state)
    for await (const data of latest(watch, read)) {
      told = data
      yield { id: String(data.version), data }
    }
  },
})
