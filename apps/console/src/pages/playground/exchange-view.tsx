import { ApiError } from '@deos/sdk'
import { Link } from '@tanstack/react-router'
import { CircleStop } from 'lucide-react'
import { Markdown } from '../../components/markdown.tsx'
import { Problem } from '../../components/problem.tsx'
import { Timeline } from '../../components/timeline.tsx'
import { type Names, useNames } from '../../data/names.ts'
import { useData } from '../../data/query.ts'
import { useMay } from '../../data/session.tsx'
import { formatMoney } from '../../format/money.ts'
import { formatDuration, formatTokenRate, plural } from '../../format/numbers.ts'
import type { Exchange } from './chat.ts'
import { CompletionError } from './completion.ts'

export function ExchangeView({ exchange }: { readonly exchange: Exchange }) {
  const { prompt, answer, state, error } = exchange
  const over = state === 'done' || state === 'stopped'
  return (
    <li className="flex min-w-0 flex-col gap-3">
      <div className="max-w-[85%] self-end rounded-lg bg-accent-soft px-3.5 py-2 text-sm break-words whitespace-pre-wrap">
        {prompt}
      </div>
      <div className="min-w-0 text-sm leading-6">
        {state === 'waiting' && (
          <span className="animate-pulse text-ink-3">Waiting for the first token…</span>
        )}
        {answer !== '' && <Markdown text={answer} />}
        {error !== null && <Refusal error={error} />}
        {state === 'stopped' && (
          <p className="mt-2 inline-flex items-center gap-1.5 text-xs text-ink-3">
            <CircleStop className="size-3.5" aria-hidden="true" />
            Stopped
          </p>
        )}
      </div>
      <Measured exchange={exchange} />
      {over && exchange.requestId !== null && <Recorded requestId={exchange.requestId} />}
    </li>
  )
}

function Refusal({ error }: { readonly error: Error }) {
  if (error instanceof ApiError) return <Problem error={error} />
  const requestId = error instanceof CompletionError ? error.requestId : null
  return (
    <>
      <Problem error={error} />
      {requestId !== null && (
        <p className="mt-1 text-xs text-ink-3">
          Request <code className="w-full font-mono">{requestId}</code>
        </p>
      )}
    </>
  )
}

function Measured({
  exchange: { ttftMs, tokensPerSecond, promptTokens, completionTokens, finishReason },
}: {
  readonly exchange: Exchange
}) {
  const facts = [
    ttftMs !== null && `first token ${formatDuration(ttftMs)}`,
    tokensPerSecond !== null && formatTokenRate(tokensPerSecond),
    promptTokens !== null && `${plural(promptTokens, 'token')} in`,
    completionTokens !== null && `${plural(completionTokens, 'token')} out`,
    finishReason === 'length' && 'cut off at the most tokens allowed',
  ].filter((fact) => fact !== false)
  if (facts.length === 0) return null
  return <p className="text-xs text-ink-3 tabular-nums">{facts.join(' · ')}</p>
}

const pollMs = 1000
const polls = 12

/** The timeline that the gateway recorded; it comes some moments after the answer. */
function Recorded({ requestId }: { readonly requestId: string }) {
  const mayRead = useMay('requests:read')
  const names: Names = useNames()
  const { data, failureCount } = useRecord(requestId, mayRead)
  if (!mayRead || data === 'absent') return null
  if (data === undefined) {
    return <p className="min-h-4 text-xs text-ink-3">{failureCount > 0 ? 'Waiting for its timeline…' : ''}</p>
  }
  return (
    <details open className="rounded-md border border-line p-3">
      <summary className="mb-2 text-xs text-ink-2">
        Where the time went · {formatDuration(data.durationMs)} · {formatMoney(data.cost)} ·{' '}
        <Link to="/requests/$request" params={{ request: requestId }} className="text-accent hover:underline">
          request
        </Link>
      </summary>
      <Timeline record={data} names={names} />
    </details>
  )
}

function useRecord(requestId: string, enabled: boolean) {
  return useData(
    ['requests', requestId, 'awaited'],
    async (client, signal) => {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await client.requests.show({ params: { request: requestId }, signal })
        } catch (error) {
          const missing = error instanceof ApiError && error.problemName === 'not-found'
          if (!missing) throw error
          if (attempt >= polls) return 'absent' as const
        }
        await new Promise((resolve) => setTimeout(resolve, pollMs))
        signal.throwIfAborted()
      }
    },
    { enabled },
  )
}
