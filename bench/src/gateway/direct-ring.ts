import { defaultSampling, ringId } from '@deos/domain'
import { defaultClientOptions, defaultWireLimits, plainNeeds } from '@deos/protocol'
import { defaultHostTiming, linkIdentity, RingConnection, systemTimers, TcpTransport } from '@deos/transport'
import { quantile } from '../contract.ts'
import type { RunningStage } from '../control-plane/fleet-part.ts'

const promptTokens = Int32Array.from({ length: 24 }, (_, index) => 300 + index)

/** A connection to a ring of one stage such as a gateway has, with nothing in front of it. */
export class DirectRing {
  #last = 0

  private constructor(
    private readonly connection: RingConnection,
    private readonly transport: TcpTransport,
  ) {}

  static async connect({ ring, ringSecret, address }: RunningStage): Promise<DirectRing> {
    const transport = new TcpTransport({
      identity: linkIdentity('gateway', 'bench-direct', ringId(ring)),
      secret: Buffer.from(ringSecret, 'hex'),
    })
    const connection = await new Promise<RingConnection>((resolve) => {
      const opening = new RingConnection(
        {
          ...{ ...defaultClientOptions, ...defaultHostTiming, wire: defaultWireLimits },
          ...{ leader: address!, tail: null },
        },
        {
          ...{ transport, timers: systemTimers, random: { next: Math.random }, onNote: () => undefined },
          onStatus: (ready) => {
            if (ready) resolve(opening)
          },
        },
      )
      opening.start()
    })
    return new DirectRing(connection, transport)
  }

  /** Asks again and again, one after the other. @returns the middle time to the last token */
  async p50Ms(tokens: number, durationMs: number): Promise<number> {
    const timesMs: number[] = []
    const startedMs = performance.now()
    while (performance.now() - startedMs < durationMs) {
      const askedMs = performance.now()
      await this.#generate(tokens)
      timesMs.push(performance.now() - askedMs)
    }
    return quantile(timesMs, 0.5)
  }

  async stop(): Promise<void> {
    this.connection.stop()
    await this.transport.stop()
  }

  #generate(maxTokens: number): Promise<void> {
    this.#last += 1
    const request = {
      ...{ id: `direct-${this.#last}`, tokens: promptTokens, maxTokens, stopTokens: [], deadlineMs: 0 },
      ...{ sampling: { ...defaultSampling, temperature: 0 }, tenant: 'bench', priority: 0 },
      ...{ needs: plainNeeds, pooling: null },
    }
    return new Promise((resolve, reject) => {
      this.connection.generate(request, {
        onToken: ({ finish }) => {
          if (finish !== null) resolve()
        },
        onRejected: (code, message) => reject(new Error(`${code}: ${message}`)),
        onFailed: (code, message) => reject(new Error(`${code}: ${message}`)),
      })
    })
  }
}
