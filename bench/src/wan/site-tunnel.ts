import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { connectThrough, parseHttpProxy } from '@deos/transport'

const TIMEOUT_MS = 10_000

/** A port of this computer behind which stands a server at a site of an emulated network, for programs without proxies. */
export class SiteTunnel {
  private readonly sockets = new Set<Socket>()

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  /** @param proxy - of the site from which is dialled */
  static async open(proxy: string, target: { host: string; port: number }): Promise<SiteTunnel> {
    const through = parseHttpProxy(proxy)
    const server = createServer({ noDelay: true, pauseOnConnect: true })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const tunnel = new SiteTunnel(server, typeof address === 'object' && address !== null ? address.port : 0)
    server.on('connection', (near) => {
      tunnel.keep(near)
      connectThrough(through, target, { timeoutMs: TIMEOUT_MS }).then(
        (far) => {
          tunnel.keep(far)
          near.once('close', () => far.destroy())
          far.once('close', () => near.destroy())
          near.pipe(far)
          far.pipe(near)
        },
        () => near.destroy(),
      )
    })
    return tunnel
  }

  close(): void {
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
  }

  private keep(socket: Socket): void {
    this.sockets.add(socket)
    // Its end shows to whoever uses it as a closed connection.
    socket.on('error', () => undefined)
    socket.once('close', () => this.sockets.delete(socket))
  }
}
