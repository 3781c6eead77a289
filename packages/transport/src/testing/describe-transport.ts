import { ringId } from '@deos/domain'
import { encodeMessage, type Message, PROTOCOL_VERSION } from '@deos/protocol'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Link, LinkHandlers, Transport } from '../link.ts'
import { LinkError, type LinkErrorCode } from '../link-error.ts'
import { helloOf, type LinkIdentity, linkIdentity } from '../link-identity.ts'
import { defaultLinkLimits, type LinkLimits } from '../link-limits.ts'
import { joinParts } from '../outgoing-frame.ts'

/** A peer that is past authentication and then sends what it likes. */
export interface RawPeer {
  write(bytes: Uint8Array): void
  /** Stops reading, so that the other side's queue grows. */
  pause(): void
  resume(): void
  /** Is gone from one moment to the next. */
  kill(): void
  readonly closed: Promise<void>
}

export interface TransportFixture {
  create(identity: LinkIdentity, secret: 'right' | 'wrong', limits: LinkLimits): Transport
  /** An address to listen on. */
  readonly address: string
  /** An address where nobody listens. */
  readonly deadAddress: string
  /** @param peer - identity to authenticate as */
  connectRaw(address: string, peer: string): Promise<RawPeer>
  dispose(): Promise<void>
}

const KiB = 1024
const MiB = 1024 * KiB
const ring = ringId('ring-1')

interface Recorder extends LinkHandlers {
  readonly messages: Message[]
  readonly closed: string[]
}

const recorder = (): Recorder => {
  const messages: Message[] = []
  const closed: string[] = []
  return {
    messages,
    closed,
    onMessage: (message) => messages.push(message),
    onClose: (reason) => closed.push(reason),
  }
}

const step = (payload: Uint8Array, number = 1): Message => ({
  type: 'step',
  epoch: 1,
  step: number,
  entries: [{ key: 1, position: 0, count: 1, sample: true, pages: [] }],
  times: [],
  hidden: payload,
})
const close = (key: number): Message => ({ type: 'close', epoch: 1, key })
const bytesOf = (message: Message): Uint8Array => {
  const parts = encodeMessage(message)
  return joinParts(
    parts,
    parts.reduce((sum, part) => sum + part.length, 0),
  )
}

/** What every {@link Transport} must do; `create` makes fresh, independent worlds. */
export function describeTransport(name: string, create: () => TransportFixture): void {
  describe(`transport: ${name}`, () => {
    const fixtures: { fixture: TransportFixture; transports: Transport[] }[] = []

    /** A world with one transport that accepts into `accepted`. */
    const world = async (limits: LinkLimits = defaultLinkLimits) => {
      const fixture = create()
      const transports: Transport[] = []
      fixtures.push({ fixture, transports })
      const transport = (identity: LinkIdentity, secret: 'right' | 'wrong' = 'right') => {
        const made = fixture.create(identity, secret, limits)
        transports.push(made)
        return made
      }
      const accepted: { link: Link; seen: Recorder }[] = []
      const server = transport(linkIdentity('worker', 'server', ring))
      const address = await server.listen(fixture.address, (link) => {
        const seen = recorder()
        accepted.push({ link, seen })
        return seen
      })
      return { fixture, transport, server, address, accepted }
    }
    const pair = async (limits?: LinkLimits) => {
      const { accepted, address, transport, ...rest } = await world(limits)
      const seen = recorder()
      const link = await transport(linkIdentity('gateway', 'client', ring)).connect(address, seen)
      await vi.waitFor(() => expect(accepted).toHaveLength(1))
      return { ...rest, transport, address, accepted, link, seen, far: accepted[0]! }
    }
    const refusal = async (attempt: Promise<Link>): Promise<LinkError> => {
      const error = await attempt.then(
        () => new Error('the link came about'),
        (reason: unknown) => reason,
      )
      expect(error).toBeInstanceOf(LinkError)
      return error as LinkError
    }

    afterEach(async () => {
      for (const { fixture, transports } of fixtures.splice(0)) {
        for (const transport of transports) await transport.stop()
        await fixture.dispose()
      }
    })

    test('both ends learn who the other is', async () => {
      const { link, far } = await pair()
      expect([link.peer, link.role]).toEqual(['server', 'worker'])
      expect([far.link.peer, far.link.role]).toEqual(['client', 'gateway'])
    })

    test('messages arrive complete and in order, both ways', async () => {
      const { link, seen, far } = await pair()
      const sent = Array.from({ length: 150 }, (_, key) =>
        key % 7 === 0 ? step(new Uint8Array(4 * (key + 1)).fill(key), key) : close(key),
      )
      for (const message of sent) {
        link.send(message)
        far.link.send(message)
      }
      await vi.waitFor(() => expect(far.seen.messages).toHaveLength(sent.length))
      await vi.waitFor(() => expect(seen.messages).toHaveLength(sent.length))
      expect(far.seen.messages).toEqual(sent)
      expect(seen.messages).toEqual(sent)
    })

    test('a link may be used as soon as it is handed over', async () => {
      const { fixture, transport } = await world()
      const seen = recorder()
      const server = transport(linkIdentity('worker', 'eager', ring))
      const address = await server.listen(fixture.deadAddress, (link) => {
        link.send(close(7))
        return recorder()
      })
      await transport(linkIdentity('gateway', 'client', ring)).connect(address, seen)
      await vi.waitFor(() => expect(seen.messages).toEqual([close(7)]))
    })

    test('a payload of 8 MiB arrives unchanged, between small messages', async () => {
      const { link, far } = await pair()
      const payload = new Uint8Array(8 * MiB).map((_, index) => index * 31)
      link.send(close(1))
      link.send(step(payload))
      link.send(close(2))
      await vi.waitFor(() => expect(far.seen.messages).toHaveLength(3), { timeout: 10_000 })
      expect(far.seen.messages.map((message) => message.type)).toEqual(['close', 'step', 'close'])
      const received = far.seen.messages[1]
      expect(received?.type === 'step' && Buffer.compare(received.hidden, payload)).toBe(0)
    })

    test('a reader that stops makes send return false, and drained resolves when it goes on', async () => {
      const { fixture, accepted, address } = await world()
      const raw = await fixture.connectRaw(address, 'slow')
      raw.write(bytesOf(helloOf(linkIdentity('gateway', 'slow', ring))))
      await vi.waitFor(() => expect(accepted).toHaveLength(1))
      const { link, seen } = accepted[0]!
      await expect(link.drained()).resolves.toBeUndefined()
      raw.pause()
      let sends = 0
      while (link.send(step(new Uint8Array(MiB), ++sends)) && sends < 100) {
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
      expect(sends).toBeLessThan(100)
      let drained = false
      const waiting = link.drained().then(() => {
        drained = true
      })
      await new Promise((resolve) => setTimeout(resolve, 20))
      expect(drained).toBe(false)
      raw.resume()
      await waiting
      expect(seen.closed).toEqual([])
    })

    test('whoever ignores back-pressure is cut off at the hard limit', async () => {
      const wire = { ...defaultLinkLimits.wire, maxPayloadBytes: MiB, maxMetaBytes: 64 * KiB }
      const limits = { ...defaultLinkLimits, wire, highWaterBytes: MiB, hardLimitBytes: 4 * MiB }
      const { fixture, accepted, address } = await world(limits)
      const raw = await fixture.connectRaw(address, 'slow')
      raw.write(bytesOf(helloOf(linkIdentity('gateway', 'slow', ring))))
      await vi.waitFor(() => expect(accepted).toHaveLength(1))
      const { link, seen } = accepted[0]!
      raw.pause()
      for (let sends = 0; sends < 200 && seen.closed.length === 0; sends++) {
        link.send(step(new Uint8Array(MiB), sends))
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
      expect(seen.closed).toEqual([expect.stringContaining('reads too slowly')])
      await link.drained()
      expect(link.send(close(1))).toBe(false)
    })

    test('closing flushes what was sent, and both ends hear of it once', async () => {
      const { link, seen, far } = await pair()
      link.send(close(1))
      link.send(close(2))
      link.close('enough')
      expect(seen.closed, 'never inside close()').toEqual([])
      link.close('again')
      await vi.waitFor(() => expect([seen.closed.length, far.seen.closed.length]).toEqual([1, 1]))
      expect(seen.closed).toEqual(['enough'])
      expect(far.seen.closed).toEqual(['the peer closed the link'])
      expect(far.seen.messages).toEqual([close(1), close(2)])
      expect(link.send(close(3))).toBe(false)
    })

    test('stopping a transport closes its links and its address', async () => {
      const { server, seen, transport, address } = await pair()
      await server.stop()
      await vi.waitFor(() => expect(seen.closed).toHaveLength(1))
      const late = transport(linkIdentity('gateway', 'late', ring)).connect(address, recorder())
      expect((await refusal(late)).code).toBe('LINK_REFUSED')
    })

    test('nobody there: the error says so and that trying again may help', async () => {
      const { fixture, transport } = await world()
      const error = await refusal(
        transport(linkIdentity('worker', 'a', ring)).connect(fixture.deadAddress, recorder()),
      )
      expect(error).toMatchObject({ code: 'LINK_REFUSED', retriable: true })
      expect(error.hint).not.toBe('')
    })

    test('a wrong secret is refused by both ends', async () => {
      const { transport, address, accepted } = await world()
      const stranger = transport(linkIdentity('worker', 'stranger', ring), 'wrong')
      const error = await refusal(stranger.connect(address, recorder()))
      expect(error).toMatchObject({ code: 'LINK_UNAUTHENTICATED', retriable: false })
      expect(accepted).toEqual([])
    })

    test.each<[string, LinkErrorCode, LinkIdentity]>([
      [
        'another version',
        'LINK_VERSION',
        { ...linkIdentity('worker', 'old', ring), version: PROTOCOL_VERSION + 1 },
      ],
      ['another ring', 'LINK_RING', linkIdentity('worker', 'lost', ringId('ring-2'))],
    ])('%s is refused by name', async (_, code, identity) => {
      const { transport, address, accepted } = await world()
      // A transport's key belongs to its ring, so a foreign ring may fail in the handshake already.
      const codes = code === 'LINK_RING' ? [code, 'LINK_UNAUTHENTICATED'] : [code]
      expect(codes).toContain((await refusal(transport(identity).connect(address, recorder()))).code)
      expect(accepted).toEqual([])
    })

    test('a frame of another version ends the handshake', async () => {
      const { fixture, address, accepted } = await world()
      const hello = bytesOf(helloOf(linkIdentity('gateway', 'old', ring)))
      hello[2] = PROTOCOL_VERSION + 1
      const raw = await fixture.connectRaw(address, 'old')
      raw.write(hello)
      await raw.closed
      expect(accepted).toEqual([])
    })

    test('garbage instead of a hello ends the connection', async () => {
      const { fixture, address, accepted } = await world()
      const raw = await fixture.connectRaw(address, 'noise')
      raw.write(new TextEncoder().encode('GET / HTTP/1.1\r\nHost: x\r\n\r\n'))
      await raw.closed
      expect(accepted).toEqual([])
    })

    test('a message before the hello ends the connection', async () => {
      const { fixture, address, accepted } = await world()
      const raw = await fixture.connectRaw(address, 'rude')
      raw.write(bytesOf(close(1)))
      await raw.closed
      expect(accepted).toEqual([])
    })

    test('garbage after the hello ends the link with a reason; what came before counts', async () => {
      const { fixture, address, accepted } = await world()
      const raw = await fixture.connectRaw(address, 'noise')
      raw.write(bytesOf(helloOf(linkIdentity('gateway', 'noise', ring))))
      raw.write(bytesOf(close(1)))
      raw.write(new Uint8Array(64).fill(0xab))
      await raw.closed
      await vi.waitFor(() =>
        expect(accepted[0]?.seen.closed).toEqual([expect.stringContaining('header.magic')]),
      )
      expect(accepted[0]!.seen.messages).toEqual([close(1)])
    })

    test('an announced payload beyond the limit ends the link before it is sent', async () => {
      const { fixture, address, accepted } = await world()
      const raw = await fixture.connectRaw(address, 'huge')
      raw.write(bytesOf(helloOf(linkIdentity('gateway', 'huge', ring))))
      const frame = bytesOf(step(new Uint8Array(4))).slice(0, 16)
      new DataView(frame.buffer).setUint32(8, 0xfffffffc, true)
      raw.write(frame)
      await raw.closed
      await vi.waitFor(() =>
        expect(accepted[0]?.seen.closed).toEqual([expect.stringContaining('step.payloadBytes')]),
      )
    })

    test('sending beyond the limit throws and leaves the link alive', async () => {
      const wire = { ...defaultLinkLimits.wire, maxPayloadBytes: KiB }
      const { link, far } = await pair({ ...defaultLinkLimits, wire })
      expect(() => link.send(step(new Uint8Array(KiB + 4)))).toThrow(LinkError)
      link.send(step(new Uint8Array(KiB)))
      await vi.waitFor(() => expect(far.seen.messages).toHaveLength(1))
    })

    test('a silent peer is dropped when the time for its hello is over', async () => {
      const { fixture, address, accepted } = await world({ ...defaultLinkLimits, handshakeTimeoutMs: 50 })
      const raw = await fixture.connectRaw(address, 'mute')
      await raw.closed
      expect(accepted).toEqual([])
    })

    test('a peer that falls silent is cut off; one that has nothing to say is not', async () => {
      const limits = { ...defaultLinkLimits, heartbeatMs: 20, silenceMs: 200 }
      const { fixture, address, accepted, transport } = await world(limits)
      const seen = recorder()
      const quiet = await transport(linkIdentity('worker', 'quiet', ring)).connect(address, seen)
      const raw = await fixture.connectRaw(address, 'gone')
      raw.write(bytesOf(helloOf(linkIdentity('gateway', 'gone', ring))))
      await raw.closed
      const gone = accepted.find(({ link }) => link.peer === 'gone')
      await vi.waitFor(() => expect(gone?.seen.closed).toEqual([expect.stringContaining('silent')]))
      expect(seen.closed).toEqual([])
      quiet.send(close(1))
      const heard = accepted.find(({ link }) => link.peer === 'quiet')
      await vi.waitFor(() => expect(heard?.seen.messages).toEqual([close(1)]))
      expect(seen.messages, 'heartbeats stay below').toEqual([])
    })

    test('an abort signal ends connecting, before and during', async () => {
      const { transport, address, accepted } = await world()
      const client = transport(linkIdentity('worker', 'hasty', ring))
      expect((await refusal(client.connect(address, recorder(), AbortSignal.abort()))).code).toBe(
        'LINK_ABORTED',
      )
      const controller = new AbortController()
      const attempt = client.connect(address, recorder(), controller.signal)
      controller.abort()
      expect((await refusal(attempt)).code).toBe('LINK_ABORTED')
      await vi.waitFor(() => {
        for (const { seen } of accepted) expect(seen.closed).toHaveLength(1)
      })
    })

    test('many links at once keep their messages apart', async () => {
      const { transport, address, accepted } = await world()
      const links = await Promise.all(
        Array.from({ length: 40 }, (_, index) =>
          transport(linkIdentity('worker', `peer-${index}`, ring)).connect(address, recorder()),
        ),
      )
      links.forEach((link, index) => {
        for (let key = 0; key < 5; key++) link.send(close(index * 100 + key))
      })
      await vi.waitFor(() => {
        expect(accepted).toHaveLength(40)
        for (const { seen } of accepted) expect(seen.messages).toHaveLength(5)
      })
      for (const { link, seen } of accepted) {
        const index = Number(link.peer.slice('peer-'.length))
        expect(seen.messages).toEqual([0, 1, 2, 3, 4].map((key) => close(index * 100 + key)))
      }
    })

    test('a peer killed mid-message ends its link alone, and may come again', async () => {
      const { fixture, accepted, address, transport } = await world()
      const raw = await fixture.connectRaw(address, 'victim')
      raw.write(bytesOf(helloOf(linkIdentity('gateway', 'victim', ring))))
      const steady = await transport(linkIdentity('worker', 'steady', ring)).connect(address, recorder())
      await vi.waitFor(() => expect(accepted).toHaveLength(2))
      const victim = accepted.find(({ link }) => link.peer === 'victim')!
      raw.write(bytesOf(close(1)))
      raw.write(bytesOf(step(new Uint8Array(64 * KiB))).subarray(0, 1000))
      await vi.waitFor(() => expect(victim.seen.messages).toEqual([close(1)]))
      raw.kill()
      await vi.waitFor(() => expect(victim.seen.closed).toHaveLength(1))
      expect(victim.seen.messages, 'half a message is none').toEqual([close(1)])
      expect(victim.link.send(close(2))).toBe(false)
      steady.send(close(3))
      const kept = accepted.find(({ link }) => link.peer === 'steady')!
      await vi.waitFor(() => expect(kept.seen.messages).toEqual([close(3)]))
      const again = await transport(linkIdentity('gateway', 'victim', ring)).connect(address, recorder())
      again.send(close(4))
      await vi.waitFor(() => expect(accepted.at(-1)!.seen.messages).toEqual([close(4)]))
    })

    test('messages of each priority keep their order, and none is lost', async () => {
      const { link, far } = await pair()
      const numbers = Array.from({ length: 40 }, (_, number) => number)
      for (const number of numbers) {
        link.send(step(new Uint8Array(100 * KiB), number), 'kv')
        link.send(close(number), 'control')
      }
      await vi.waitFor(() => expect(far.seen.messages).toHaveLength(2 * numbers.length), { timeout: 10_000 })
      const { messages } = far.seen
      expect(messages.flatMap((message) => (message.type === 'step' ? [message.step] : []))).toEqual(numbers)
      expect(messages.flatMap((message) => (message.type === 'close' ? [message.key] : []))).toEqual(numbers)
    })
  })
}
