import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findLlamaRpc } from './llama-rpc-binaries.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'deos-llama-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const put = (...names: string[]) => {
  for (const name of names) writeFileSync(join(folder, name), '')
}

test.each(['ggml-rpc-server', 'rpc-server'])('%s is found beside llama-server, by folder or file', (name) => {
  put('llama-server', name)
  const found = { server: join(folder, 'llama-server'), rpcServer: join(folder, name) }
  expect(findLlamaRpc(folder)).toEqual(found)
  expect(findLlamaRpc(join(folder, name))).toEqual(found)
})

test('says which program a folder lacks', () => {
  expect(() => findLlamaRpc(join(folder, 'nowhere'))).toThrow(/no ggml-rpc-server or rpc-server/)
  put('ggml-rpc-server')
  expect(() => findLlamaRpc(folder)).toThrow(/no llama-server/)
})
