import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type KvIdentity, KvIdentityError, kvBlockKey, kvRoot, kvRunIds } from './block-identity.ts'

const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest())
const identity: KvIdentity = {
  ...{ model: 'sha256:ab', numerics: 'native', adapter: null, scope: '', blockTokens: 4 },
}
const root = kvRoot(sha256, identity)
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const ids = (tokens: readonly number[], before = root) =>
  kvRunIds(sha256, before, Int32Array.from(tokens), 4).map(hex)
const tokens = fc.array(fc.integer({ min: -1, max: 300_000 }), { maxLength: 40 })

test('prompts share ids exactly as far as whole blocks begin alike', () => {
  fc.assert(
    fc.property(tokens, tokens, tokens, (prefix, a, b) => {
      const [one, other] = [
        [...prefix, ...a],
        [...prefix, ...b],
      ]
      const [left, right] = [ids(one), ids(other)]
      expect(left).toHaveLength(Math.ceil(one.length / 4))
      expect(new Set(left).size).toBe(left.length)
      for (const [index, id] of left.entries()) {
        const alike = one.slice(0, 4 * index + 4).join() === other.slice(0, 4 * index + 4).join()
        expect(right[index] === id, `block ${index}`).toBe(alike)
      }
    }),
  )
})

test('a prompt that grows goes on from its last whole block', () => {
  fc.assert(
    fc.property(tokens, tokens, (first, more) => {
      const whole = ids([...first, ...more])
      const full = Math.floor(first.length / 4)
      const before = full === 0 ? root : Buffer.from(ids(first)[full - 1]!, 'hex')
      expect([...ids(first).slice(0, full), ...ids([...first, ...more].slice(4 * full), before)]).toEqual(
        whole,
      )
    }),
  )
})

test.each<[string, Partial<KvIdentity>]>([
  ['model', { model: 'sha256:ac' }],
  ['numerics', { numerics: 'Q8_0' }],
  ['adapter', { adapter: '' }],
  ['scope', { scope: 'tenant' }],
  ['block size', { blockTokens: 8 }],
])('another %s has other ids', (_, other) => {
  expect(hex(kvRoot(sha256, { ...identity, ...other }))).not.toBe(hex(root))
})

test('fields do not run into each other', () => {
  const a = kvRoot(sha256, { ...identity, model: 'a","b', numerics: 'c' })
  expect(hex(a)).not.toBe(hex(kvRoot(sha256, { ...identity, model: 'a', numerics: 'b","c' })))
})

test.each([0, -1, 1.5, Number.NaN])('blocks of %d positions are refused', (blockTokens) => {
  expect(() => kvRoot(sha256, { ...identity, blockTokens })).toThrow(KvIdentityError)
})

test('keys tell layer, part and coding apart', () => {
  const plain = { run: root, layer: 1, part: 'key', version: 1, level: 0, basis: 0 } as const
  const others = [
    plain,
    { ...plain, layer: 11 },
    { ...plain, part: 'value' as const },
    { ...plain, version: 2 },
    { ...plain, level: 1 },
    { ...plain, basis: 1 },
    { ...plain, run: sha256(root) },
  ]
  expect(new Set(others.map(kvBlockKey)).size).toBe(others.length)
  expect(kvBlockKey(plain)).toMatch(/^[0-9a-f]{64}-1k-1\.0\.0$/)
})
