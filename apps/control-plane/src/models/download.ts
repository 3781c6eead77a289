import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as systemSleep } from 'node:timers/promises'
import { DomainError } from '@deos/domain'
import { HubError } from './errors.ts'
import { type Hub, type HubFile, statusError } from './hub.ts'
import type { OutgoingAnswer } from './outgoing.ts'

export interface DownloadOptions {
  readonly hub: Hub
  readonly repository: string
  readonly commit: string
  readonly file: HubFile
  /** Holds the bytes from the beginning that are there already. */
  readonly path: string
  /** Bytes that are there; fewer than before if it had to begin anew. */
  readonly onProgress: (doneBytes: number) => void
  readonly signal: AbortSignal
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>
}

/** Tries in a row that bring nothing. */
const mostAttempts = 6
const firstDelayMs = 1000
const longestDelayMs = 30_000

const plainSleep = (ms: number, signal: AbortSignal): Promise<void> => systemSleep(ms, undefined, { signal })

/**
 * Fetches a file of a commit, going on where an earlier try ended, however often it breaks off as long as it gets on.
 *
 * @throws HubError, OutgoingRefusedError, DiskError; the signal's reason when aborted
 */
export async function downloadFile(options: DownloadOptions): Promise<void> {
  const { path, file, signal, onProgress, sleep = plainSleep } = options
  await mkdir(dirname(path), { recursive: true })
  const target = await open(path, 'a+').then(async (made) => {
    await made.close()
    return open(path, 'r+')
  })
  try {
    let doneBytes = (await target.stat()).size
    for (let attempt = 1; ; attempt += 1) {
      if (doneBytes > file.sizeBytes) doneBytes = 0
      onProgress(doneBytes)
      if (doneBytes === file.sizeBytes) break
      const before = doneBytes
      try {
        await receive(options, target, doneBytes, (done) => {
          doneBytes = done
          onProgress(done)
        })
      } catch (error) {
        signal.throwIfAborted()
        if (doneBytes > before) attempt = 0
        if (!(error instanceof DomainError) || !error.retriable || attempt >= mostAttempts) throw error
        await sleep(waitMs(attempt, error), signal).catch((reason: unknown) => {
          signal.throwIfAborted()
          throw reason
        })
      }
    }
    await target.truncate(file.sizeBytes)
    await target.sync()
  } finally {
    await target.close()
  }
}

/** The disk refused: trying again would not help. */
export class DiskError extends DomainError {
  readonly code = 'MODEL_DISK_REFUSED'
  readonly retriable = false

  constructor(cause: unknown) {
    super(
      `Bytes could not be written: ${cause instanceof Error ? cause.message : String(cause)}.`,
      "Free some space on the control plane's disk, then try again.",
      { cause },
    )
  }
}

async function writeFully(target: FileHandle, chunk: Uint8Array, at: number): Promise<void> {
  try {
    for (let written = 0; written < chunk.length; ) {
      written += (await target.write(chunk, written, chunk.length - written, at + written)).bytesWritten
    }
  } catch (error) {
    throw new DiskError(error)
  }
}

function waitMs(attempt: number, error: DomainError): number {
  const asked = error instanceof HubError ? error.retryAfterMs : null
  return Math.min(longestDelayMs, asked ?? firstDelayMs * 2 ** Math.max(0, attempt - 1))
}

async function receive(
  { hub, repository, commit, file, signal }: DownloadOptions,
  target: FileHandle,
  first: number,
  onDone: (doneBytes: number) => void,
): Promise<void> {
  const answer = await hub.download(repository, commit, file.name, first, signal)
  try {
    let at = beginningOf(repository, answer, first, file)
    if (at !== first) onDone(at)
    for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
      if (at + chunk.length > file.sizeBytes) {
        throw new HubError(
          `${file.name} is longer than the ${file.sizeBytes} bytes that the hub lists.`,
          'Try again.',
          false,
        )
      }
      await writeFully(target, chunk, at)
      at += chunk.length
      onDone(at)
    }
    if (at < file.sizeBytes) throw brokenOff(file, at, null)
  } catch (error) {
    if (error instanceof DomainError) throw error
    throw brokenOff(file, null, error)
  } finally {
    answer.body.destroy()
  }
}

function brokenOff({ name, sizeBytes }: HubFile, at: number | null, cause: unknown): HubError {
  const where = at === null ? '' : ` at byte ${at} of ${sizeBytes}`
  const reason = cause instanceof Error ? `: ${cause.message}` : ''
  return new HubError(
    `The download of ${name} broke off${where}${reason}.`,
    'Try again; it goes on from there.',
    true,
    null,
    cause,
  )
}

/** Where in the file the answer begins. @throws HubError if it is not the file */
function beginningOf(
  repository: string,
  { status, headers }: OutgoingAnswer,
  first: number,
  file: HubFile,
): number {
  if (status === 200) return 0
  if (status === 206) {
    const [, from, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers['content-range'] ?? '') ?? []
    if (Number(from) === first && (total === '*' || Number(total) === file.sizeBytes)) return first
    throw new HubError(`The hub sent other bytes of ${file.name} than it was asked for.`, 'Try again.', false)
  }
  const seconds = /^\d{1,6}$/.test(headers['retry-after'] ?? '') ? Number(headers['retry-after']) : null
  throw statusError(`${file.name} of ${repository}`, status, seconds === null ? null : seconds * 1000)
}
