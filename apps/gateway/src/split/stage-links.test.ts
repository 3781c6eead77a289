import { ringId, sessionId } from '@deos/domain'
import type { KvMessage } from '@deos/protocol'
import { guestKey, type Link, linkIdentity, ringNetwork, TcpTransport } from '@deos/transport'
import { afterEach, expect, test, vi } from 'vitest'
import { StageLinks } from './stage-links.ts'

const ring = ringId('decode')
const secret = new Uint8Array(32).fill(9)
const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

/** A stage that listens, with what it heard. */
async function stage(worker: string) {
  const transport = new TcpTransport({ identity: linkIdentity('worker', worker, ring), secret })
  stops.push(() => transport.stop())
  const heard: string[] = []
  const links: Link[] = []
  const address = await transport.listen('127.0.0.1:0', (link) => {
    links.push(link)
    return { onMessage: ({ type }) => void heard.push(type), onClose: () => undefined }
  })
  return { address, heard, links, transport }
}

async function links() {
  const stages = [await stage('d0'), await stage('d1')]
  const own = new StageLinks({
    ...{ ring, secret, stages: stages.map(({ address }) => address), network: ringNetwork(null) },
    onNote: () => undefined,
  })
  stops.push(() => own.stop())
  const events: string[] = []
  const stopListening = own.listen({
    onUp: (peer) => events.push(`up ${peer}`),
    onDown: (peer) => events.push(`down ${peer}`),
    onMessage: (peer, { type }) => events.push(`${peer} ${type}`),
  })
  own.start()
  await vi.waitFor(() => expect([...own.peers].sort()).toEqual(['d0', 'd1']))
  return { stages, own, events, stopListening }
}

const abort: KvMessage = {
  ...{ type: 'kv-abort', epoch: 1, session: sessionId('s'), outcome: 'keep', reason: 'over', bytes: 0 },
}

test('every stage is reached under the name it proved, and answers are told apart', async () => {
  const { stages, own, events, stopListening } = await links()
  own.send('d1', abort)
  await vi.waitFor(() => expect(stages[1]!.heard).toEqual(['kv-abort']))
  expect(stages[0]!.heard).toEqual([])
  stages[0]!.links[0]!.send(abort)
  // What it says as a member of its ring is not for hand-overs.
  stages[0]!.links[0]!.send({ type: 'fault', epoch: 1, stage: 0, reason: 'a test' })
  stages[1]!.links[0]!.send(abort)
  await vi.waitFor(() => expect(events).toEqual(expect.arrayContaining(['d0 kv-abort', 'd1 kv-abort'])))
  expect(events.filter((event) => event.includes('fault'))).toEqual([])
  stopListening()
  const before = events.length
  stages[0]!.links[0]!.send(abort)
  own.send('d1', abort)
  await vi.waitFor(() => expect(stages[1]!.heard).toHaveLength(2))
  expect(events).toHaveLength(before)
})

test('doors: the address of a stage, and a key for one guest; none for who cannot be reached', async () => {
  const { stages, own, events } = await links()
  expect(own.door('d0', 'p0', '127.0.0.1:1')).toEqual({
    address: stages[0]!.address,
    key: guestKey(secret, ring, 'p0'),
  })
  expect(own.addressOf('d1')).toBe(stages[1]!.address)
  expect(own.door('nobody', 'p0', '127.0.0.1:1')).toBeNull()
  await stages[0]!.transport.stop()
  await vi.waitFor(() => expect(events).toContain('down d0'))
  expect(own.peers).toEqual(['d1'])
  expect(own.door('d0', 'p0', '127.0.0.1:1')).toBeNull()
  // Nobody hears it; what is said again when the link is back is the coordinator's.
  own.send('d0', abort)
})
