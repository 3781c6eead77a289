import type {
  Link,
  MachineBenchmark,
  MachineInventory,
  MachineLocation,
  PlacedStage,
  StagePlacement,
} from '@deos/domain'
import { describe, expect, expectTypeOf, test } from 'vitest'
import type { z } from 'zod'
import type { AnswerOf, DeepReadonly } from '../contract/route-types.ts'
import type { routes } from '../routes/index.ts'
import {
  benchmarkSchema,
  deploymentSpecSchema,
  digestSchema,
  emailSchema,
  inventorySchema,
  keyCreateSchema,
  layerRangeSchema,
  line,
  type linkSchema,
  type locationSchema,
  microUnitsOf,
  modelCreateSchema,
  modelNameSchema,
  modelSourceSchema,
  money,
  moneySchema,
  outgoingUrlSchema,
  type plannedStageSchema,
  priceSchema,
  type Stage,
  slugSchema,
  timestampSchema,
} from './index.ts'

const accepts = (schema: z.ZodType, value: unknown): boolean => schema.safeParse(value).success

test('schemas give the types of the domain', () => {
  expectTypeOf<z.output<typeof inventorySchema>>().toExtend<MachineInventory>()
  expectTypeOf<z.output<typeof benchmarkSchema>>().toExtend<MachineBenchmark>()
  expectTypeOf<z.output<typeof locationSchema>>().toExtend<MachineLocation>()
  expectTypeOf<z.output<typeof linkSchema>>().toExtend<Link>()
  expectTypeOf<z.output<typeof plannedStageSchema>>().toExtend<Omit<StagePlacement, 'machine'>>()
  expectTypeOf<Stage>().toExtend<Omit<PlacedStage, 'machine'>>()
  // And what the domain holds can be answered with.
  expectTypeOf<MachineInventory>().toExtend<DeepReadonly<z.input<typeof inventorySchema>>>()
  expectTypeOf<MachineBenchmark>().toExtend<NonNullable<AnswerOf<typeof routes.machines.show>['benchmark']>>()
})

describe('model names', () => {
  test.each(['nano', 'Qwen3-8B', 'org/name', 'a/b/c', 'org/name:q8_0', 'v0.3', 'a'.repeat(96)])(
    '%s',
    (name) => {
      expect(accepts(modelNameSchema, name)).toBe(true)
    },
  )

  test.each([
    ...[
      '',
      '.',
      '..',
      '../x',
      'a/..',
      'a/../b',
      'a..b',
      '/a',
      'a/',
      'a//b',
      'a\\b',
      '.hidden',
      'a/.b',
      '~',
      'a b',
    ],
    ...['a\n', 'a\u0000', 'a%2e', 'C:\\x', 'a:', ':a', 'a/b/c/d', 'a'.repeat(97), 'ａ', '-a', 'con/../..'],
  ])('%j is refused', (name) => {
    expect(accepts(modelNameSchema, name)).toBe(false)
  })
})

describe('addresses that the server will call', () => {
  test.each(['https://huggingface.co', 'http://127.0.0.1:9000/hub', 'HTTPS://a.b/c?d=e'])('%s', (url) => {
    expect(accepts(outgoingUrlSchema, url)).toBe(true)
  })

  test.each([
    ...['file:///etc/passwd', 'ftp://a', 'javascript:alert(1)', 'gopher://a', '//a', 'a.b', '', 'https://'],
    ...['https://user:pass@host', 'https://user@host', 'https://:pass@host', 'https://a#b', 'https://a b'],
    ...[
      'https://a\n',
      ' https://a',
      'https://a\\@b',
      'https:\\\\a',
      'https://a\u0000',
      `https://${'a'.repeat(3000)}`,
    ],
  ])('%j is refused', (url) => {
    expect(accepts(outgoingUrlSchema, url)).toBe(false)
  })
})

describe('sources of models', () => {
  test.each([
    { kind: 'path', path: '/models/a.gguf' },
    { kind: 'path', path: 'C:\\models\\a.gguf' },
    { kind: 'path', path: '/models/a..b/c' },
    { kind: 'huggingface', repository: 'owner/name' },
    {
      kind: 'huggingface',
      repository: 'owner/name',
      revision: 'refs/pr/1',
      file: 'sub/a b.gguf',
      hubUrl: null,
    },
  ])('%j', (source) => {
    expect(accepts(modelSourceSchema, source)).toBe(true)
  })

  test.each([
    { kind: 'path', path: 'models/a.gguf' },
    { kind: 'path', path: '/models/../etc/passwd' },
    { kind: 'path', path: 'C:\\models\\..\\x' },
    { kind: 'path', path: '/models/a\u0000' },
    { kind: 'path', path: '/a', file: 'x' },
    { kind: 'huggingface', repository: 'name' },
    { kind: 'huggingface', repository: '../name' },
    { kind: 'huggingface', repository: 'owner/..' },
    { kind: 'huggingface', repository: 'owner/name', revision: '../main' },
    { kind: 'huggingface', repository: 'owner/name', file: '../a' },
    { kind: 'huggingface', repository: 'owner/name', file: '/a' },
    { kind: 'huggingface', repository: 'owner/name', file: 'a/./b' },
    { kind: 'huggingface', repository: 'owner/name', file: 'a?b' },
    { kind: 'huggingface', repository: 'owner/name', hubUrl: 'file:///etc' },
    { kind: 'url', url: 'https://a' },
    {},
  ])('%j is refused', (source) => {
    expect(accepts(modelSourceSchema, source)).toBe(false)
  })

  test('what is left out is the branch main and the whole repository', () => {
    const source = { kind: 'huggingface', repository: 'owner/name' } as const
    expect(modelCreateSchema.parse({ source })).toEqual({
      source: { ...source, revision: 'main', file: null, hubUrl: null },
      digest: null,
    })
  })
})

describe('money', () => {
  test('amounts beyond JSON numbers survive', () => {
    const amount = money(123_456_789_012_345_678n, 'USD')
    expect(microUnitsOf(moneySchema.parse(JSON.parse(JSON.stringify(amount))))).toBe(123_456_789_012_345_678n)
    expect(money(-5n, 'EUR')).toEqual({ currency: 'EUR', microUnits: '-5' })
    expect(() => money(10n ** 18n, 'USD')).toThrow(RangeError)
  })

  test.each(['1.5', '01', '-0', '+1', '1e3', '', ' 1', '0x1', '9'.repeat(19)])(
    '%j is no amount',
    (microUnits) => {
      expect(accepts(moneySchema, { currency: 'USD', microUnits })).toBe(false)
    },
  )

  test('prices are not negative, and numbers are not text', () => {
    expect(accepts(priceSchema, { currency: 'USD', microUnits: '-1' })).toBe(false)
    expect(accepts(priceSchema, { currency: 'USD', microUnits: 1 })).toBe(false)
    expect(accepts(priceSchema, { currency: 'usd', microUnits: '1' })).toBe(false)
  })
})

test.each([
  [slugSchema, ['a', 'a-b', '0', 'a'.repeat(63)], ['', '-a', 'a-', 'A', 'a_b', 'a.b', 'a'.repeat(64), 'a/b']],
  [
    timestampSchema,
    ['2026-01-05T09:30:00Z', '2026-01-05T09:30:00.123Z'],
    ['2026-01-05', '2026-01-05T09:30:00+01:00', '2026-13-05T09:30:00Z', 'now'],
  ],
  [
    digestSchema,
    [`sha256:${'a'.repeat(64)}`],
    [`sha256:${'A'.repeat(64)}`, `md5:${'a'.repeat(64)}`, 'a'.repeat(64)],
  ],
  [emailSchema, ['a@b.org'], ['a', 'a@b', '@b.org', `${'a'.repeat(300)}@b.org`, 'a@b.org\n']],
  [
    line(10),
    ['Größe 1', '東京', 'a', '  a  '],
    ['', '   ', 'a\nb', 'a\u0000', 'a\u202eb', '\ud800', 'x'.repeat(11)],
  ],
])('text of form %#', (schema, good, bad) => {
  for (const value of good) expect(accepts(schema, value), value).toBe(true)
  for (const value of bad) expect(accepts(schema, value), JSON.stringify(value)).toBe(false)
})

test('the same text in other spellings is one', () => {
  expect(emailSchema.parse('Ada@Example.ORG')).toBe('ada@example.org')
  expect(line(10).parse('  a  ')).toBe('a')
})

test('keys name each scope once and have at least one', () => {
  expect(keyCreateSchema.parse({ name: 'ci' }).scopes).toEqual(['inference'])
  for (const scopes of [[], ['read', 'read'], ['owner'], 'read']) {
    expect(accepts(keyCreateSchema, { name: 'ci', scopes }), String(scopes)).toBe(false)
  }
})

test('replicas have bounds the right way round', () => {
  const spec = (min: number, max: number) => ({ modelId: 'm', replicas: { min, max } })
  expect(accepts(deploymentSpecSchema, spec(0, 1))).toBe(true)
  expect(accepts(deploymentSpecSchema, spec(2, 1))).toBe(false)
  expect(accepts(deploymentSpecSchema, spec(0, 0))).toBe(false)
  expect(accepts(deploymentSpecSchema, spec(1, 1001))).toBe(false)
  expect(accepts(layerRangeSchema, { first: 0, end: 0 })).toBe(false)
})

test('replicas for prompts are some, or there is no split', () => {
  const spec = (split: unknown) => ({ modelId: 'm', split })
  expect(deploymentSpecSchema.parse({ modelId: 'm' }).split).toBeNull()
  expect(deploymentSpecSchema.parse(spec({ prefillReplicas: 2 })).split).toEqual({
    ...{ prefillReplicas: 2, kvQuality: 'lossless' },
  })
  expect(accepts(deploymentSpecSchema, spec(null))).toBe(true)
  expect(accepts(deploymentSpecSchema, spec({ prefillReplicas: 1, kvQuality: 'guarded' }))).toBe(true)
  for (const wrong of [
    { prefillReplicas: 0 },
    { prefillReplicas: 1001 },
    { prefillReplicas: 1.5 },
    { kvQuality: 'lossless' },
    { prefillReplicas: 1, kvQuality: 'any' },
    { prefillReplicas: 1, more: true },
  ]) {
    expect(accepts(deploymentSpecSchema, spec(wrong)), JSON.stringify(wrong)).toBe(false)
  }
})

test('machines cannot claim what makes no sense', () => {
  const inventory = {
    hostname: 'a',
    platform: 'linux',
    architecture: 'x64',
    cpuModel: 'CPU',
    cpuCores: 2,
    memoryBytes: 1024,
    diskFreeBytes: 0,
    devices: [{ name: 'CPU', description: 'CPU', kind: 'cpu', memoryBytes: 1024 }],
  }
  expect(accepts(inventorySchema, inventory)).toBe(true)
  for (const change of [
    { cpuCores: 0 },
    { memoryBytes: -1 },
    { memoryBytes: 0.5 },
    { devices: [] },
    { extra: 1 },
  ]) {
    expect(accepts(inventorySchema, { ...inventory, ...change }), JSON.stringify(change)).toBe(false)
  }
  const flops = Object.fromEntries(Array.from({ length: 41 }, (_, index) => [`Q${index}`, 1]))
  const device = { device: 'CPU', weightBytesPerSecond: 1, flopsPerSecond: flops, hostBytesPerSecond: null }
  expect(accepts(benchmarkSchema, { devices: [device], diskReadBytesPerSecond: 1 })).toBe(false)
})
