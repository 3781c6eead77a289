import { DomainError } from '@deos/domain'

/** What was handed in does not fit together: shapes, ranges, a basis for other channels. */
export class CodecInputError extends DomainError {
  readonly code = 'CODEC_INPUT'
  readonly retriable = false
  constructor(message: string, hint = 'Check the shapes against the model’s KV layout.') {
    super(message, hint)
  }
}

/** Bytes that are no sound block or basis: cut short, changed on the way, or written by something else. */
export class CorruptBlockError extends DomainError {
  readonly code = 'CODEC_CORRUPT'
  readonly retriable = true
  constructor(message: string) {
    super(message, 'Ask for the block again; nothing of it was used.')
  }
}

/** The block was written with another basis than the one at hand, or with one of its name but other contents. */
export class BasisMismatchError extends DomainError {
  readonly code = 'CODEC_BASIS'
  readonly retriable = true
  constructor(
    readonly wanted: string,
    readonly present: string,
  ) {
    super(
      `The block needs basis ${wanted}; basis ${present} is loaded.`,
      'Fetch the named basis, or ask for the block at a level without one.',
    )
  }
}

/** A calibration of another model, or written for another version of the codec. */
export class CalibrationError extends DomainError {
  readonly code = 'CODEC_CALIBRATION'
  readonly retriable = false
  constructor(message: string) {
    super(message, 'Make one with "deos model calibrate", or go without: blocks then travel without loss.')
  }
}
