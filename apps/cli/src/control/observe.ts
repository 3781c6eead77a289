import type { ApiClient, EventType } from '@deos/sdk'
import type { Output } from '../output.ts'
import { formatFields } from '../text/table.ts'
import { type ControlFlags, openControl } from './connection.ts'
import { shownAge, shownLine, shownMoney } from './shown.ts'

export async function showStatus(flags: ControlFlags, output: Output): Promise<void> {
  const status = await openControl(flags).status.show()
  output.result(status, () => {
    const { health, ttftMs, tpotMs, spend } = status
    return formatFields([
      ['health', `${health.state}: ${health.reasons.map(shownLine).join(' ')}`],
      ['last token', shownAge(status.lastTokenAt, new Date()) || 'none yet'],
      ['tokens/s', status.tokensPerSecond.toFixed(1)],
      ['requests/s', status.requestsPerSecond.toFixed(2)],
      ['running', `${status.activeRequests}, ${status.queuedRequests} of them wait`],
      ['TTFT', percentilesOf(ttftMs)],
      ['TPOT', percentilesOf(tpotMs)],
      ['machines', countsOf(status.machines)],
      ['deployments', countsOf(status.deployments)],
      ['spent', `${shownMoney(spend.today)} today, ${shownMoney(spend.month)} this month`],
      ['machines cost', `${shownMoney(spend.perHour)} an hour`],
    ])
  })
}

type Percentiles = Awaited<ReturnType<ApiClient['status']['show']>>['ttftMs']

const percentilesOf = (ms: Percentiles): string =>
  ms === null
    ? 'no requests in the last minutes'
    : `p50 ${ms.p50.toFixed(0)} ms, p95 ${ms.p95.toFixed(0)} ms, p99 ${ms.p99.toFixed(0)} ms of ${ms.samples}`

function countsOf(counts: Readonly<Record<string, number>>): string {
  const some = Object.entries(counts).filter(([, count]) => count > 0)
  return some.length === 0 ? 'none' : some.map(([state, count]) => `${count} ${state}`).join(', ')
}

export async function showEvents(
  flags: ControlFlags & {
    readonly follow?: true
    readonly lines: number
    readonly type: readonly EventType[]
  },
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const client = openControl(flags)
  const filter = flags.type.length === 0 ? {} : { type: [...flags.type] }
  const { items } = await client.events.list({ query: { ...filter, limit: flags.lines }, signal })
  const line = (event: (typeof items)[number]) => {
    output.event(event)
    output.stream(`${event.at} ${event.type.padEnd(24)} ${shownLine(event.message)}\n`)
  }
  for (const event of [...items].reverse()) line(event)
  if (!flags.follow) return
  const last = items[0]?.sequence
  const after = last === undefined ? {} : { lastEventId: String(last) }
  for await (const { data } of client.events.follow({ query: filter, signal, ...after })) line(data)
}
