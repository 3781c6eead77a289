import { DomainError } from '@deos/domain'

/** Somebody else changed what the transaction relies on. {@link Database.transaction} begins it again. */
export class TransactionConflictError extends Error {
  override readonly name = 'TransactionConflictError'
}

export class DatabaseUrlError extends DomainError {
  readonly code = 'DATABASE_URL_INVALID'
  readonly retriable = false
  constructor(reason: string) {
    super(
      `The address of the database ${reason}.`,
      'Write it like postgres://user:password@host:5432/deos, or leave it out for the embedded database.',
    )
  }
}

export class DatabaseUnreachableError extends DomainError {
  readonly code = 'DATABASE_UNREACHABLE'
  readonly retriable = true
  /** @param address - host, port and database, without the password */
  constructor(
    readonly address: string,
    waitedMs: number,
    cause: unknown,
  ) {
    const reason = cause instanceof Error ? cause.message || cause.constructor.name : String(cause)
    super(
      `The database at ${address} could not be used within ${waitedMs / 1000} s: ${reason}.`,
      'Check that PostgreSQL runs there, and that user, password and database exist.',
      { cause },
    )
  }
}

export class DatabaseFolderInUseError extends DomainError {
  readonly code = 'DATABASE_FOLDER_IN_USE'
  readonly retriable = true
  constructor(
    readonly folder: string,
    readonly pid: number,
  ) {
    super(
      `The database in ${folder} is open in process ${pid}.`,
      'Stop that process, choose another folder, or use a PostgreSQL server, which several may share.',
    )
  }
}

export class DatabaseFolderError extends DomainError {
  readonly code = 'DATABASE_FOLDER_UNUSABLE'
  readonly retriable = false
  constructor(
    readonly folder: string,
    cause: unknown,
  ) {
    super(
      `The embedded database cannot be opened in ${folder}: ${cause instanceof Error ? cause.message : String(cause)}.`,
      'Check that the folder can be written and has space left, or put a backup in its place.',
      { cause },
    )
  }
}

/** Five characters by which PostgreSQL names the kind of an error; null if another part failed. */
export function sqlStateOf(error: unknown): string | null {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1) {
    const { code } = at as { code?: unknown }
    if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return code
  }
  return null
}

/** A row with such a key is there already. */
export const isUniqueViolation = (error: unknown): boolean => sqlStateOf(error) === '23505'
