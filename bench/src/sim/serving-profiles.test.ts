import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { predictGroup, readProfileGroups } from './serving-profiles.ts'

const head =
  'model,hardware,prompt_size,batch_size,token_size,peak_power,average_power,prompt_time,token_time,e2e_time,tensor_parallel'

function folderOf(lines: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'deos-profiles-'))
  mkdirSync(join(folder, 'splitwise'))
  writeFileSync(join(folder, 'splitwise', 'perf_model.csv'), `${[head, ...lines].join('\r\n')}\r\n`)
  return folder
}

const line = (prompt: number, batch: number, tokens: number, promptMs: number, tokenMs: number) =>
  `llama2-70b,a100-80gb,${prompt},${batch},${tokens},1,1,${promptMs},${tokenMs},0,2`

test('repetitions are one row, and accelerators and degrees are groups', () => {
  const [group, ...others] = readProfileGroups(
    folderOf([line(128, 1, 128, 80, 54), line(128, 1, 128, 90, 55), line(128, 1, 128, 84, 60)]),
  )
  expect(others).toEqual([])
  expect(group).toMatchObject({ name: 'llama2-70b.a100-80gb.tp2', degree: 2 })
  expect(group!.rows).toEqual([{ promptTokens: 128, batch: 1, outputTokens: 128, promptMs: 84, tokenMs: 55 }])
})

test('rows that were not fitted are predicted, and those that no accelerator could reach are left out', () => {
  // 140 GB of weights on two accelerators of 2039 GB/s, at 70%: 49 ms a token. Of prompts 0.23 ms a token at 0.9 PFLOP/s.
  const prompts = [128, 256, 512, 1024, 2048, 4096, 8192]
  const [group] = readProfileGroups(
    folderOf([
      ...prompts.map((tokens) => line(tokens, 1, 128, Math.max(49, tokens * 0.36), 49)),
      line(512, 64, 128, 10, 60),
    ]),
  )
  const { promptErrors, tokenErrors, impossible } = predictGroup(group!)
  expect(impossible).toEqual(['64 prompts of 512'])
  expect(promptErrors).toHaveLength(3)
  for (const error of [...promptErrors, ...tokenErrors]) expect(Math.abs(error)).toBeLessThan(0.15)
})

test('unknown accelerators are refused', () => {
  const [group] = readProfileGroups(folderOf([line(128, 1, 128, 80, 54).replace('a100-80gb', 'abacus')]))
  expect(() => predictGroup(group!)).toThrow(/abacus/)
})
