import type { Problem } from '../http/problem.ts'
import { problemText } from '../http/problem-text.ts'

const typesByStatus: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
}

/** An error as Anthropic's API writes it; which request it was, the header `request-id` tells. */
export const anthropicError = (problem: Problem) => ({
  type: 'error',
  error: {
    type: typesByStatus[problem.status] ?? (problem.status < 500 ? 'invalid_request_error' : 'api_error'),
    message: problemText(problem),
  },
  request_id: null,
})
