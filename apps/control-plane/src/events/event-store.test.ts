import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { describeDatabases } from '../database/testing/databases.ts'
import { EventConflictError, EventStore, type NewEvent } from './event-store.ts'
import { acme, system } from './testing/tally.ts'

const told = (name: string): NewEvent => ({
  type: 'settings.changed',
  organisation: acme,
  data: { fields: [name] },
  cause: system,
  machine: null,
  deployment: null,
  atMs: 5,
})

describeDatabases('the log of events', (open, again) => {
  test('whoever reads by number misses nothing that others append meanwhile', async () => {
    const database = await open()
    const writing = [database, await again(database)]
    const writers = 6
    const each = 15
    let running = writers
    const write = async (index: number) => {
      const writer = writing[index % 2]!
      const store = new EventStore(writer)
      for (let number = 0; number < each; number += 1) {
        await writer.transaction(async (queries) => {
          await store.tell(queries, [told(`${index}.${number}`), told(`${index}.${number}.again`)])
          // A number is taken now and visible later.
          await sleep((index + number) % 4)
        })
      }
      running -= 1
    }
    const reader = new EventStore(database)
    const seen: number[] = []
    const read = async () => {
      const rows = await reader.readAfter(acme, seen.at(-1) ?? 0, 7)
      seen.push(...rows.map(({ sequence }) => sequence))
      return rows.length
    }
    const reading = async () => {
      while (running > 0) {
        await read()
        await sleep(1)
      }
      while ((await read()) > 0);
    }
    await Promise.all([reading(), ...Array.from({ length: writers }, (_, index) => write(index))])
    const all = await reader.readAfter(null, 0, 1000)
    expect(all).toHaveLength(2 * writers * each)
    expect(seen).toEqual(all.map(({ sequence }) => sequence))
    expect(await reader.lastSequence(acme)).toBe(seen.at(-1))
  })

  test('appends at exactly the version before, in a transaction', async () => {
    const database = await open()
    const store = new EventStore(database)
    const append = (version: number, ...names: string[]) =>
      database.transaction((queries) => store.append(queries, 'deployments', version, names.map(told)))
    await append(0, 'a', 'b')
    await append(2, 'c')
    const conflict = await append(2, 'd').catch((error: unknown) => error)
    expect(conflict).toBeInstanceOf(EventConflictError)
    expect(conflict).toMatchObject({
      code: 'EVENT_CONFLICT',
      retriable: true,
      actualVersion: 3,
      expectedVersion: 2,
    })
    await expect(append(4, 'e')).rejects.toThrow(EventConflictError)
    const rows = await store.readStream('deployments', 1, 10)
    expect(rows.map(({ version, data }) => [version, data])).toEqual([
      [2, { fields: ['b'] }],
      [3, { fields: ['c'] }],
    ])
    await expect(store.append(database.queries, 'fleet', 0, [told('x')])).rejects.toThrow('in a transaction')
    await expect(store.tell(database.queries, [told('x')])).rejects.toThrow('in a transaction')
  })
})
