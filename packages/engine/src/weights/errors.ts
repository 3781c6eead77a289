import { DomainError } from '@deos/domain'

interface FileErrorDetails {
  readonly tensor?: string
  readonly hint?: string
  readonly cause?: unknown
}

/** A model file is truncated, corrupt or contradicts itself. */
export class ModelFileError extends DomainError {
  readonly code = 'MODEL_FILE_INVALID'
  readonly retriable = false
  readonly tensor: string | null

  constructor(
    readonly file: string,
    readonly reason: string,
    details: FileErrorDetails = {},
  ) {
    super(
      `${file}: ${details.tensor === undefined ? '' : `tensor ${details.tensor} `}${reason}.`,
      details.hint ?? 'Download or convert the model again.',
      details.cause === undefined ? undefined : { cause: details.cause },
    )
    this.tensor = details.tensor ?? null
  }
}

/** A sound model file that holds something this engine has no code for. */
export class UnsupportedModelError extends DomainError {
  readonly code = 'MODEL_UNSUPPORTED'
  readonly retriable = false

  constructor(
    readonly file: string,
    readonly reason: string,
    hint: string,
  ) {
    super(`${file}: ${reason}.`, hint)
  }
}

/** There is no model at a path. */
export class ModelNotFoundError extends DomainError {
  readonly code = 'MODEL_NOT_FOUND'
  readonly retriable = false

  constructor(
    readonly path: string,
    reason: string,
    hint: string,
  ) {
    super(`${path} ${reason}.`, hint)
  }
}

/** A converted model could not be written. */
export class ModelWriteError extends DomainError {
  readonly code = 'MODEL_WRITE_FAILED'
  readonly retriable = false

  constructor(
    readonly path: string,
    reason: string,
    hint: string,
    cause?: unknown,
  ) {
    super(`${path} ${reason}.`, hint, cause === undefined ? undefined : { cause })
  }
}
