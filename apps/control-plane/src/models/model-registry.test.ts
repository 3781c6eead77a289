import { createHash } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ModelSource, ProblemError } from '@deos/api'
import { type DeploymentId, deploymentId, type ModelId, organisationId } from '@deos/domain'
import { writeTinyModel } from '@deos/engine/testing'
import { convertModel, footprintOf, openModel } from '@deos/engine/weights'
import { systemIds } from '@deos/service'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Claims } from '../cluster/claims.ts'
import type { Database } from '../database/database.ts'
import { blobs, events, organisations } from '../database/schema/index.ts'
import { describeDatabases, describeEmbedded, testLogger } from '../database/testing/databases.ts'
import { EventStore } from '../events/event-store.ts'
import type { Caller } from '../http/caller.ts'
import { BlobReader } from './blob-reader.ts'
import { digestOfFiles } from './model-facts.ts'
import { modelHandlers, workerBlobHandlers } from './model-handlers.ts'
import { ModelRegistry, type ModelRegistryOptions } from './model-registry.ts'
import type { RegisteredModel } from './registered-model.ts'
import { FakeHub, type Trouble } from './testing/fake-hub.ts'

const organisation = organisationId('org-a')
const other = organisationId('org-b')
const cause = { kind: 'system' } as const

let root: string
let opened: string
let gguf: string
let hub: FakeHub
let counter = 0

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'deos-models-'))
  opened = join(root, 'open')
  await mkdir(opened)
  const folder = join(opened, 'tiny')
  await writeTinyModel({ directory: folder, family: 'llama', shards: 2 })
  await writeFile(join(folder, 'evil.bin'), 'pickle')
  gguf = join(opened, 'tiny-llama.gguf')
  await convertModel({ source: await openModel(folder), type: 'Q8_0', output: gguf })
  const filesOf = async (path: string) => {
    const files = new Map<string, Buffer>()
    for (const name of await readdir(path)) files.set(name, await readFile(join(path, name)))
    return files
  }
  hub = await FakeHub.start({
    'example/tiny': await filesOf(folder),
    'example/quants': new Map([
      ['Q8/tiny.gguf', await readFile(gguf)],
      ['README.md', Buffer.from('#')],
    ]),
    'example/pickles': new Map([['pytorch_model.bin', Buffer.from('x')]]),
  })
})
afterAll(async () => {
  await hub.close()
  await rm(root, { recursive: true, force: true })
})

const fromHub = (rest: Partial<Extract<ModelSource, { kind: 'huggingface' }>> = {}): ModelSource => ({
  ...{ kind: 'huggingface', repository: 'example/tiny', revision: 'main', file: null, hubUrl: hub.url },
  ...rest,
})
const quants = () => fromHub({ repository: 'example/quants', file: 'Q8/tiny.gguf' })

interface Bench {
  readonly database: Database
  readonly registry: ModelRegistry
  readonly dataFolder: string
  readonly users: Map<ModelId, DeploymentId[]>
}

const benches: ModelRegistry[] = []
afterAll(async () => {
  for (const registry of benches) await registry.stop()
})

async function bench(database: Database, options: Partial<ModelRegistryOptions> = {}): Promise<Bench> {
  const users = new Map<ModelId, DeploymentId[]>()
  const dataFolder = options.dataFolder ?? join(root, `data-${counter++}`)
  const registry = new ModelRegistry(
    { dataFolder, modelFolders: [opened], allowedHosts: [hub.host], hubUrl: hub.url, ...options },
    {
      ...{
        database,
        claims: new Claims({ database, holder: `plane-${counter++}`, now: () => new Date() }),
        events: new EventStore(database),
      },
      ...{ ids: systemIds, now: () => new Date(), logger: testLogger },
      deploymentsOf: (model) => users.get(model) ?? [],
      sleep: async () => {},
    },
  )
  benches.push(registry)
  await registry.start()
  return { database, registry, dataFolder, users }
}

/** Of an organisation that has nothing yet. */
const createNew = ({ registry }: Bench, source: ModelSource) =>
  registry.create(
    organisationId(`org-${counter++}`),
    { source, name: `model-${counter++}`, wantedDigest: null },
    cause,
  )

const create = ({ registry }: Bench, source: ModelSource, wantedDigest: string | null = null) =>
  registry.create(organisation, { source, name: `model-${counter++}`, wantedDigest }, cause)

/** What the model is when nothing more happens to it. */
const settled = (given: Bench, id: ModelId) =>
  until(given, id, ({ state }) => state === 'ready' || state === 'failed')

async function until({ registry }: Bench, id: ModelId, holds: (model: RegisteredModel) => boolean) {
  for (;;) {
    const model = registry.modelOf(id)
    if (model !== null && holds(model)) return model
    await new Promise<void>((resolve) => {
      const stop = registry.onChange(() => {
        stop()
        resolve()
      })
    })
  }
}

async function withTroubles(...troubles: Trouble[]): Promise<void> {
  hub.troubles.splice(0, Number.POSITIVE_INFINITY, ...troubles)
  hub.asked.length = 0
}

const caller = (of = organisation): Caller =>
  ({ organisation: of, cause, headers: {}, signal: new AbortController().signal }) as unknown as Caller

const ready = { state: 'ready', reason: 'All of it is here.' }

const sha = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts)
}

describeDatabases('models', (open, again) => {
  let database: Database
  beforeAll(async () => {
    database = await open()
  })

  test('a local file becomes ready, with what placement needs', async () => {
    const given = await bench(database)
    const model = await settled(given, (await createNew(given, { kind: 'path', path: gguf })).id)
    const bytes = await readFile(gguf)
    const source = await openModel(gguf)
    expect(model).toMatchObject({
      state: 'ready',
      digest: sha(bytes),
      sizeBytes: bytes.length,
      fingerprint: source.fingerprint,
      files: [{ name: basename(gguf), digest: sha(bytes), sizeBytes: bytes.length }],
      shape: { architecture: 'llama', layers: 4, vocabulary: 320, contextTokens: 512, weightTypes: ['Q8_0'] },
    })
    for (const precision of ['native', 'F16', 'Q8_0', 'Q4_K'] as const) {
      expect(given.registry.footprint(model.id, precision)).toEqual(footprintOf(source, precision))
    }
    expect(given.registry.footprint(model.id, 'constructor')).toBeNull()
    const told = await database.queries.select().from(events)
    const types = told
      .filter(({ data }) => (data as { modelId?: string }).modelId === model.id)
      .map(({ type }) => type)
    expect(types).toEqual(['model.registered', 'model.state-changed'])
    await given.registry.stop()
  })

  test('what was learnt of a model comes along if it is of that model, and changes nothing else', async () => {
    const models = fileURLToPath(new URL('../../../../models', import.meta.url))
    const given = await bench(database, { modelFolders: [models, opened] })
    const learnt = await settled(
      given,
      (await createNew(given, { kind: 'path', path: join(models, 'deos-7m') })).id,
    )
    expect(learnt.reason).toMatch(/^All of it is here\. KV is handed over by calibration [0-9a-f]{16}\.$/)
    expect(learnt.files.map(({ name }) => name)).toContain('deos-7m.kv')
    expect(learnt.digest).toBe(digestOfFiles(learnt.files.filter(({ name }) => !name.endsWith('.kv'))))
    const foreign = join(opened, 'foreign.gguf')
    await copyFile(gguf, foreign)
    await copyFile(join(models, 'deos-7m.kv'), join(opened, 'foreign.kv'))
    const odd = await settled(given, (await createNew(given, { kind: 'path', path: foreign })).id)
    expect(odd).toMatchObject({ state: 'ready', files: [{ name: 'foreign.gguf' }] })
    expect(odd.reason).toMatch(/KV is handed over without foreign\.kv: The calibration is of /)
    await given.registry.stop()
  })

  test('a repository is fetched, however often the connection breaks', async () => {
    const given = await bench(database)
    await withTroubles(
      { kind: 'break off', afterBytes: 100 },
      { kind: 'status', status: 503 },
      { kind: 'break off', afterBytes: 200 },
    )
    const model = await settled(given, (await createNew(given, quants())).id)
    expect(model).toMatchObject({ state: 'ready', digest: sha(await readFile(gguf)) })
    expect(model.files.map(({ name }) => name)).toEqual(['tiny.gguf'])
    expect(hub.downloads.map(({ range }) => range)).toEqual([null, 'bytes=100-', 'bytes=100-', 'bytes=300-'])
    await given.registry.stop()
    expect(await readdir(join(given.dataFolder, 'downloads'))).toEqual([])
  })

  test('another control plane goes on where one ended', async () => {
    const dataFolder = join(root, `data-${counter++}`)
    const one = await bench(database, { dataFolder })
    await withTroubles(
      { kind: 'break off', afterBytes: 1000 },
      ...Array<Trouble>(50).fill({ kind: 'status', status: 503 }),
    )
    const failed = await settled(one, (await createNew(one, quants())).id)
    expect(failed.state).toBe('failed')
    expect(failed.reason).toMatch(/status 503/)
    await one.registry.stop()
    await withTroubles()
    const two = await bench(await again(database), { dataFolder })
    await two.registry.retry(failed, cause)
    expect((await settled(two, failed.id)).state).toBe('ready')
    expect(hub.downloads.map(({ range }) => range)).toEqual(['bytes=1000-'])
    await two.registry.stop()
  })

  test('another control plane takes over what one has not finished', async () => {
    const dataFolder = join(root, `data-${counter++}`)
    const one = await bench(database, { dataFolder })
    await withTroubles({ kind: 'hang', afterBytes: 700 })
    const { id } = await createNew(one, quants())
    await until(one, id, ({ progress }) => progress?.doneBytes === 700)
    await one.registry.stop()
    expect((await one.registry.store.find(id))?.state).toBe('downloading')
    const two = await bench(await again(database), { dataFolder })
    expect((await settled(two, id)).state).toBe('ready')
    expect(hub.downloads.map(({ range }) => range)).toEqual([null, 'bytes=700-'])
    await two.registry.stop()
  })

  test('a model that is removed while it is fetched leaves nothing', async () => {
    const given = await bench(database)
    await withTroubles({ kind: 'hang', afterBytes: 700 })
    const { id } = await createNew(given, quants())
    const model = await until(given, id, ({ progress }) => progress?.doneBytes === 700)
    await given.registry.remove(model, cause)
    expect(given.registry.modelOf(id)).toBeNull()
    expect(await readdir(join(given.dataFolder, 'downloads'))).toEqual([])
    await given.registry.stop()
  })

  test('two control planes fetch a model once', async () => {
    const dataFolder = join(root, `data-${counter++}`)
    const [one, two] = [
      await bench(database, { dataFolder }),
      await bench(await again(database), { dataFolder }),
    ]
    await withTroubles()
    const { id } = await createNew(one, quants())
    const [first, second] = await Promise.all([settled(one, id), settled(two, id)])
    expect([first.state, second.state]).toEqual(['ready', 'ready'])
    expect(hub.downloads).toHaveLength(1)
    await one.registry.stop()
    await two.registry.stop()
  })

  test('a list is by name, in pages', async () => {
    const given = await bench(database)
    const org = organisationId(`org-${counter++}`)
    for (const name of ['b', 'a', 'B', 'c']) {
      await given.registry.create(
        org,
        { source: { kind: 'path', path: gguf }, name, wantedDigest: null },
        cause,
      )
    }
    const { list } = modelHandlers(given.registry).models
    const ask = (cursor?: string) =>
      list(
        { params: {}, query: { limit: 3, cursor }, body: null, idempotencyKey: null, lastEventId: null },
        caller(org),
      )
    const first = await ask()
    expect(first.items.map(({ name }) => name)).toEqual(['B', 'a', 'b'])
    const rest = await ask(first.nextCursor!)
    expect([rest.items.map(({ name }) => name), rest.nextCursor]).toEqual([['c'], null])
    await given.registry.stop()
  })

  test('blobs that nobody uses go, shared ones stay', async () => {
    const given = await bench(database)
    const org = organisationId(`org-${counter++}`)
    const register = (source: ModelSource, of = org) =>
      given.registry.create(of, { source, name: `m${counter++}`, wantedDigest: null }, cause)
    await withTroubles()
    const one = await settled(given, (await register(fromHub())).id)
    const two = await settled(given, (await register(fromHub())).id)
    const weights = one.files.find(({ name }) => name.endsWith('.safetensors'))!
    const { path } = (await given.registry.store.blob(weights.digest, org))!
    expect(path.startsWith(given.dataFolder)).toBe(true)
    await given.registry.remove(one, cause)
    expect(await given.registry.store.blob(weights.digest, org)).not.toBeNull()
    await given.registry.remove(two, cause)
    expect(await given.registry.store.blob(weights.digest, null)).toBeNull()
    await expect(readFile(path)).rejects.toThrow(/ENOENT/)
    expect(given.registry.modelOf(one.id)).toBeNull()
    await given.registry.stop()
  })
})

describeEmbedded('the work on a model', (open) => {
  let given: Bench
  beforeAll(async () => {
    const database = await open()
    given = await bench(database)
    await database.queries
      .insert(organisations)
      .values({ id: organisation, slug: 'a', name: 'A', createdAt: new Date() })
  })

  test('a folder has its configuration, tokenizer and shards, and no pickle', async () => {
    const model = await settled(given, (await create(given, { kind: 'path', path: join(opened, 'tiny') })).id)
    expect(model.state).toBe('ready')
    expect(model.files.map(({ name }) => name)).toEqual([
      'config.json',
      'tokenizer.json',
      'tokenizer_config.json',
      'model.safetensors.index.json',
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
    ])
    const { path } = (await given.registry.store.blob(model.files[0]!.digest, organisation))!
    expect(path).toContain(opened)
  })

  test('what the organisation has is not fetched again, what another has is', async () => {
    const mine = await settled(given, (await create(given, quants())).id)
    await withTroubles()
    expect((await settled(given, (await create(given, quants())).id)).digest).toBe(mine.digest)
    expect(hub.downloads).toHaveLength(0)
    const wanted = { source: quants(), name: null, wantedDigest: null }
    const theirs = await settled(given, (await given.registry.create(other, wanted, cause)).id)
    expect(theirs).toMatchObject({ state: 'ready', name: 'tiny' })
    expect(hub.downloads).toHaveLength(1)
  })

  test('wrong bytes are fetched once more, then refused', async () => {
    const org = organisationId('org-wrong')
    const wanted = { source: quants(), name: null, wantedDigest: null }
    await withTroubles({ kind: 'wrong bytes' })
    const healed = await settled(given, (await given.registry.create(org, wanted, cause)).id)
    expect(healed.state).toBe('ready')
    await given.registry.remove(healed, cause)
    await withTroubles({ kind: 'wrong bytes' }, { kind: 'wrong bytes' })
    const failed = await settled(given, (await given.registry.create(org, wanted, cause)).id)
    expect(failed.reason).toMatch(/has the digest sha256:.*, not sha256:/)
    expect(failed.progress).toBeNull()
  })

  test('a hub cannot get another organisation bytes by their digest', async () => {
    const secret = await settled(given, (await create(given, { kind: 'path', path: gguf })).id)
    const org = organisationId('org-thief')
    hub.listedSha256.set('Q8/tiny.gguf', secret.digest!.slice('sha256:'.length))
    await withTroubles({ kind: 'wrong bytes' }, { kind: 'wrong bytes' })
    const wanted = { source: quants(), name: null, wantedDigest: null }
    const failed = await settled(given, (await given.registry.create(org, wanted, cause)).id)
    hub.listedSha256.clear()
    expect(failed.state).toBe('failed')
    const reader = new BlobReader(given.registry.store, () => new Date())
    await expect(reader.bytes(secret.digest!, org)).rejects.toThrow(ProblemError)
  })

  test('a hub without ranges begins again', async () => {
    const org = organisationId('org-norange')
    await withTroubles({ kind: 'break off', afterBytes: 500 }, { kind: 'no ranges' })
    const wanted = { source: quants(), name: null, wantedDigest: null }
    expect((await settled(given, (await given.registry.create(org, wanted, cause)).id)).state).toBe('ready')
  })

  test.each<[string, () => ModelSource, Trouble[], RegExp]>([
    [
      'a redirect into a private network',
      () => fromHub(),
      [{ kind: 'redirect', to: 'http://169.254.169.254/latest' }],
      /169.254.169.254 is not called/,
    ],
    [
      'a repository that is not there',
      () => fromHub({ repository: 'example/none' }),
      [],
      /no such repository/,
    ],
    ['a gated file', () => quants(), [{ kind: 'status', status: 403 }], /HF_TOKEN/],
    ['pickles', () => fromHub({ repository: 'example/pickles' }), [], /pickles/],
    ['a file that is not there', () => quants(), [{ kind: 'status', status: 404 }], /no such/],
  ])('%s fails with its reason', async (_, source, troubles, reason) => {
    const org = organisationId(`org-${counter++}`)
    await withTroubles(...troubles)
    const wanted = { source: source(), name: `m${counter++}`, wantedDigest: null }
    const model = await settled(given, (await given.registry.create(org, wanted, cause)).id)
    expect(model.state).toBe('failed')
    expect(model.reason).toMatch(reason)
  })

  test('other bytes than were asked for are refused', async () => {
    const digest = `sha256:${'00'.repeat(32)}`
    const model = await settled(given, (await create(given, { kind: 'path', path: gguf }, digest)).id)
    expect(model.reason).toMatch(/not sha256:0000/)
  })

  test('a damaged file fails with what is wrong with it', async () => {
    const path = join(opened, 'damaged.gguf')
    await writeFile(path, (await readFile(gguf)).subarray(0, 3000))
    const model = await settled(given, (await create(given, { kind: 'path', path })).id)
    expect(model).toMatchObject({ state: 'failed', shape: null })
    expect(model.reason).not.toMatch(/unexpected/)
  })

  test('paths and addresses that are not open are refused at once', async () => {
    await symlink('/etc', join(opened, 'etc'))
    for (const path of ['/etc/passwd', join(opened, 'etc/passwd')]) {
      await expect(create(given, { kind: 'path', path })).rejects.toMatchObject({
        code: 'MODEL_SOURCE_REFUSED',
      })
    }
    for (const hubUrl of ['http://hub.example.org', 'https://10.0.0.1', 'http://127.0.0.1:1']) {
      await expect(create(given, fromHub({ hubUrl }))).rejects.toMatchObject({ code: 'OUTGOING_REFUSED' })
    }
  })

  test("the token goes to the operator's hub only", async () => {
    const database = await open()
    const own = await bench(database, { hubToken: 'hf_secret' })
    await withTroubles()
    expect(await settled(own, (await create(own, fromHub({ hubUrl: null }))).id)).toMatchObject(ready)
    expect(new Set(hub.asked.map(({ authorization }) => authorization))).toEqual(
      new Set(['Bearer hf_secret']),
    )
    const foreign = await bench(await open(), { hubToken: 'hf_secret', hubUrl: 'https://hub.example.org' })
    await withTroubles()
    expect(await settled(foreign, (await create(foreign, fromHub())).id)).toMatchObject(ready)
    expect(new Set(hub.asked.map(({ authorization }) => authorization))).toEqual(new Set([null]))
    for (const { registry } of [own, foreign]) await registry.stop()
  })

  test('a name is taken once, and can be retried only after a failure', async () => {
    const model = await settled(given, (await create(given, { kind: 'path', path: gguf })).id)
    const again = { source: model.source, name: model.name, wantedDigest: null }
    await expect(given.registry.create(organisation, again, cause)).rejects.toMatchObject({
      code: 'MODEL_NAME_TAKEN',
    })
    await expect(given.registry.retry(model, cause)).rejects.toMatchObject({ code: 'MODEL_NOT_FAILED' })
  })

  test('what a deployment uses is not removed', async () => {
    const model = await settled(given, (await create(given, { kind: 'path', path: gguf })).id)
    given.users.set(model.id, [deploymentId('deployment-1')])
    await expect(given.registry.remove(model, cause)).rejects.toMatchObject({ code: 'MODEL_IN_USE' })
    given.users.delete(model.id)
    await given.registry.remove(model, cause)
    expect(await given.registry.store.find(model.id)).toBeNull()
  })

  test('progress that is told late changes nothing', async () => {
    const { store } = given.registry
    const model = await settled(given, (await create(given, { kind: 'path', path: gguf })).id)
    for (const state of ['registering', 'downloading'] as const) {
      expect(await store.progress(model, { state, reason: 'Late.', progress: null })).toBe(true)
    }
    expect(await store.fail(model, 'Late.')).toBe(true)
    expect(await store.find(model.id)).toEqual(model)
    await given.registry.remove(model, cause)
    expect(await store.progress(model, { state: 'downloading', reason: 'Late.', progress: null })).toBe(false)
    expect(await store.restart(model, cause)).toBe(false)
  })

  test('registerLocal() makes one model, and reads it again where it moved', async () => {
    const id = await given.registry.registerLocal(organisation, gguf, 'built-in')
    await settled(given, id)
    expect(await given.registry.registerLocal(organisation, gguf, 'built-in')).toBe(id)
    const moved = join(opened, 'moved.gguf')
    await writeFile(moved, await readFile(gguf))
    expect(await given.registry.registerLocal(organisation, moved, 'built-in')).toBe(id)
    const model = await settled(given, id)
    expect(model).toMatchObject({ source: { path: moved }, name: 'built-in' })
  })

  test('a stream shows the model until it is ready', async () => {
    await withTroubles()
    const org = organisationId('org-watch')
    const wanted = { source: fromHub(), name: null, wantedDigest: null }
    const { id } = await given.registry.create(org, wanted, cause)
    const { watch } = modelHandlers(given.registry).models
    const states: string[] = []
    const request = {
      params: { model: id },
      query: null,
      body: null,
      idempotencyKey: null,
      lastEventId: null,
    }
    for await (const { data } of await watch(request, caller(org))) states.push(data.state)
    expect(states.at(-1)).toBe('ready')
    const foreign = (await watch(request, caller(other)))[Symbol.asyncIterator]()
    await expect(foreign.next()).rejects.toMatchObject({ problem: 'not-found' })
  })

  describe('bytes', () => {
    test('of a range, for machines of the organisation that has them', async () => {
      const model = await settled(given, (await create(given, { kind: 'path', path: gguf })).id)
      const whole = await readFile(gguf)
      const reader = new BlobReader(given.registry.store, () => new Date())
      const { pieces, blob } = workerBlobHandlers(reader)
      const request = {
        params: { digest: model.digest! },
        ...{ query: null, body: null, idempotencyKey: null, lastEventId: null },
      }
      expect(await pieces(request, caller())).toMatchObject({ sizeBytes: whole.length, digest: model.digest })
      const ranged = await reader.bytes(model.digest!, organisation)
      const part = await collect(ranged.read({ first: 100, end: 5000 }))
      expect(part.equals(whole.subarray(100, 5000))).toBe(true)
      expect(sha(await collect(await blob(request, caller())))).toBe(model.digest)
      const stranger = caller(organisationId('org-stranger'))
      await expect(pieces(request, stranger)).rejects.toMatchObject({ problem: 'not-found' })
      await expect(blob(request, stranger)).rejects.toMatchObject({ problem: 'not-found' })
      expect(sha(await collect(await reader.bytes(model.digest!, null)))).toBe(model.digest)
    })

    test('that are gone from the disk are not there now', async () => {
      const path = join(opened, 'vanishing.gguf')
      const bytes = Buffer.from(await readFile(gguf))
      bytes[bytes.length - 1]! ^= 1
      await writeFile(path, bytes)
      const model = await settled(given, (await create(given, { kind: 'path', path })).id)
      await rm(path)
      const reader = new BlobReader(given.registry.store, () => new Date())
      await expect(reader.bytes(model.digest!, organisation)).rejects.toMatchObject({
        problem: 'unavailable',
      })
      const rows = await given.database.queries.select().from(blobs)
      expect(rows.map(({ digest }) => digest)).toContain(model.digest)
    })
  })
})
