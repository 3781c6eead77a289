import type { Usage, UsageRow } from '../../data/types.ts'
import { moneyText } from '../../format/money.ts'

/** What a row is about, in words. */
export type NameOf = (row: UsageRow) => string

/** Quoted where needed; what a spreadsheet would take for a formula is text. */
function cellOf(value: string | number): string {
  if (typeof value === 'number') return String(value)
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

export function usageCsv(usage: Usage, by: string, nameOf: NameOf): string {
  const rows = usage.rows.map((row) => [
    nameOf(row),
    row.requests,
    row.failedRequests,
    row.promptTokens,
    row.cachedPromptTokens,
    row.completionTokens,
    Number(moneyText(row.cost)),
    row.cost.currency,
  ])
  const head = [
    by,
    'requests',
    'failed_requests',
    'prompt_tokens',
    'cached_prompt_tokens',
    'completion_tokens',
    'cost',
    'currency',
  ]
  return [head, ...rows].map((row) => row.map(cellOf).join(',')).join('\r\n')
}
