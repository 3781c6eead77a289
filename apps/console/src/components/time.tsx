import { useNow } from '../data/clock.ts'
import { nothing } from '../format/numbers.ts'
import { formatAbsolute, formatRelative } from '../format/time.ts'

/** A time as people say it; the exact one on hover. */
export function Time({ at, none = nothing }: { readonly at: string | null; readonly none?: string }) {
  const now = useNow()
  if (at === null) return <span className="text-ink-3">{none}</span>
  return (
    <time dateTime={at} title={formatAbsolute(at)} className="whitespace-nowrap">
      {formatRelative(at, now)}
    </time>
  )
}
