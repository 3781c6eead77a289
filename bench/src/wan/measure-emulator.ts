import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { connectThrough, parseHttpProxy } from '@deos/transport'
import { builtInProfiles, lossCap, parseWanProfile, type WanProfile } from '@deos/wan'
import { type Figure, measuredFigure, median, quantile } from '../contract.ts'
import { EmulatorProcess } from './emulator-process.ts'

/** Whether the emulated network is what its profile says: round trips, bandwidth, and what loss leaves of it. */
export async function measureEmulator(entry: string, quick: boolean, progress: (line: string) => void) {
  const raw: Record<string, unknown> = {}
  const figures: Figure[] = []
  progress('round trips of the emulator')
  const trips = await withEmulator(entry, builtInProfiles.get('aws-4-regions')!, (emulator) =>
    measureTrips(emulator, ringPairs(4), quick ? 20 : 100),
  )
  raw.roundTrips = trips
  const errors = trips.map(({ medianMs, loopbackMs, setMs }) => Math.abs(medianMs - loopbackMs - setMs))
  figures.push(
    measuredFigure({ id: 'wan.emulator.rtt.error', unit: 'ms', better: 'lower', bar: 0.6, samples: errors }),
  )
  progress('bandwidth of the emulator')
  const rates = await withEmulator(entry, bandwidthProfile, (emulator) =>
    measureRates(emulator, [
      { from: 'slow', to: 'hub', set: 1.25e6, bytes: 1.25e6 },
      { from: 'middle', to: 'hub', set: 12.5e6, bytes: quick ? 6e6 : 12.5e6 },
      { from: 'fast', to: 'hub', set: 62.5e6, bytes: quick ? 30e6 : 60e6 },
    ]),
  )
  raw.bandwidth = rates
  figures.push(rateFigure('wan.emulator.bandwidth.error', 0.05, rates))
  progress('loss in the emulator')
  const lossy = await withEmulator(entry, lossProfile, (emulator) =>
    measureRates(emulator, [
      { from: 'a', to: 'b', set: lossCap(40, 0.001), bytes: quick ? 3e6 : 10e6 },
      { from: 'c', to: 'b', set: lossCap(40, 0.01), bytes: quick ? 1e6 : 4e6 },
    ]),
  )
  raw.loss = lossy
  figures.push(rateFigure('wan.emulator.loss.error', 0.15, lossy))
  return { figures, raw }
}

const about = { title: 'For the bench', source: 'Made up.', licence: 'CC0-1.0' }

const bandwidthProfile = parseWanProfile(
  {
    ...{ name: 'bandwidth', ...about },
    sites: [
      { name: 'slow', upMbps: 10 },
      { name: 'middle', upMbps: 100 },
      { name: 'fast', upMbps: 500 },
      { name: 'hub' },
    ],
    ...{ inside: { oneWayMs: 0 }, otherwise: { oneWayMs: 10 }, links: [] },
  },
  'The profile of the bench',
)

const lossProfile = parseWanProfile(
  {
    ...{ name: 'loss', ...about },
    sites: [{ name: 'a', accessLoss: 0.001 }, { name: 'c', accessLoss: 0.01 }, { name: 'b' }],
    ...{ inside: { oneWayMs: 0 }, otherwise: { oneWayMs: 20 }, links: [] },
  },
  'The profile of the bench',
)

const ringPairs = (sites: number): readonly (readonly [number, number])[] =>
  Array.from({ length: sites }, (_, index) => [index, (index + 1) % sites] as const)

async function withEmulator<T>(
  entry: string,
  profile: WanProfile,
  measure: (emulator: EmulatorProcess) => Promise<T>,
): Promise<T> {
  const emulator = await EmulatorProcess.start(entry, profile)
  try {
    return await measure(emulator)
  } finally {
    await emulator.stop()
  }
}

interface Dialled {
  readonly socket: Socket
  /** Where the server is, for those who need no proxy. */
  readonly target: { readonly host: string; readonly port: number }
}

/** A server at one site, and a connection to it from another. */
async function connected<T>(
  emulator: EmulatorProcess,
  [from, to]: readonly [string, string],
  onSocket: (socket: Socket) => void,
  use: (dialled: Dialled) => Promise<T>,
): Promise<T> {
  const site = (name: string) => emulator.sites.find((one) => one.name === name)!
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.setNoDelay(true)
    onSocket(socket)
  })
  server.listen(0, site(to).host)
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const target = { host: site(to).host, port }
  const socket = await connectThrough(parseHttpProxy(site(from).proxy), target, { timeoutMs: 10_000 })
  socket.on('error', () => undefined)
  try {
    return await use({ socket: socket.resume(), target })
  } finally {
    socket.destroy()
    server.close()
  }
}

async function measureTrips(
  emulator: EmulatorProcess,
  pairs: readonly (readonly [number, number])[],
  count: number,
) {
  const profile = builtInProfiles.get('aws-4-regions')!
  return Promise.all(
    pairs.map(([a, b]) => {
      const [from, to] = [emulator.sites[a]!.name, emulator.sites[b]!.name]
      const link = profile.links.find((one) =>
        [one.from, one.to].every((name) => name === from || name === to),
      )!
      return connected(
        emulator,
        [from, to],
        (socket) => socket.pipe(socket),
        async ({ socket, target }) => {
          const setMs = 2 * link.oneWayMs
          const direct = connect({ ...target, noDelay: true })
          const measured: number[] = []
          const without: number[] = []
          for (let trip = 0; trip < count + 5; trip++) {
            const overNetwork = await tripMs(socket)
            // What this computer takes for a round trip after so long a pause is not the emulator's.
            await setTimeout(setMs)
            const onLoopback = await tripMs(direct)
            if (trip < 5) continue
            measured.push(overNetwork)
            without.push(onLoopback)
          }
          direct.destroy()
          const [medianMs, p99Ms] = [median(measured), quantile(measured, 0.99)]
          return { from, to, setMs, medianMs, p99Ms, loopbackMs: median(without) }
        },
      )
    }),
  )
}

async function tripMs(socket: Socket): Promise<number> {
  const began = performance.now()
  socket.write('ping')
  await once(socket, 'data')
  return performance.now() - began
}

interface RateCase {
  readonly from: string
  readonly to: string
  /** What is expected, in bytes a second. */
  readonly set: number
  readonly bytes: number
}

async function measureRates(emulator: EmulatorProcess, cases: readonly RateCase[]) {
  const results: (RateCase & { readonly measured: number })[] = []
  for (const one of cases) {
    const measured = await connected(
      emulator,
      [one.from, one.to],
      (socket) => {
        let received = 0
        let firstMs = 0
        let firstBytes = 0
        socket.on('data', (chunk: Buffer) => {
          received += chunk.length
          if (firstMs === 0) {
            firstMs = performance.now()
            firstBytes = chunk.length
          }
          if (received < one.bytes) return
          socket.end(String(((received - firstBytes) * 1000) / (performance.now() - firstMs)))
        })
      },
      async ({ socket }) => {
        const answer = once(socket, 'data')
        socket.write(Buffer.alloc(one.bytes))
        return Number(String((await answer)[0]))
      },
    )
    results.push({ ...one, measured })
  }
  return results
}

function rateFigure(
  id: string,
  bar: number,
  rates: readonly (RateCase & { readonly measured: number })[],
): Figure {
  const samples = rates.map(({ measured, set }) => Math.abs(measured / set - 1))
  return measuredFigure({ id, unit: 'ratio', better: 'lower', bar, samples })
}
