import { createServer, type Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { EmulatedNetwork } from '../model/emulated-network.ts'
import { retransmittedAtMs } from '../model/tcp-loss.ts'
import { pairKey, type WanProfile } from '../profile/wan-profile.ts'
import type { WanAction, WanEvent } from '../schedule/wan-schedule.ts'
import { WanError } from '../wan-error.ts'
import { type Alarm, AlarmClock } from './alarm-clock.ts'
import { Tunnel } from './tunnel.ts'

export interface WanEmulatorOptions {
  readonly profile: WanProfile
  /** Of every decision left to chance. */
  readonly seed: number
  /** What shall happen, by time since the start. */
  readonly schedule?: readonly WanEvent[]
}

/** Where a site is reached, and from where it reaches the others. */
export interface EmulatedSite {
  readonly name: string
  /** What listens on this loopback address stands at this site. */
  readonly host: string
  /** Machines of the site dial everything through this: `http://127.0.0.1:port`. */
  readonly proxy: string
}

/** Bytes and connections of one ordered pair of sites. */
export interface PairTraffic {
  readonly from: string
  readonly to: string
  /** That entered the way, and that came out of it: some are under way, or were lost with their connection. */
  readonly bytes: number
  readonly deliveredBytes: number
  /** Dialled by `from`. */
  readonly connections: number
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] }

/** Of the loopback network, for what stands at sites: `127.77.<site>.1`. */
const siteHost = (index: number): string => `127.77.${index + 1}.1`
/** Whoever listens on one of these belongs to no site. */
const hostPattern = /^127\.77\.(\d{1,3})\.1$/

/**
 * A network that is not there: every site of a profile has an HTTP proxy on this computer, and what machines of the
 * site send and get through it comes as late, as slowly and as unreliably as the profile says.
 */
export class WanEmulator {
  readonly #clock = new AlarmClock()
  readonly #network: EmulatedNetwork
  readonly #servers: Server[] = []
  readonly #tunnels = new Set<Tunnel>()
  readonly #pending = new Set<Duplex>()
  readonly #traffic = new Map<string, Writable<PairTraffic>>()
  #sites: readonly EmulatedSite[] = []

  private constructor(private readonly options: WanEmulatorOptions) {
    this.#network = new EmulatedNetwork(options.profile, options.seed)
  }

  /** @throws WanError if this computer lacks the loopback addresses of the sites */
  static async start(options: WanEmulatorOptions): Promise<WanEmulator> {
    const emulator = new WanEmulator(options)
    try {
      await emulator.#listen()
    } catch (error) {
      await emulator.stop()
      throw error
    }
    for (const { atMs, action } of options.schedule ?? []) {
      emulator.#after(atMs, () => emulator.apply(action))
    }
    return emulator
  }

  /** In the order of the profile. */
  get sites(): readonly EmulatedSite[] {
    return this.#sites
  }

  /** What went between each two sites so far, in order of first use. */
  get traffic(): readonly PairTraffic[] {
    return [...this.#traffic.values()].map((pair) => ({ ...pair }))
  }

  /** Makes something happen now. */
  apply(action: WanAction): void {
    this.#network.apply(action, this.#clock.now())
    const between = [...this.#tunnels].filter(({ ends: { from, to } }) => {
      const pair = [pairKey(from, to), pairKey(to, from)]
      return pair.includes(pairKey(action.from, action.to))
    })
    const cuts = action.action === 'reset' || (action.action === 'kill' && action.afterBytes === 0)
    for (const tunnel of between) {
      if (cuts) tunnel.cut()
      else tunnel.look()
    }
  }

  async stop(): Promise<void> {
    for (const tunnel of this.#tunnels) tunnel.cut()
    for (const socket of this.#pending) socket.destroy()
    await Promise.all(
      this.#servers.map((server) => {
        const closed = new Promise((resolve) => server.close(resolve))
        server.closeAllConnections()
        return closed
      }),
    )
    await this.#clock.stop()
  }

  async #listen(): Promise<void> {
    const { sites } = this.options.profile
    this.#sites = await Promise.all(
      sites.map(async ({ name }, index) => {
        const host = siteHost(index)
        await checkHost(host)
        return { name, host, proxy: `http://127.0.0.1:${await this.#serve(name)}` }
      }),
    )
  }

  #serve(site: string): Promise<number> {
    const server = createServer((_, response) => {
      response.writeHead(405, { allow: 'CONNECT' }).end('This proxy only takes CONNECT.\n')
    })
    server.on('connect', ({ url = '' }, socket: Duplex, head: Buffer) =>
      this.#dial(site, url, socket as Socket, head),
    )
    this.#servers.push(server)
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', () => {
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
  }

  /** A client asks for a connection: it has one when the answer of the target could be back. */
  #dial(from: string, authority: string, client: Socket, head: Buffer): void {
    this.#pending.add(client)
    client.on('close', () => this.#pending.delete(client))
    client.on('error', () => client.destroy())
    const target = /^([^\s:[\]]+):(\d{1,5})$/.exec(authority)
    const to = this.#siteAt(target?.[1])
    const port = Number(target?.[2])
    if (to !== null && port > 65_535) {
      client.end(`HTTP/1.1 400 Bad Request\r\n\r\nPort ${port} is beyond 65535.\n`)
      return
    }
    if (to === null) {
      client.end(
        `HTTP/1.1 403 Forbidden\r\n\r\n"${authority.slice(0, 80)}" stands at no site; sites are at ${siteHost(0)} to ${siteHost(this.#sites.length - 1)}.\n`,
      )
      return
    }
    const there = this.#network.link(from, to)
    const home = this.#network.link(to, from)
    if (there.resets || home.resets) {
      client.resetAndDestroy()
      return
    }
    this.#travel(there, () => {
      const socket = connect({ host: target![1]!, port, allowHalfOpen: true })
      this.#pending.add(socket)
      socket.once('close', () => this.#pending.delete(socket))
      socket.once('error', () => {
        this.#travel(home, () => client.end('HTTP/1.1 502 Bad Gateway\r\n\r\nNobody listens there.\n'))
      })
      socket.once('connect', () => {
        socket.removeAllListeners('error')
        socket.pause()
        socket.on('error', () => socket.destroy())
        this.#travel(home, () => this.#open({ from, client, to, target: socket }, head))
      })
    })
  }

  #open(ends: Tunnel['ends'], head: Buffer): void {
    const { from, to, client, target } = ends
    if (client.destroyed || target.destroyed) {
      client.destroy()
      target.destroy()
      return
    }
    // Node's HTTP server hands over sockets that end with their reading side.
    client.allowHalfOpen = true
    for (const socket of [client, target]) this.#pending.delete(socket)
    const tunnel = new Tunnel(
      ends,
      this.#network,
      this.#clock,
      {
        entered: (a, b, sizeBytes) => {
          this.#pair(a, b).bytes += sizeBytes
        },
        delivered: (a, b, sizeBytes) => {
          this.#pair(a, b).deliveredBytes += sizeBytes
        },
      },
      () => this.#tunnels.delete(tunnel),
    )
    this.#tunnels.add(tunnel)
    this.#pair(from, to).connections += 1
    client.write('HTTP/1.1 200 Connection established\r\n\r\n')
    tunnel.begin(head)
  }

  /** A handshake's packet takes its way, again and again while the way is blocked. */
  #travel(link: ReturnType<EmulatedNetwork['link']>, then: () => void): void {
    const { oneWayMs } = link.settings
    const sentMs = this.#clock.now()
    const alarm: Alarm = {
      ringsAtMs: Number.POSITIVE_INFINITY,
      ring: (now) => {
        const again = (lostMs: number, backMs: number) => retransmittedAtMs(lostMs, backMs, 2 * oneWayMs)
        const atMs = link.throughMs(sentMs, sentMs + oneWayMs, again)
        if (atMs <= now) then()
        else this.#clock.set(alarm, Math.min(atMs, now + RETRY_MS))
      },
    }
    this.#clock.set(alarm, sentMs + oneWayMs)
  }

  #after(delayMs: number, then: () => void): void {
    this.#clock.set({ ringsAtMs: Number.POSITIVE_INFINITY, ring: then }, this.#clock.now() + delayMs)
  }

  #siteAt(host: string | undefined): string | null {
    const index = hostPattern.exec(host ?? '')?.[1]
    return this.#sites[Number(index) - 1]?.name ?? null
  }

  #pair(from: string, to: string) {
    const key = pairKey(from, to)
    let pair = this.#traffic.get(key)
    if (pair === undefined) {
      pair = { from, to, bytes: 0, deliveredBytes: 0, connections: 0 }
      this.#traffic.set(key, pair)
    }
    return pair
  }
}

/** How often a handshake over a blocked way looks whether it is open. */
const RETRY_MS = 100

/** Whether something can listen on an address; only Linux and Windows have the whole loopback network. */
function checkHost(host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (cause) => {
      reject(
        new WanError(
          `This computer has no address ${host}: ${cause.message}.`,
          `Add it, on macOS with "sudo ifconfig lo0 alias ${host}".`,
          { cause },
        ),
      )
    })
    server.listen(0, host, () => server.close(() => resolve()))
  })
}
