import { createHash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'

type Headers = FastifyRequest['headers']

/** The key a request brings: as a bearer token, or in the header Anthropic's clients use. */
export function presentedKey(headers: Headers): string | null {
  const bearer = /^Bearer +(.+)$/i.exec(headers.authorization ?? '')?.[1]?.trim()
  const named = headers['x-api-key']
  return bearer ?? (typeof named === 'string' && named !== '' ? named.trim() : null)
}

/** Who a key belongs to, without telling the key: requests without one share a tenant. */
export function tenantOf(headers: Headers): string {
  const key = presentedKey(headers)
  return key === null ? 'anonymous' : createHash('sha256').update(key).digest('hex').slice(0, 12)
}
