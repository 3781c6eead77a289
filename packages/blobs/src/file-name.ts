import { DomainError } from '@deos/domain'

/** A name that might lead out of the folder it belongs in, or means something else on some system. */
export class UnsafeFileNameError extends DomainError {
  readonly code = 'FILE_NAME_UNSAFE'
  readonly retriable = false

  constructor(name: string, reason: string) {
    super(
      `The file name ${JSON.stringify(name).slice(0, 120)} ${reason}.`,
      'Give the file a plain name, and the model again.',
    )
  }
}

const longestName = 512
const longestPart = 200
const deepest = 8
/** Devices of Windows, whatever their ending. */
const reserved = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\..*)?$/i
const forbidden = /[\p{Cc}\p{Cs}\p{Cf}<>:"|?*\\]/u

/**
 * Checks the name of a file of a model: one that is safe below a folder on every system. Parts are divided by "/".
 *
 * @throws UnsafeFileNameError
 */
export function checkFileName(name: string): void {
  const reason = reasonAgainst(name)
  if (reason !== null) throw new UnsafeFileNameError(name, reason)
}

function reasonAgainst(name: string): string | null {
  if (name === '') return 'is empty'
  if (name.length > longestName) return `has ${name.length} characters; at most ${longestName} are possible`
  if (forbidden.test(name)) return 'has characters that no file may have on some systems'
  const parts = name.split('/')
  if (parts.length > deepest) return `lies ${parts.length - 1} folders deep; ${deepest - 1} are possible`
  for (const part of parts) {
    if (part === '') return 'has an empty part, or begins at the root'
    if (part === '.' || part === '..') return 'leads out of its folder'
    if (part.length > longestPart)
      return `has a part of ${part.length} characters; ${longestPart} are possible`
    if (/^\s|[\s.]$/.test(part)) return 'has a part that begins with a space, or ends with a space or dot'
    if (reserved.test(part)) return `has the part ${part}, which is a device on some systems`
  }
  return null
}
