import { ApiError } from '@deos/sdk'
import { RotateCw, TriangleAlert } from 'lucide-react'
import { Button } from './button.tsx'

const titleOf = (error: unknown): string =>
  error instanceof ApiError && error.problem !== null ? error.problem.title : 'That did not work'

/** What went wrong, what to do, and what to tell the operator. */
export function Problem({ error, retry }: { readonly error: unknown; readonly retry?: () => void }) {
  const hint = error instanceof ApiError ? error.hint : ''
  const requestId = error instanceof ApiError ? error.requestId : null
  return (
    <div
      role="alert"
      className="flex flex-wrap items-start gap-3 rounded-lg border border-bad/40 bg-bad-soft p-4 text-sm"
    >
      <TriangleAlert className="mt-0.5 size-4 shrink-0 text-bad" aria-hidden="true" />
      <div className="min-w-0 flex-1 basis-60">
        <p className="font-medium">{titleOf(error)}</p>
        <p className="mt-0.5 break-words text-ink-2">
          {error instanceof Error ? error.message : String(error)} {hint}
        </p>
        {requestId !== null && (
          <p className="mt-1 text-xs text-ink-3">
            Request <code className="w-full font-mono">{requestId}</code>
          </p>
        )}
      </div>
      {retry !== undefined && (
        <Button size="small" onClick={retry}>
          <RotateCw aria-hidden="true" />
          Try again
        </Button>
      )}
    </div>
  )
}
