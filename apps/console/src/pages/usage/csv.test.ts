import { expect, test } from 'vitest'
import type { Usage } from '../../data/types.ts'
import { usageCsv } from './csv.ts'

const amounts = {
  requests: 2,
  failedRequests: 1,
  promptTokens: 10,
  cachedPromptTokens: 4,
  completionTokens: 5,
  cost: { currency: 'USD', microUnits: '1500000' },
}

const usage = {
  from: '2026-01-05',
  to: '2026-01-06',
  rows: [{ day: '2026-01-05', projectId: null, keyId: null, model: null, ...amounts }],
  total: amounts,
} as unknown as Usage

test('one line for the names, one for each row', () => {
  expect(usageCsv(usage, 'day', ({ day }) => day ?? '').split('\r\n')).toEqual([
    'day,requests,failed_requests,prompt_tokens,cached_prompt_tokens,completion_tokens,cost,currency',
    '2026-01-05,2,1,10,4,5,1.5,USD',
  ])
})

test.each([
  ['a,"b"', '"a,""b"""'],
  ['=HYPERLINK("x")', `"'=HYPERLINK(""x"")"`],
  ['@sum', "'@sum"],
])('%s is written as text', (name, cell) => {
  expect(usageCsv(usage, 'key', () => name).split('\r\n')[1]).toBe(`${cell},2,1,10,4,5,1.5,USD`)
})
