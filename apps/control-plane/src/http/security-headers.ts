import type { FastifyReply } from 'fastify'

const everywhere = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
} as const

/** Answers of the API are data: should a browser show one as a page, it does nothing. */
const dataPolicy = "default-src 'none'; frame-ancestors 'none'"

const originPattern = /^(?:https?|wss?):\/\/[A-Za-z0-9.:[\]-]+$/

/**
 * Styles may stand in the page, as components that measure themselves write them; scripts may not.
 *
 * @param connectSources - origins the console talks to beside its own; what is not an origin is left out
 */
function pagePolicy(connectSources: readonly string[]): string {
  const origins = connectSources.filter((origin) => originPattern.test(origin))
  return [
    "default-src 'self'",
    `connect-src ${["'self'", ...origins].join(' ')}`,
    "img-src 'self' data: blob:",
    "style-src 'self' 'unsafe-inline'",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; ')
}

/** No HSTS: whether the name is always served over TLS is for the proxy in front to say. */
export function addSecurityHeaders(
  reply: FastifyReply,
  isData: boolean,
  connectSources: () => readonly string[],
): void {
  reply.headers(everywhere)
  reply.header('content-security-policy', isData ? dataPolicy : pagePolicy(connectSources()))
  if (isData) reply.header('cache-control', 'no-store')
}
