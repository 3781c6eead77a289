import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { seededRandom } from '@deos/domain'
import { flowBounds, flowOfPlacement, searchPlacement } from '@deos/planner'
import { describe, expect, test } from 'vitest'
import { readHelixInstance, readHelixInstances } from './helix-instances.ts'

const folder = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'data', 'helix')
const instances = readHelixInstances(folder)

describe.each(instances)('$name', ({ instance, published }) => {
  test.each(published)('the flow of $method has the published value', ({ placement, tokensPerSecond }) => {
    const flow = flowOfPlacement(instance, placement).tokensPerSecond
    expect(Math.abs(flow - tokensPerSecond)).toBeLessThanOrEqual(tokensPerSecond * 1e-6 + 1e-9)
  })

  test('a short search reaches the published placement and stays below the bound', () => {
    const found = searchPlacement(instance, { evaluations: 60_000, random: seededRandom(1) })
    const best = Math.max(...published.map((each) => each.tokensPerSecond))
    expect(found.tokensPerSecond).toBeGreaterThanOrEqual(best * (1 - 1e-9))
    expect(found.tokensPerSecond).toBeLessThanOrEqual(flowBounds(instance).best * (1 + 1e-8))
  })
})

test('a file of another form is refused by name', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'deos-helix-')), 'broken.json')
  writeFileSync(path, '{"name":"x"}')
  expect(() => readHelixInstance(path)).toThrow('num_layers')
})
