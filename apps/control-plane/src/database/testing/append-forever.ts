/** Opens a database in a folder and appends until it is killed, saying each version once it is committed. */
import { organisationId } from '@deos/domain'
import { createLogger } from '@deos/service'
import { max } from 'drizzle-orm'
import { EventStore } from '../../events/event-store.ts'
import { openDatabase } from '../open-database.ts'
import { events } from '../schema/index.ts'

const logger = createLogger({ name: 'append-forever', level: 'warn', format: 'json' })
const database = await openDatabase({ url: null, folder: process.argv[2]! }, logger)
const store = new EventStore(database)
const [row] = await database.queries.select({ version: max(events.version) }).from(events)
process.stdout.write(`open ${row?.version ?? 0}\n`)
for (let version = row?.version ?? 0; ; version += 1) {
  await database.transaction((queries) =>
    store.append(queries, 'fleet', version, [
      {
        type: 'machine.drained',
        organisation: organisationId('org'),
        data: { version: version + 1, padding: 'x'.repeat((version % 50) * 100) },
        cause: { kind: 'system' },
        machine: null,
        deployment: null,
        atMs: 0,
      },
    ]),
  )
  process.stdout.write(`committed ${version + 1}\n`)
}
