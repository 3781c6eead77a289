import { randomBytes } from 'node:crypto'
import { afterAll, expect, test } from 'vitest'
import { measureLink } from './link-probe.ts'
import { PeerBlobs } from './peer-blobs.ts'
import { PeerClient } from './peer-client.ts'
import { PeerListener } from './peer-listener.ts'
import { findTicketProblem, ticketKey } from './peer-ticket.ts'

const peerSecret = randomBytes(32)
const nowMs = 1_767_605_400_000
const refusals: string[] = []
const blob = randomBytes(300_000)
const digest = `sha256:${'ab'.repeat(32)}`
let joined = true

const listener = new PeerListener(
  { host: '127.0.0.1', port: 0 },
  {
    identity: () => (joined ? { machineId: 'machine-1', peerSecret } : null),
    async *readBlob(asked, { first, end }) {
      if (asked !== digest) throw new Error(`Nothing is known of ${asked}.`)
      for (let at = first; at < end; at += 100_000) yield blob.subarray(at, Math.min(end, at + 100_000))
    },
    now: () => nowMs,
    onRefused: (_, problem) => refusals.push(problem),
  },
)
const address = await listener.start()
afterAll(() => listener.stop())

const { signal } = new AbortController()
const access = (ticket: string, key = ticketKey(peerSecret, ticket)) => ({
  address,
  ticket,
  ticketKey: key.toString('hex'),
})
const good = access(`machine-2.machine-1.${nowMs + 60_000}`)

test('a link is measured with a good ticket', async () => {
  const { roundTripMs, bytesPerSecond } = await measureLink(good, signal)
  expect(roundTripMs).toBeGreaterThan(0)
  expect(bytesPerSecond).toBeGreaterThan(0)
})

test.each([
  [
    'wrong key',
    access(`machine-2.machine-1.${nowMs + 1}`, randomBytes(32)),
    /decryption failed|bad record mac|decrypt/i,
  ],
  ['expired', access(`machine-2.machine-1.${nowMs}`), /expired/],
  ['of another machine', access(`machine-1.machine-2.${nowMs + 60_000}`), /for another machine/],
  ['unreadable', access('machine-2.machine-1'), /unreadable/],
])('a ticket that is %s opens nothing', async (_, ticket, problem) => {
  refusals.length = 0
  await expect(PeerClient.open(ticket, signal)).rejects.toThrow(/connection to another machine/)
  await expect.poll(() => refusals.join()).toMatch(problem)
})

test('nobody is let in before this machine has joined', async () => {
  joined = false
  await expect(PeerClient.open(good, signal)).rejects.toThrow()
  joined = true
  ;(await PeerClient.open(good, signal)).close()
})

async function bytesOf(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes) chunks.push(chunk)
  return Buffer.concat(chunks)
}

test('parts of blobs come as they are, several at once and one after another', async () => {
  const source = new PeerBlobs('machine-1', good)
  const ranges = [
    { first: 5, end: 250_001 },
    { first: 0, end: 1 },
    { first: 299_999, end: 300_000 },
  ]
  const parts = await Promise.all(
    ranges.map(async (range) => bytesOf(await source.read(digest, range, signal))),
  )
  expect(parts.map((part) => part.length)).toEqual([249_996, 1, 1])
  expect(parts[0]!.equals(blob.subarray(5, 250_001))).toBe(true)
  expect(await bytesOf(await source.read(digest, { first: 1, end: 3 }, signal))).toEqual(blob.subarray(1, 3))
  source.close()
})

test('what is not held, or too much at once, is refused with the reason', async () => {
  const source = new PeerBlobs('machine-1', good)
  const read = async (asked: string, end: number) =>
    bytesOf(await source.read(asked, { first: 0, end }, signal))
  await expect(read(`sha256:${'00'.repeat(32)}`, 1)).rejects.toThrow(/Nothing is known/)
  await expect(read(digest, 2 ** 30)).rejects.toThrow(/cannot be had/)
  source.close()
})

test('an aborted read ends', async () => {
  const source = new PeerBlobs('machine-1', good)
  const abort = new AbortController()
  const bytes = await source.read(digest, { first: 0, end: 300_000 }, abort.signal)
  abort.abort()
  await expect(bytesOf(bytes)).rejects.toThrow()
  source.close()
})

test('findTicketProblem() looks at the target and the time', () => {
  expect(findTicketProblem('b.a.10', 'a', 9)).toBeNull()
  expect(findTicketProblem('b.a.10', 'a', 10)).toBe('expired')
  expect(findTicketProblem('a.b.10', 'a', 9)).toBe('for another machine')
  expect(findTicketProblem('a.10', 'a', 9)).toBe('unreadable')
  expect(findTicketProblem('.a.10', 'a', 9)).toBe('unreadable')
})
