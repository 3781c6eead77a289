import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { MachineInUseError, takeMachineLock } from './machine-lock.ts'

const root = mkdtempSync(join(tmpdir(), 'deos-lock-'))
afterAll(() => rmSync(root, { recursive: true }))

test('one holder at a time, and the next once it is given up', () => {
  const path = join(root, 'a', 'lock')
  const release = takeMachineLock(path)
  expect(() => takeMachineLock(path)).toThrow(MachineInUseError)
  expect(() => takeMachineLock(path)).toThrow(`Process ${process.pid} `)
  release()
  takeMachineLock(path)()
  expect(readdirSync(join(root, 'a'))).toEqual([])
})

test.each([
  ['a dead process', () => ({ pid: spawnSync(process.execPath, ['-e', '']).pid, birth: null })],
  ['a process whose number somebody else has now', () => ({ pid: process.pid, birth: 'another boot:1' })],
  ['a crash amid writing', () => '{"pid"'],
])('what %s left is taken over', (name, holder) => {
  const path = join(root, name, 'lock')
  takeMachineLock(path)()
  const left = holder()
  writeFileSync(path, typeof left === 'string' ? left : JSON.stringify(left))
  const release = takeMachineLock(path)
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ pid: process.pid })
  release()
  expect(existsSync(path)).toBe(false)
})

test('a living process keeps its lock; giving up twice takes nothing from the next', () => {
  const path = join(root, 'alive')
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  writeFileSync(path, JSON.stringify({ pid: child.pid, birth: null }))
  expect(() => takeMachineLock(path)).toThrow(MachineInUseError)
  child.kill('SIGKILL')
  rmSync(path)
  const release = takeMachineLock(path)
  release()
  const next = takeMachineLock(path)
  release()
  expect(existsSync(path)).toBe(true)
  next()
})
