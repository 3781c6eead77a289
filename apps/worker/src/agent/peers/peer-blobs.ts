import type { BlobSource, ByteRange } from '@deos/blobs'
import { type PeerAccess, PeerClient } from './peer-client.ts'

/** Pieces from another machine. Connections are used again; whoever is done closes the source. */
export class PeerBlobs implements BlobSource {
  #idle: PeerClient[] = []
  #closed = false

  constructor(
    readonly name: string,
    private readonly access: PeerAccess,
  ) {}

  async read(digest: string, range: ByteRange, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    this.#idle = this.#idle.filter(({ isOpen }) => isOpen)
    const client = this.#idle.pop() ?? (await PeerClient.open(this.access, signal))
    return this.#bytes(client, digest, range, signal)
  }

  close(): void {
    this.#closed = true
    for (const client of this.#idle.splice(0)) client.close()
  }

  async *#bytes(client: PeerClient, digest: string, range: ByteRange, signal: AbortSignal) {
    const abort = () => client.close()
    signal.addEventListener('abort', abort, { once: true })
    let complete = false
    try {
      signal.throwIfAborted()
      yield* client.read(digest, range)
      complete = true
    } finally {
      signal.removeEventListener('abort', abort)
      // What was left amid an answer cannot be asked anything else.
      if (complete && !this.#closed) this.#idle.push(client)
      else client.close()
    }
  }
}
