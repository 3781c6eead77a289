import type { Socket } from 'node:net'
import type { EmulatedNetwork } from '../model/emulated-network.ts'
import type { AlarmClock } from './alarm-clock.ts'
import { ShapedPipe } from './shaped-pipe.ts'

export interface TunnelEnds {
  /** Site and socket of who dialled. */
  readonly from: string
  readonly client: Socket
  readonly to: string
  readonly target: Socket
}

/** Told of bytes from one site to the other. */
export interface TunnelCounts {
  entered(from: string, to: string, sizeBytes: number): void
  delivered(from: string, to: string, sizeBytes: number): void
}

/** One connection between two sites: a shaped pipe in each direction. */
export class Tunnel {
  readonly #pipes: readonly [forth: ShapedPipe, back: ShapedPipe]

  constructor(
    readonly ends: TunnelEnds,
    network: EmulatedNetwork,
    clock: AlarmClock,
    counts: TunnelCounts,
    onGone: () => void,
  ) {
    const { from, to, client, target } = ends
    const { forth, back } = network.connect(from, to)
    const cut = () => this.cut()
    const pipe = (source: Socket, sink: Socket, a: string, b: string, stream: typeof forth) =>
      new ShapedPipe({
        ...{ source, sink, stream, clock, cut, link: network.link(a, b) },
        onBytes: (sizeBytes) => counts.entered(a, b, sizeBytes),
        onDelivered: (sizeBytes) => counts.delivered(a, b, sizeBytes),
      })
    this.#pipes = [pipe(client, target, from, to, forth), pipe(target, client, to, from, back)]
    let open = 2
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      socket.setNoDelay(true)
      // An end that broke off, or has nothing to write to any more, takes the other with it.
      socket.on('error', () => other.resetAndDestroy())
      socket.on('close', () => {
        if (!socket.readableEnded) other.resetAndDestroy()
        open -= 1
        if (open > 0) return
        for (const one of this.#pipes) one.stop()
        onGone()
      })
    }
  }

  /** Bytes of the client that came with its request. */
  begin(head: Buffer): void {
    this.#pipes[0].begin(head)
  }

  /** Links are other than before. */
  look(): void {
    for (const pipe of this.#pipes) pipe.look()
  }

  /** Resets both ends at once. */
  cut(): void {
    this.ends.client.resetAndDestroy()
    this.ends.target.resetAndDestroy()
  }
}
