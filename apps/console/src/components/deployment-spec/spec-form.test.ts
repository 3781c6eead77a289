import { expect, test } from 'vitest'
import { changesOf, emptySpec, fieldsOf, specOf } from './spec-form.ts'

const fields = { ...emptySpec, modelId: 'model-1' }

test('a model alone is enough; empty fields say nothing', () => {
  const { spec, errors } = specOf(fields, 'USD')
  expect(errors).toEqual({})
  expect(spec).toEqual({
    modelId: 'model-1',
    contextTokens: null,
    sessions: 4,
    precision: 'native',
    activations: 'f32',
    target: {},
    replicas: { min: 1, max: 1 },
    policy: { regions: null, providers: null },
    split: null,
  })
})

test('replicas for prompts are a split, none of them is none', () => {
  const of = (prefillReplicas: string) =>
    specOf({ ...fields, prefillReplicas, kvQuality: 'guarded' }, 'USD').spec?.split
  expect(of('2')).toEqual({ prefillReplicas: 2, kvQuality: 'guarded' })
  expect(of(' ')).toBeNull()
  expect(of('0')).toBeNull()
})

test('targets and policies are carried over with their units', () => {
  const { spec } = specOf(
    { ...fields, ttftMs: '250', pricePerMillionTokens: '0.20', regions: ['eu-north'], contextTokens: '8192' },
    'EUR',
  )
  expect(spec?.target).toEqual({
    ttftMs: 250,
    pricePerMillionTokens: { currency: 'EUR', microUnits: '200000' },
  })
  expect(spec?.policy.regions).toEqual(['eu-north'])
  expect(spec?.contextTokens).toBe(8192)
})

test.each([
  ['modelId', { modelId: '' }],
  ['replicas.min', { minReplicas: '3', maxReplicas: '2' }],
  ['sessions', { sessions: 'many' }],
  ['contextTokens', { contextTokens: '0' }],
  ['split.prefillReplicas', { prefillReplicas: '1.5' }],
  ['target.ttftMs', { ttftMs: '-5' }],
  ['target.pricePerMillionTokens', { pricePerMillionTokens: 'cheap' }],
])('%s names its own mistake', (field, changes) => {
  const { spec, errors } = specOf({ ...fields, ...changes }, 'USD')
  expect(spec).toBeNull()
  expect(Object.keys(errors)).toContain(field)
})

const full = {
  ...fields,
  contextTokens: '8192',
  minReplicas: '2',
  maxReplicas: '5',
  prefillReplicas: '2',
  kvQuality: 'guarded' as const,
  regions: ['eu-north'],
  ttftMs: '250',
  pricePerMillionTokens: '0.20',
}

test('a spec that fields show means the same again', () => {
  expect(fieldsOf(specOf(full, 'EUR').spec!)).toEqual(full)
  expect(fieldsOf(specOf(fields, 'EUR').spec!)).toEqual(fields)
})

test('a revision states what is another, and nothing else', () => {
  const before = specOf(full, 'EUR').spec!
  expect(changesOf(before, specOf(full, 'EUR').spec!)).toEqual({})
  const after = specOf({ ...full, ttftMs: '', regions: [], sessions: '8' }, 'EUR').spec!
  expect(changesOf(before, after)).toEqual({
    sessions: 8,
    target: { pricePerMillionTokens: { currency: 'EUR', microUnits: '200000' } },
    policy: { regions: null, providers: null },
  })
})
