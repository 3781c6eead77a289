import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, connect as dial, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { apiPrefix, connect } from '@deos/sdk'
import { afterEach, describe, expect, test } from 'vitest'
import { TestServer } from '../../apps/control-plane/src/database/testing/test-server.ts'
import { ControlPlaneProcess, installationEnv, newInstallation } from './control-plane-process.ts'
import { SimulatedMachine } from './simulated-machine.ts'

const installation = newInstallation()
const endLimitMs = 6_000
const missing = await TestServer.missing()
if (missing !== null) console.log(`A database that falls silent is not tested: ${missing}.`)

const cleanups: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function start(
  words: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
  stdin: 'ignore' | 'pipe' = 'ignore',
): ControlPlaneProcess {
  const plane = new ControlPlaneProcess(words, { ...installationEnv(installation), ...env }, stdin)
  cleanups.push(async () => {
    plane.signal('SIGKILL')
    await plane.ended
  })
  return plane
}

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'deos-shutdown-'))
  cleanups.push(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A machine that beats, a stream of each kind, and a call of which only half has been sent. */
async function keepBusy(url: string): Promise<void> {
  const client = connect({ url, token: installation.bootstrapKey })
  const { secret: joinToken } = await client.joinTokens.create({ body: { name: 'busy' } })
  const { version } = await client.session.version()
  const machine = new SimulatedMachine(url, {
    ...{ name: 'busy', joinToken, version, memoryBytes: 1e9, heartbeatMs: 100 },
    ...{ otherThan: () => url, onAssignments: () => {} },
  })
  await machine.join()
  const stop = new AbortController()
  const streams = [
    client.events.follow({ signal: stop.signal }),
    client.status.follow({ signal: stop.signal }),
    connect({ url, token: installation.gatewayToken }).gateway.followRouting({ signal: stop.signal }),
  ]
  const opened = streams.map(
    (stream) =>
      new Promise<void>((resolve) => {
        const read = async () => {
          for await (const _ of stream) resolve()
        }
        read().catch(() => {})
      }),
  )
  const { hostname, port } = new URL(url)
  const half = dial(Number(port), hostname)
  half.on('error', () => {})
  half.write(
    `POST ${apiPrefix}/session HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"email":`,
  )
  cleanups.push(
    () => machine.stop(),
    () => stop.abort(),
    () => half.destroy(),
  )
  // Of events there may be none to come.
  await Promise.all(opened.slice(1))
}

describe('a control plane that is asked to stop', () => {
  test('ends with 0 while streams are open and machines beat', async () => {
    const plane = start()
    const { url } = await plane.ready()
    await keepBusy(url)
    const askedAtMs = performance.now()
    plane.signal('SIGTERM')
    expect(await plane.ended).toEqual({ code: 0, signal: null })
    expect(performance.now() - askedAtMs).toBeLessThan(endLimitMs)
    expect(plane.stderr).toContain('Stopped.')
    expect(plane.stderr).not.toMatch(/"level":"(?:error|fatal)"/)
  })

  test('ends when its supervisor is gone', async () => {
    const plane = start([], {}, 'pipe')
    await plane.ready()
    plane.endInput()
    expect(await plane.ended).toEqual({ code: 0, signal: null })
    expect(plane.stderr).toContain('standard input ended')
  })

  test('ends with 0 while it starts', async () => {
    const folder = await newFolder()
    const plane = start(['--data', folder])
    await sleep(700)
    plane.signal('SIGTERM')
    const { code, signal } = await plane.ended
    // Before anything listens for signals, the system's own way of ending holds.
    expect([code === 0, signal === 'SIGTERM'], plane.stderr).toContain(true)
    const again = start(['--data', folder])
    await again.ready()
    expect(await again.stop()).toEqual({ code: 0, signal: null })
  })

  describe.skipIf(missing !== null)('when its database has fallen silent', () => {
    async function silenced(): Promise<ControlPlaneProcess> {
      const { url: databaseUrl, drop } = await (await TestServer.shared()).createDatabase()
      cleanups.push(drop)
      const proxy = await silencingProxy(Number(new URL(databaseUrl).port))
      cleanups.push(proxy.close)
      const plane = start([], { DATABASE_URL: databaseUrl.replace(/:\d+\//, `:${proxy.port}/`) })
      const { url } = await plane.ready()
      await keepBusy(url)
      proxy.silence()
      await sleep(500)
      plane.signal('SIGTERM')
      return plane
    }

    test('ends all the same', async () => {
      const plane = await silenced()
      expect(await plane.ended).toEqual({ code: 0, signal: null })
      expect(plane.stderr).toContain('Not everything could be stopped in time')
    })

    test('ends at once at the second signal', async () => {
      const plane = await silenced()
      await sleep(500)
      plane.signal('SIGTERM')
      expect(await plane.ended).toEqual({ code: 130, signal: null })
      expect(plane.stderr).toContain('Forced to stop.')
    })
  })
})

/** Passes everything on until nothing goes through any more, though connections stay. */
async function silencingProxy(target: number) {
  const sockets = new Set<Socket>()
  let silent = false
  const server = createServer((near) => {
    const far = dial(target, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
      from.on('data', (chunk) => {
        if (!silent) to.write(chunk)
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as { port: number }).port,
    silence: () => {
      silent = true
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(resolve))
    },
  }
}

describe('a control plane that cannot start', () => {
  test('leaves a folder to the process that has it', { timeout: 60_000 }, async () => {
    const folder = await newFolder()
    const first = start(['--data', folder])
    const { url } = await first.ready()
    const second = start(['--data', folder])
    expect((await second.ended).code).toBe(1)
    expect(second.stderr).toContain(folder)
    expect(second.stderr).toMatch(/process \d+/)
    expect((await fetch(`${url}/live`)).status).toBe(200)
    // A process that was killed leaves its lock behind.
    first.signal('SIGKILL')
    await first.ended
    await start(['--data', folder]).ready()
  })

  test('says that its port is in use', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    cleanups.push(() => server.close())
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    const plane = start(['--port', String(port)])
    expect((await plane.ended).code).toBe(1)
    expect(plane.stderr).toContain(`Port ${port} of 127.0.0.1 is already in use.`)
    expect(plane.stderr).toContain('--port')
  })

  test.each([
    [['--port', 'abc'], {}, '--port cannot be "abc"'],
    [['--nonsense'], {}, 'There is no option --nonsense'],
    [['--heartbeat', '5s'], {}, '--lease is 4000 ms'],
    [[], { DEOS_GATEWAY_TOKEN: 'guess' }, 'The value of DEOS_GATEWAY_TOKEN cannot be used'],
    [[], { DEOS_BOOTSTRAP_KEY: 'guess' }, 'The value of DEOS_BOOTSTRAP_KEY cannot be used'],
  ] as const)('refuses %j %j', async (words, env, message) => {
    const plane = start(words, env)
    expect((await plane.ended).code).toBe(2)
    expect(plane.stderr).toContain(message)
    expect(plane.stderr).not.toContain('guess')
    expect(plane.stdout).toBe('')
  })
})
