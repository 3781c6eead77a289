import { asc, eq } from 'drizzle-orm'
import { expect, test, vi } from 'vitest'
import { clusterSecrets, events, snapshots } from '../database/schema/index.ts'
import { describeDatabases, describeServer } from '../database/testing/databases.ts'
import { type Counted, system, tallyOf } from './testing/tally.ts'

const count = (by: string, number: number): Counted => ({ by, number })
const secret = (name: string) => ({ name, value: 'x', createdAt: new Date(0) })

describeDatabases('a state folded from events', (open, again) => {
  test('two that append at once lose and double nothing, and come to the same', async () => {
    const database = await open()
    const writers = [tallyOf(database), tallyOf(await again(database))]
    const each = 30
    await Promise.all(
      writers.map(async (writer, index) => {
        await writer.start()
        for (let number = 0; number < each; number += 1) {
          // The next number is decided upon from the state: with a stale one it would come twice.
          await writer.change(system, (tally) => [count(`writer-${index}`, tally.length)])
        }
      }),
    )
    const numbers = Array.from({ length: 2 * each }, (_, number) => number)
    for (const writer of writers) {
      await writer.refresh()
      expect(writer.version).toBe(2 * each)
      expect(writer.state.map(({ number }) => number)).toEqual(numbers)
      expect(writer.state).toEqual(writers[0]!.state)
    }
    const rows = await database.queries.select().from(events).orderBy(asc(events.sequence))
    expect(rows.map(({ version }) => version)).toEqual(numbers.map((number) => number + 1))
    expect(rows[7]).toMatchObject({
      type: 'machine.drained',
      organisationId: 'org-acme',
      machineId: expect.stringMatching(/^writer-/),
      cause: { kind: 'system' },
      at: new Date(1007),
    })
    for (const writer of writers) await writer.stop()
  })

  test('others hear of a change without asking', async () => {
    const database = await open()
    const [writer, reader] = [tallyOf(database), tallyOf(await again(database))]
    await reader.start()
    let told = 0
    const stop = reader.onChange(() => {
      told += 1
    })
    await writer.change(system, () => [count('a', 1), count('a', 2)])
    await vi.waitFor(() => expect(reader.state).toEqual([count('a', 1), count('a', 2)]))
    expect(told).toBe(1)
    stop()
    await reader.stop()
  })

  test('what runs beside the events is kept or dropped with them', async () => {
    const database = await open()
    const one = tallyOf(database)
    await one.change(
      system,
      () => [count('a', 0)],
      async (queries, events, state) => {
        expect(state).toEqual(events)
        await queries.insert(clusterSecrets).values(secret('kept'))
      },
    )
    expect(await database.queries.$count(clusterSecrets)).toBe(1)
    await expect(
      one.change(
        system,
        () => [count('a', 99)],
        async (queries) => {
          await queries.insert(clusterSecrets).values(secret('dropped'))
          throw new Error('no')
        },
      ),
    ).rejects.toThrow('no')
    await one.refresh()
    expect(one.state.some(({ number }) => number === 99)).toBe(false)
    expect(await database.queries.$count(clusterSecrets, eq(clusterSecrets.name, 'dropped'))).toBe(0)
  })

  test('without events nothing is appended, and a refusal is passed on', async () => {
    const database = await open()
    const tally = tallyOf(database)
    expect(await tally.change(system, () => [])).toEqual([])
    await tally.change(
      system,
      () => [],
      async (queries) => {
        await queries.insert(clusterSecrets).values(secret('beside'))
      },
    )
    await expect(
      tally.change(system, () => {
        throw new RangeError('refused')
      }),
    ).rejects.toThrow(RangeError)
    expect(await database.queries.$count(events)).toBe(0)
    expect(await database.queries.$count(clusterSecrets)).toBe(1)
    await expect(database.transaction(() => tally.change(system, () => []))).rejects.toThrow(
      'outside of transactions',
    )
  })

  test('a snapshot spares the events before it, and one that cannot be read spares nothing', async () => {
    const database = await open()
    const writer = tallyOf(database, { snapshotEvery: 10 })
    for (let number = 0; number < 24; number += 1) await writer.change(system, () => [count('a', number)])
    const [snapshot] = await database.queries.select().from(snapshots)
    expect(snapshot).toMatchObject({ stream: 'fleet', version: 20 })

    // A snapshot that differs from the events shows which of them are read.
    const marked = [...writer.state.slice(0, 19), count('from the snapshot', 19)]
    await database.queries.update(snapshots).set({ state: { format: 1, tally: marked } })
    const reader = tallyOf(database)
    await reader.start()
    expect(reader.state).toEqual([...marked, ...writer.state.slice(20)])
    expect(reader.version).toBe(24)

    await database.queries.update(snapshots).set({ state: { format: 2, tally: [] } })
    const newer = tallyOf(database, { snapshotEvery: 10 })
    await newer.start()
    expect(newer.state).toEqual(writer.state)
    expect(await database.queries.select().from(snapshots)).toMatchObject([
      { version: 24, state: { format: 1, tally: [...writer.state] } },
    ])
    for (const tally of [reader, newer]) await tally.stop()
  })
})

describeServer('a decision that is overtaken', (open, again) => {
  test('is made anew, and what ran beside the first is dropped', async () => {
    const database = await open()
    const [one, other] = [tallyOf(database), tallyOf(await again(database))]
    let overtake = () => {}
    const gate = new Promise<void>((resolve) => {
      overtake = resolve
    })
    const overtaken = gate.then(() => other.change(system, () => [count('other', 0)]))
    const tried: number[] = []
    const events = await one.change(
      system,
      (tally) => [count('one', tally.length)],
      async (queries, [event]) => {
        tried.push(event!.number)
        overtake()
        await overtaken
        // The database refuses it the second time, if the first was kept.
        await queries.insert(clusterSecrets).values(secret('beside'))
      },
    )
    expect(tried).toEqual([0, 1])
    expect(events).toEqual([count('one', 1)])
    expect(one.state).toEqual([count('other', 0), count('one', 1)])
    expect(await database.queries.$count(clusterSecrets)).toBe(1)
  })

  test('is made anew also when the database refuses what runs beside it', async () => {
    const database = await open()
    const [one, other] = [tallyOf(database), tallyOf(await again(database))]
    let overtake = () => {}
    const gate = new Promise<void>((resolve) => {
      overtake = resolve
    })
    const overtaken = gate.then(() =>
      other.change(
        system,
        () => [count('other', 0)],
        async (queries) => {
          await queries.insert(clusterSecrets).values(secret('taken'))
        },
      ),
    )
    const change = one.change(
      system,
      (tally) => {
        if (tally.length > 0) throw new RangeError('The name is taken.')
        return [count('one', 0)]
      },
      async (queries) => {
        overtake()
        await overtaken
        await queries.insert(clusterSecrets).values(secret('taken'))
      },
    )
    await expect(change).rejects.toThrow(RangeError)
    expect(one.state).toEqual([count('other', 0)])
  })
})
