import { DomainError } from '@deos/domain'

/** One line of the doctor's report. */
export interface Finding {
  readonly check: string
  readonly status: 'ok' | 'warn' | 'fail'
  readonly message: string
  /** What to do about it; `null` where all is well. */
  readonly remedy: string | null
  readonly details?: Readonly<Record<string, unknown>>
}

export const ok = (check: string, message: string, details?: Finding['details']): Finding => ({
  check,
  status: 'ok',
  message,
  remedy: null,
  ...(details && { details }),
})

export const warn = (
  check: string,
  message: string,
  remedy: string,
  details?: Finding['details'],
): Finding => ({
  check,
  status: 'warn',
  message,
  remedy,
  ...(details && { details }),
})

export const fail = (check: string, message: string, remedy: string): Finding => ({
  check,
  status: 'fail',
  message,
  remedy,
})

/** A check that stumbles is a finding too. */
export function failedCheck(check: string, error: unknown): Finding {
  if (error instanceof DomainError) return fail(check, error.message, error.hint)
  return fail(
    check,
    error instanceof Error ? error.message : String(error),
    'Report this with the output of "deos doctor --json".',
  )
}

const marks = { ok: '✓', warn: '!', fail: '✗' } as const

export function formatFindings(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length))
  const lines = findings.flatMap(({ check, status, message, remedy }) => [
    `${marks[status]} ${check.padEnd(width)}  ${message}`,
    ...(remedy === null ? [] : [`  ${' '.repeat(width)}  → ${remedy}`]),
  ])
  const count = (status: Finding['status']) => findings.filter((finding) => finding.status === status).length
  const failed = count('fail')
  const verdict =
    failed > 0
      ? `${failed} ${failed === 1 ? 'problem keeps' : 'problems keep'} DeOS from running.`
      : count('warn') > 0
        ? 'DeOS runs here, with the limits marked above.'
        : 'DeOS runs here.'
  return [...lines, '', verdict].join('\n')
}
