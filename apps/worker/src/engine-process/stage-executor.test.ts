import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { balanceLayers, type ModelConfig } from '@deos/domain'
import { kvPageBytes } from '@deos/engine'
import { tinyConfig, writeTinyModel } from '@deos/engine/testing'
import { describeStageEngine } from '@deos/protocol/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type EngineAssignment, KvBudgetError, loadStage } from './engine-load.ts'
import { StageExecutor } from './stage-executor.ts'

const directory = mkdtempSync(join(tmpdir(), 'deos-executor-'))
const modelPath = join(directory, 'model')
let config: ModelConfig

beforeAll(async () => {
  config = await writeTinyModel({ directory: modelPath, family: 'llama', seed: 3 })
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const PAGES = 32

function assignment(layers: EngineAssignment['layers']): EngineAssignment {
  const pageBytes = kvPageBytes(config, layers.end - layers.first, { type: 'F32', pageTokens: 16 })
  return {
    ...{ modelPath, layers, weightType: 'F32', kvType: 'auto', kvBytes: PAGES * pageBytes },
    ...{ contextLength: 256, maxBatchTokens: 64, threads: 1, device: null, speed: 1 },
    cacheDir: join(directory, 'cache'),
  }
}

async function start(stages: number): Promise<StageExecutor[]> {
  const engines: StageExecutor[] = []
  for (const layers of balanceLayers(
    { layers: config.layers, layer: 1, head: 0 },
    new Array<number>(stages).fill(1),
  )) {
    engines.push(new StageExecutor(await loadStage(assignment(layers), () => undefined), 1))
  }
  return engines
}

const { vocabSize, layers } = tinyConfig('llama')
describeStageEngine('a real stage', { create: start, vocabSize, maxStages: layers })

test('a KV budget below one bucket of tokens is refused with what would do', async () => {
  const small = { ...assignment({ first: 0, end: 4 }), kvBytes: 1000 }
  await expect(loadStage(small, () => undefined)).rejects.toThrow(KvBudgetError)
})

test('the embedded head dimension gets F32 keys and values, which the CPU kernels are fast with', async () => {
  const { capacity, stage, backend } = await loadStage(assignment({ first: 1, end: 3 }), () => undefined)
  expect(stage.kv.options.type).toBe('F32')
  expect(capacity).toEqual({ kvPages: PAGES, pageTokens: 16, contextLength: 256, maxBatchTokens: 64 })
  stage.close()
  backend.close()
})
