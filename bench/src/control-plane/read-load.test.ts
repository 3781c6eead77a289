import { describe, expect, test } from 'vitest'
import { readKinds, readPath, summarizeReads } from './read-load.ts'

const targets = { machines: ['m1', 'm2', 'm3'], deployments: ['d1', 'd2'] }

describe('reads', () => {
  test('are of every kind in turn', () => {
    const kinds = Array.from({ length: 12 }, (_, n) => readPath(n, targets, {}).kind)
    expect(kinds).toEqual([...readKinds, ...readKinds])
  })

  test('reach every machine and every deployment', () => {
    const paths = new Set(Array.from({ length: 60 }, (_, n) => readPath(n, targets, {}).path))
    for (const id of targets.machines) expect(paths).toContain(`/machines/${id}`)
    for (const id of targets.deployments) expect(paths).toContain(`/deployments/${id}`)
  })

  test('go on where a list’s last page ended', () => {
    const n = readKinds.indexOf('events.list')
    expect(readPath(n, targets, { 'events.list': 'abc' }).path).toBe('/events?cursor=abc')
    expect(readPath(n, targets, { 'machines.list': 'abc' }).path).toBe('/events')
  })

  test('are summed up together and by kind', () => {
    const summary = summarizeReads([
      { kind: 'status.show', ms: 1 },
      { kind: 'status.show', ms: 3 },
      { kind: 'events.list', ms: 8 },
    ])
    expect(summary.all).toMatchObject({ n: 3, p50Ms: 3, maxMs: 8 })
    expect(Object.keys(summary)).toEqual(['all', 'events.list', 'status.show'])
    expect(() => summarizeReads([])).toThrow('no values')
  })
})
