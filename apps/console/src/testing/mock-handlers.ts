import { setTimeout as sleep } from 'node:timers/promises'
import { ProblemError, type Role, type Routes } from '@deos/api'
import type { MockHandlers } from '@deos/api/testing'
import { mockData } from './mock-data.ts'
import { clockAt, machineId, usd } from './mock-fleet.ts'
import {
  deploymentQuantities,
  entriesAt,
  eventsAt,
  logLine,
  machineQuantities,
  requestsAt,
  seriesOf,
  statusQuantities,
  usageOf,
  wave,
} from './mock-history.ts'

/** `full` is an installation at work, `empty` a new one, `failing` one whose database is away. */
export type Scenario = 'full' | 'empty' | 'failing' | 'signed-out' | 'set-up'

export interface MockWorld {
  readonly scenario: Scenario
  readonly role: Role
  readonly nowMs: number
  readonly gatewayUrl: string
  readonly consoleUrl: string
  /** Ends streams that would go on for ever. */
  readonly signal: AbortSignal
}

const page = <T>(items: readonly T[]) => ({ items, nextCursor: null })
const tickMs = 500

function found<T>(items: readonly T[], fits: (item: T) => boolean): T {
  const item = items.find(fits)
  if (item === undefined)
    throw new ProblemError('not-found', 'There is no such thing here.', { hint: 'It may have been removed.' })
  return item
}

const away = (): never => {
  throw new ProblemError('unavailable', 'The database has not answered for 12 s.', {
    hint: 'Look at the control plane’s log; it tries again by itself.',
  })
}

/** Answers of a whole installation, the same each time but for the clock. */
export function mockHandlers(world: MockWorld): MockHandlers<Routes> {
  const { scenario, nowMs, role, signal } = world
  const clock = clockAt(nowMs)
  const data = mockData(clock)
  const full = scenario === 'full'
  const some = <T>(items: readonly T[]): readonly T[] => (scenario === 'failing' ? away() : full ? items : [])
  const signedIn = {
    user: data.user,
    memberships: [
      { organisation: { ...data.organisation, createdAt: data.user.createdAt }, role },
      {
        organisation: { ...data.otherOrganisation, createdAt: data.user.createdAt },
        role: 'developer' as const,
      },
    ],
    expiresAt: clock.ahead(60 * 12),
    setupNeeded: false,
  }
  const signedOut = { user: null, memberships: [], expiresAt: null, setupNeeded: scenario === 'set-up' }
  let session: typeof signedIn | typeof signedOut =
    scenario === 'signed-out' || scenario === 'set-up' ? signedOut : signedIn
  const signIn = () => {
    session = signedIn
    return session
  }
  const requests = requestsAt(clock)
  const events = eventsAt(clock)

  const status = (step: number) => ({
    at: new Date(nowMs + step * tickMs).toISOString(),
    version: '0.1.0',
    health: full
      ? {
          state: 'degraded' as const,
          reasons: ['1 of 2 replicas of chat are ready.', 'nightly-batch finds no place.'],
        }
      : { state: 'down' as const, reasons: ['Nothing is deployed.'] },
    lastTokenAt: full ? clock.ago(0) : null,
    tokensPerSecond: full ? wave(step, 310, 60) : 0,
    requestsPerSecond: full ? wave(step, 2.1, 0.4) : 0,
    activeRequests: full ? Math.round(wave(step, 9, 3)) : 0,
    queuedRequests: full ? step % 3 : 0,
    ttftMs: full ? { p50: 212, p95: 384, p99: 618, samples: 412 } : null,
    tpotMs: full ? { p50: 31.4, p95: 42.8, p99: 66.1, samples: 412 } : null,
    machines: full
      ? { joining: 0, benchmarking: 1, ready: 5, draining: 1, offline: 1, quarantined: 1 }
      : { joining: 0, benchmarking: 0, ready: 0, draining: 0, offline: 0, quarantined: 0 },
    deployments: full
      ? { ready: 1, progressing: 1, lacking: 1, failing: 0, paused: 1, removing: 0 }
      : { ready: 0, progressing: 0, lacking: 0, failing: 0, paused: 0, removing: 0 },
    spend: full
      ? { today: usd(14.82), month: usd(191.52), perHour: usd(4.91) }
      : { today: usd(0), month: usd(0), perHour: usd(0) },
  })

  async function* ticking<T>(make: (step: number) => T) {
    for (let step = 0; !signal.aborted; step += 1) {
      yield { id: null, data: make(step) }
      await sleep(tickMs, undefined, { signal }).catch(() => undefined)
    }
  }
  async function* silence() {
    await sleep(3_600_000, undefined, { signal }).catch(() => undefined)
  }

  const live = (step: number) => ({
    at: new Date(nowMs + step * tickMs).toISOString(),
    replicas: [
      {
        id: 'replica-chat-1',
        state: 'ready' as const,
        tokensPerSecond: wave(step, 240, 30),
        activeSessions: 6,
        queuedSessions: step % 2,
        kvUsedTokens: Math.round(wave(step, 51_000, 6000)),
        kvCapacityTokens: 131_072,
        stages: [0.8, 1.4, 122, 118].map((linkRoundTripMs, position) => ({
          id: `stage-chat-1-${position}`,
          busyFraction: Math.min(1, wave(step + position * 3, 0.5, 0.2)),
          linkRoundTripMs,
          linkPath: (['direct', 'direct', 'punched', 'relayed'] as const)[position]!,
        })),
      },
      {
        id: 'replica-chat-2',
        state: 'loading' as const,
        tokensPerSecond: 0,
        activeSessions: 0,
        queuedSessions: 0,
        kvUsedTokens: 0,
        kvCapacityTokens: 0,
        stages: [],
      },
    ],
  })

  return {
    session: {
      version: () => ({
        version: '0.1.0',
        workerProtocols: { min: 1, max: 2 },
        gatewayUrl: world.gatewayUrl,
      }),
      show: () => session,
      signIn: ({ body }) => {
        if (body.password !== 'correct horse') {
          throw new ProblemError('unauthenticated', 'E-mail and password do not belong together.', {
            hint: 'Check both.',
          })
        }
        return signIn()
      },
      signOut: () => {
        session = { ...signedOut, setupNeeded: false }
        return undefined
      },
      setUp: signIn,
      acceptInvitation: signIn,
      inferenceToken: () => ({ token: `deos_t_${'x'.repeat(40)}`, expiresAt: clock.ahead(15) }),
    },
    status: {
      show: () => (scenario === 'failing' ? away() : status(0)),
      follow: () => (scenario === 'failing' ? away() : ticking(status)),
      series: ({ query }) =>
        scenario === 'failing' ? away() : seriesOf(nowMs, query.window, full ? statusQuantities : {}),
    },
    machines: {
      list: () => page(some(data.machines)) as never,
      show: ({ params }) => found(some(data.machines), ({ id }) => id === params.machine) as never,
      links: ({ params }) => ({
        links: data.machines
          .filter(({ id }) => id !== params.machine)
          .slice(0, 5)
          .map(({ id }, index) => ({
            from: params.machine,
            to: id,
            roundTripMs: [0.8, 1.4, 24, 122, 148][index]!,
            bytesPerSecond: [1.1e9, 9.4e8, 2.3e8, 4.1e7, 3.8e7][index]!,
            measuredAt: clock.ago(40),
          })),
      }),
      series: ({ query }) => seriesOf(nowMs, query.window, machineQuantities),
      cordon: ({ params }) => found(data.machines, ({ id }) => id === params.machine) as never,
      drain: () => {
        throw new ProblemError(
          'conflict',
          'The machine holds the last stage of chat that fits nowhere else.',
          {
            hint: 'Add a machine first.',
            code: 'DRAIN_IMPOSSIBLE',
          },
        )
      },
    },
    joinTokens: {
      list: () => page(some(data.joinTokens)),
      create: ({ body }) => ({
        joinToken: { ...data.joinTokens[0]!, name: body.name, expiresAt: clock.ahead(60 * 24) },
        secret: `deos_j_${'q7Xr'.repeat(9)}`,
        command: `npx deos join ${world.consoleUrl} --token deos_j_${'q7Xr'.repeat(9)}`,
      }),
    },
    models: {
      list: () => page(some(data.models)),
      show: ({ params }) => found(some(data.models), ({ id }) => id === params.model),
      watch: ({ params }) =>
        ticking((step) => {
          const model = found(data.models, ({ id }) => id === params.model)
          if (model.progress === null) return model
          const doneBytes = Math.min(
            model.progress.totalBytes - 1,
            model.progress.doneBytes + step * 60_000_000,
          )
          return { ...model, progress: { ...model.progress, doneBytes } }
        }),
    },
    deployments: {
      list: () => page(some(data.deployments)),
      show: ({ params }) => {
        const deployment = found(some(data.deployments), ({ id }) => id === params.deployment)
        return {
          deployment,
          replicas: data.replicas.filter(({ deploymentId }) => deploymentId === deployment.id),
        }
      },
      preview: ({ body }) =>
        body.spec.policy.regions?.includes('us-west') === true
          ? {
              placement: null,
              prefillPlacement: null,
              fittingReplicas: 0,
              kvTokens: 0,
              predictedTokensPerSecond: null,
              pricePerHour: null,
              reasons: ['21.4 GiB are needed in us-west, 9.2 GiB are free there.'],
            }
          : {
              placement: {
                tokenMs: 38,
                stages: data.replicas[1]!.stages.map(
                  ({ machineId: id, machineName, device, location, layers, weightBytes, kvBytes }) => ({
                    machineId: id,
                    machineName,
                    device,
                    location,
                    layers,
                    weightBytes,
                    kvBytes,
                    decodeMs: layers.end - layers.first,
                  }),
                ),
              },
              prefillPlacement: null,
              fittingReplicas: 1,
              kvTokens: body.spec.sessions * (body.spec.contextTokens ?? 32_768),
              predictedTokensPerSecond: 26.3 * body.spec.sessions,
              pricePerHour: usd(2.81),
              reasons: [
                'Two stages are the fewest that fit.',
                'ore-h100 reads weights fastest of all that are ready.',
              ],
            },
      create: () => data.deployments[0]!,
      scale: () => data.deployments[0]!,
      revisions: () => page(data.revisions),
      live: () => ticking(live),
      series: ({ query }) => seriesOf(nowMs, query.window, deploymentQuantities),
      logs: () => page(Array.from({ length: 40 }, (_, index) => logLine(40 - index, clock.ago(index * 0.2)))),
      followLogs: () => ticking((step) => logLine(41 + step, new Date(nowMs + step * tickMs).toISOString())),
    },
    aliases: { list: () => page(some(data.aliases)) },
    decisions: { list: () => page(some(data.decisions)) },
    events: {
      list: ({ query }) => {
        const fitting = some(events).filter(({ type, data: about }) => {
          const facts = about as { readonly machineId?: string; readonly deploymentId?: string }
          return (
            (query.type === undefined || query.type.includes(type)) &&
            (query.machine === undefined || facts.machineId === query.machine) &&
            (query.deployment === undefined || facts.deploymentId === query.deployment)
          )
        })
        return page([...fitting].reverse())
      },
      follow: silence,
    },
    requests: {
      list: () => page(some(requests)),
      show: ({ params }) => ({
        ...(requests.find(({ id }) => id === params.request) ?? requests[2]!),
        id: params.request,
      }),
    },
    usage: {
      show: ({ query }) => {
        if (scenario === 'failing') return away()
        const days =
          query.from === undefined ? 30 : Math.round((nowMs - Date.parse(query.from)) / 86_400_000) + 1
        const usage = usageOf(nowMs, query.by, days)
        return full ? usage : { ...usage, rows: [], total: usageOf(nowMs, ['day'], 0).total }
      },
    },
    ledger: {
      balance: () =>
        scenario === 'failing'
          ? away()
          : {
              at: clock.ago(0),
              balance: usd(558.48),
              reserved: usd(0.0312),
              available: usd(558.4488),
              earned: usd(12.07),
            },
      entries: () => page(some(entriesAt(clock))),
    },
    projects: { list: () => page(some(data.projects)) },
    keys: {
      list: () => page(some(data.keys)),
      create: ({ body }) => ({
        key: {
          ...data.keys[0]!,
          id: 'key-new',
          name: body.name,
          scopes: [...body.scopes],
          spent: usd(0),
          lastUsedAt: null,
        },
        secret: `deos_k_${'Zq3f'.repeat(10)}`,
      }),
    },
    members: {
      list: () => page(scenario === 'failing' ? away() : full ? data.members : data.members.slice(0, 1)),
    },
    invitations: {
      list: () => page(some(data.invitations)),
      create: ({ body }) => ({
        invitation: { ...data.invitations[0]!, email: body.email, role: body.role },
        link: `${world.consoleUrl}/invitation#token=${'i7Kd'.repeat(10)}`,
      }),
    },
    settings: {
      show: () => (scenario === 'failing' ? away() : data.settings),
      update: ({ body }) => ({ ...data.settings, ...(body as object), updatedAt: clock.ahead(0.1) }),
    },
  }
}

export { machineId }
