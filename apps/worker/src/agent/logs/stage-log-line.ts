import { parseJsonLine } from '@deos/service'

const levels: Readonly<Record<string, 'warn' | 'error'>> = { warn: 'warn', error: 'error', fatal: 'error' }

/** What others should hear of a line in a stage's log; null for what only its file keeps. */
export function readStageLogLine(
  line: string,
): { readonly level: 'warn' | 'error'; readonly message: string } | null {
  const record = parseJsonLine(line)
  const level = typeof record?.level === 'string' ? levels[record.level] : undefined
  if (level === undefined) return null
  const { msg, reason, err } = record!
  const details = [reason, (err as { message?: unknown } | undefined)?.message].filter(
    (detail) => typeof detail === 'string',
  )
  return { level, message: [typeof msg === 'string' ? msg : 'Something went wrong.', ...details].join(' ') }
}
