import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { describeError } from '@deos/domain'
import { type Logger, parseJsonLine, type Service } from '@deos/service'
import { parseWanAction, type WanAction, WanEmulator, type WanEvent, type WanProfile } from '@deos/wan'

export interface WanServiceOptions {
  readonly profile: WanProfile
  readonly seed: number
  readonly schedule: readonly WanEvent[]
}

/** A line on standard output: where sites are, what was counted, or why an order was not followed. */
export type WanLine = Readonly<Record<string, unknown>> & { readonly event: 'ready' | 'traffic' | 'refused' }

/**
 * An emulated network as a process. Orders come as lines of JSON: `{"action": "blackhole", "from": "a", "to": "b"}`
 * and so on, or `{"ask": "traffic"}`.
 */
export class WanService implements Service {
  #emulator: WanEmulator | null = null

  constructor(
    private readonly options: WanServiceOptions,
    private readonly orders: Readable,
    private readonly logger: Logger,
    private readonly tell: (line: WanLine) => void,
  ) {}

  /** @throws WanError if this computer cannot play the network */
  async start(): Promise<void> {
    const { profile } = this.options
    const emulator = await WanEmulator.start(this.options)
    this.#emulator = emulator
    const sites = profile.sites.map(({ name, region, provider }, index) => {
      const { host, proxy } = emulator.sites[index]!
      return { name, region: region ?? name, provider: provider ?? profile.name, host, proxy }
    })
    createInterface({ input: this.orders }).on('line', (line) => this.#obey(emulator, line))
    this.logger.info({ profile: profile.name, sites: sites.length }, profile.title)
    this.tell({ event: 'ready', profile: profile.name, title: profile.title, sites })
  }

  drain(): Promise<void> {
    return Promise.resolve()
  }

  async stop(): Promise<void> {
    await this.#emulator?.stop()
  }

  #obey(emulator: WanEmulator, line: string): void {
    const order = parseJsonLine(line)
    if (order?.ask === 'traffic') {
      this.tell({ event: 'traffic', pairs: emulator.traffic })
      return
    }
    let action: WanAction
    try {
      action = parseWanAction(order, this.options.profile)
    } catch (error) {
      this.tell({ event: 'refused', line: line.slice(0, 200), reason: describeError(error) })
      return
    }
    this.logger.info(action, 'The network changes.')
    emulator.apply(action)
  }
}
