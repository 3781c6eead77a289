import { problemFor } from '@deos/api'
import { type OrganisationId, organisationId } from '@deos/domain'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { describeDatabases } from '../database/testing/databases.ts'
import { digestOf } from '../http/secrets.ts'
import { machineProblems } from './machine-problems.ts'
import {
  acme,
  operator,
  request,
  stageReport,
  TestClock,
  TestMachine,
  TestPlane,
  umbrella,
} from './testing/test-plane.ts'

/** What a caller is told. */
const refusal = async (call: Promise<unknown>) => {
  const error = await call.then(
    () => new Error('It was not refused.'),
    (error: unknown) => error,
  )
  const { type, code } = problemFor(error, machineProblems, null)
  return `${type.replace('urn:deos:problem:', '')} ${code}`
}

describeDatabases('joining', (open) => {
  let clock: TestClock
  let plane: TestPlane
  let acme: OrganisationId
  let token: string
  let tests = 0

  beforeAll(async () => {
    clock = new TestClock()
    plane = await TestPlane.open(await open(), clock)
  })

  afterAll(() => plane.stop())

  beforeEach(async () => {
    tests += 1
    acme = organisationId(`acme-${tests}`)
    token = (await plane.createToken(acme)).secret
  })

  test('a key becomes a machine, and is the same one after a restart, whose credential alone counts', async () => {
    const machine = new TestMachine(token)
    const first = await machine.join(plane)
    expect(first).toMatchObject({ name: 'box', incarnation: 1, protocol: 3, missingReport: 'inventory' })
    const fenced = machine.joined!.credential
    machine.restart()
    machine.token = null
    const second = await machine.join(plane)
    expect(second).toMatchObject({ machineId: first.machineId, name: 'box', incarnation: 2 })
    expect(second.peerSecret).not.toBe(first.peerSecret)
    expect(await refusal(plane.service.credentialOf(digestOf(fenced)))).toBe(
      'stale-incarnation MACHINE_FENCED',
    )
    expect(await plane.service.credentialOf(digestOf(second.credential))).toMatchObject({ incarnation: 2 })
    expect(await plane.service.credentialOf(digestOf('deos_m_made_up'))).toBeNull()
    expect(await plane.listed(acme)).toEqual(['box joining'])
  })

  test('a join sent twice is one', async () => {
    const machine = new TestMachine(token)
    const body = await machine.joinBody(plane)
    const [first, second] = await Promise.all([machine.send(plane, body), machine.send(plane, body)])
    expect(second).toMatchObject({
      machineId: first.machineId,
      incarnation: 1,
      peerSecret: first.peerSecret,
    })
    machine.joined = await machine.send(plane, body)
    expect((await machine.beat(plane)).missingReport).toBe('inventory')
  })

  test('a challenge that was used is of no use to another process', async () => {
    const machine = new TestMachine(token)
    const body = await machine.joinBody(plane)
    await machine.send(plane, body)
    expect(await refusal(machine.send(plane, { ...body, process: 'process-other' }))).toBe(
      'conflict JOIN_STALE',
    )
    expect(await refusal(machine.send(plane, { ...body, after: 1, process: 'process-other' }))).toBe(
      'unauthenticated CHALLENGE_UNKNOWN',
    )
  })

  test('a challenge expires', async () => {
    const machine = new TestMachine(token)
    const body = await machine.joinBody(plane)
    clock.nowMs += 60_000
    expect(await refusal(machine.send(plane, body))).toBe('unauthenticated CHALLENGE_EXPIRED')
  })

  test('nobody joins with a key that is not theirs', async () => {
    const machine = new TestMachine(token)
    const body = await machine.joinBody(plane)
    const signature = new TestMachine(token).sign(body.challenge)
    expect(await refusal(machine.send(plane, { ...body, signature }))).toBe('unauthenticated SIGNATURE_WRONG')
    const other = await new TestMachine(token).joinBody(plane)
    expect(await refusal(machine.send(plane, { ...body, challenge: other.challenge }))).toBe(
      'unauthenticated CHALLENGE_UNKNOWN',
    )
  })

  test('nobody sends others to a machine with another key', async () => {
    const machine = new TestMachine(token)
    const foreign = `10.0.0.7:7400;key=${new TestMachine(token).publicKey}`
    expect(await refusal(machine.join(plane, { linkAddress: foreign }))).toBe('forbidden ADDRESS_FOREIGN')
    await machine.join(plane, { linkAddress: `10.0.0.7:7400;key=${machine.publicKey}` })
    const stages = [stageReport('stage-1', { linkAddress: foreign })]
    expect(await refusal(machine.beat(plane, { stages }))).toBe('forbidden ADDRESS_FOREIGN')
  })

  test('tokens are needed, for one organisation, as often and as long as they are good', async () => {
    const joinWith = (secret: string | null) => refusal(new TestMachine(secret).join(plane))
    expect(await joinWith(null)).toBe('unauthenticated TOKEN_MISSING')
    expect(await joinWith(`deos_j_${'x'.repeat(43)}`)).toBe('unauthenticated TOKEN_UNKNOWN')
    const once = await plane.createToken(acme, { maxMachines: 1, validHours: 1 })
    const machine = new TestMachine(once.secret)
    await machine.join(plane)
    expect(await joinWith(once.secret)).toBe('gone TOKEN_USED_UP')
    machine.restart()
    expect((await machine.join(plane)).incarnation).toBe(2)
    clock.nowMs += 25 * 60 * 60_000
    expect(await joinWith(token)).toBe('gone TOKEN_EXPIRED')
    const fresh = await plane.createToken(acme)
    const params = { joinToken: fresh.joinToken.id as never }
    expect(
      await refusal(
        plane.handlers.joinTokens.revoke(request({ params }), operator(umbrella)) as Promise<undefined>,
      ),
    ).toBe('not-found NOT_FOUND')
    await plane.handlers.joinTokens.revoke(request({ params }), operator(acme))
    expect(await joinWith(fresh.secret)).toBe('gone TOKEN_REVOKED')
    const foreign = await plane.createToken(umbrella)
    machine.restart()
    machine.token = foreign.secret
    expect(await refusal(machine.join(plane))).toBe('forbidden MACHINE_ORGANISATION')
  })

  test('a machine of another version is turned away; one that is known waits in quarantine', async () => {
    const old = { version: '1.2.0', protocols: { min: 2, max: 2 } }
    expect(await refusal(new TestMachine(token).join(plane, old))).toBe('version-unsupported MACHINE_VERSION')
    expect(await plane.listed(acme)).toEqual([])
    const machine = new TestMachine(token)
    await machine.join(plane)
    machine.restart()
    expect(await refusal(machine.join(plane, old))).toBe('version-unsupported MACHINE_VERSION')
    expect(await plane.listed(acme)).toEqual(['box quarantined'])
    machine.restart()
    await machine.join(plane)
    expect(await plane.listed(acme)).toEqual(['box joining'])
  })

  test('names are unique in an organisation, and stay', async () => {
    const machines = [new TestMachine(token), new TestMachine(token), new TestMachine(token, null)]
    const joined = await Promise.all(machines.map((machine) => machine.join(plane)))
    expect(joined.map(({ name }) => name).sort()).toEqual(['box', 'box-2', 'machine'])
    const second = machines.find(({ joined }) => joined!.name === 'box-2')!
    second.restart()
    expect((await second.join(plane)).name).toBe('box-2')
    const foreign = new TestMachine((await plane.createToken(umbrella)).secret)
    expect((await foreign.join(plane)).name).toBe('box')
  })

  test('a place is what the machine says, else what its token says, else unknown', async () => {
    const said = { region: 'eu', provider: 'home' }
    const ofToken = { region: 'us', provider: 'cloud' }
    const placed = (await plane.createToken(acme, {}, ofToken)).secret
    const locationAfter = async (machine: TestMachine, location: typeof said | null) => {
      await machine.join(plane, { location })
      return (await plane.show(machine.id, acme)).location
    }
    const machine = new TestMachine(placed)
    expect(await locationAfter(machine, null)).toEqual(ofToken)
    machine.restart()
    expect(await locationAfter(machine, said)).toEqual(said)
    machine.restart()
    machine.token = null
    expect(await locationAfter(machine, null)).toEqual(said)
    expect(await locationAfter(new TestMachine(token), null)).toEqual({
      region: 'unknown',
      provider: 'unknown',
    })
  })
})

describeDatabases('join tokens', (open) => {
  test('show their secret once, and are listed newest first while they are good', async () => {
    const clock = new TestClock()
    const plane = await TestPlane.open(await open(), clock)
    const created = []
    for (let count = 0; count < 3; count += 1) {
      created.push(await plane.createToken(acme, { validHours: 1 + count, maxMachines: 1 + count }))
      clock.nowMs += 1_000
    }
    const { secret, command, joinToken } = created[0]!
    expect(command).toBe(`npx deos join https://deos.example --token ${secret}`)
    expect(secret.startsWith(joinToken.prefix)).toBe(true)
    await new TestMachine(secret).join(plane)
    const list = (query: { all: boolean; limit: number; cursor?: string }) =>
      plane.handlers.joinTokens.list(request({ query }), operator(acme))
    const usable = await list({ all: false, limit: 50 })
    expect(usable.items.map(({ id }) => id)).toEqual([created[2]!.joinToken.id, created[1]!.joinToken.id])
    const first = await list({ all: true, limit: 2 })
    const rest = await list({ all: true, limit: 2, cursor: first.nextCursor! })
    expect(rest).toMatchObject({
      items: [{ id: joinToken.id, joinedMachines: 1, status: 'used up', prefix: joinToken.prefix }],
      nextCursor: null,
    })
    expect(JSON.stringify([first, rest])).not.toContain(secret)
    expect(
      (await plane.handlers.joinTokens.list(request({ query: { all: true, limit: 9 } }), operator(umbrella)))
        .items,
    ).toEqual([])
    await plane.stop()
  })
})
