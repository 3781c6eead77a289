import type { Duplex } from 'node:stream'
import { LinkError } from '../link-error.ts'

/**
 * A circuit begins with one line each way, in the clear: `DEOS-CIRCUIT 1 connect NAME` from who wants a machine, or
 * `DEOS-CIRCUIT 1 accept TOKEN` from the machine; then `ok OWN PEER` with both ends' addresses as the relay sees them,
 * or `no REASON`. All that follows goes through unread.
 */
export const PREAMBLE = 'DEOS-CIRCUIT 1 '
export const NOBODY = 'nobody waits under this name'
const LONGEST_LINE = 300

/** Reads one line; what comes after it stays in the stream. @throws LinkError */
export function readLine(stream: Duplex, timeoutMs: number, name: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let read: Buffer = Buffer.alloc(0)
    const settle = (): void => {
      clearTimeout(timer)
      stream.pause()
      stream.off('data', onData)
      stream.off('close', onClose)
    }
    const fail = (error: LinkError): void => {
      settle()
      stream.destroy()
      reject(error)
    }
    const timer = setTimeout(
      () => fail(new LinkError('LINK_TIMEOUT', `${name} said nothing within ${timeoutMs} ms.`)),
      timeoutMs,
    )
    const onClose = (): void => fail(new LinkError('LINK_CLOSED', `${name} hung up.`))
    const onData = (bytes: Buffer): void => {
      read = Buffer.concat([read, bytes])
      const end = read.indexOf(10)
      if (end < 0 && read.length <= LONGEST_LINE) return
      if (end < 0 || end > LONGEST_LINE) {
        fail(new LinkError('LINK_PROTOCOL', `${name} sent a line of more than ${LONGEST_LINE} bytes.`))
        return
      }
      settle()
      if (read.length > end + 1) stream.unshift(read.subarray(end + 1))
      resolve(read.subarray(0, end).toString('latin1'))
    }
    stream.on('close', onClose)
    stream.on('data', onData)
    stream.resume()
  })
}
