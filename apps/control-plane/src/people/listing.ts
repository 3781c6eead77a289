import { z } from 'zod'

const lastMs = Date.UTC(9999, 11, 31)

/** Where a list by time goes on: milliseconds since 1970 and the id. The database gets nothing that it cannot read. */
export const momentPosition = z.tuple([z.int().min(0).max(lastMs), z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)])

/** Some of a list, and where the rest begins. */
export interface Listing<T> {
  readonly items: readonly T[]
  readonly nextCursor: string | null
}

/**
 * @param rows - one more than `limit`, if there are so many
 * @param cursorAfter - the cursor to what follows a row
 */
export function listing<Row, T>(
  rows: readonly Row[],
  limit: number,
  toItem: (row: Row) => T,
  cursorAfter: (row: Row) => string,
): Listing<T> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const hasMore = rows.length > limit && last !== undefined
  return { items: shown.map(toItem), nextCursor: hasMore ? cursorAfter(last) : null }
}
