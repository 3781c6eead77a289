/** Which of their organisations a person means; credentials of programs and machines belong to one anyway. */
export const organisationHeader = 'deos-organisation'
export const idempotencyHeader = 'idempotency-key'
export const lastEventHeader = 'last-event-id'
export const requestIdHeader = 'x-request-id'

/** Keys are the caller's: long enough to be unique, of characters that pass through every proxy. */
export const idempotencyKeyPattern = /^[A-Za-z0-9_.:-]{1,128}$/

/** Ids of events are sequence numbers, generations and the like. */
export const eventIdPattern = /^[A-Za-z0-9_.:-]{1,128}$/
