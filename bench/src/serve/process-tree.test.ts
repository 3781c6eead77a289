import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { cpuTimeMs, mappedFiles, parseStat, processTree } from './process-tree.ts'

const onLinux = test.skipIf(!existsSync('/proc/self/stat'))

test('a stat line is read past any name', () => {
  const rest = 'S 41 0 0 0 -1 0 1 2 3 4 150 30 0 0 20'
  expect(parseStat(`42 (node) ${rest}`)).toEqual({ parent: 41, cpuTicks: 180 })
  expect(parseStat(`42 (a) S (b c) ${rest}`)).toEqual({ parent: 41, cpuTicks: 180 })
})

onLinux('the tree of a process holds what it started, and only that', async () => {
  const child = spawn(process.execPath, ['-e', 'process.stdout.write("up"); setTimeout(() => {}, 60000)'])
  try {
    await once(child.stdout, 'data')
    expect(processTree(process.pid)).toContain(child.pid)
    expect(processTree(child.pid!)).toEqual([child.pid])
  } finally {
    child.kill()
  }
})

onLinux('CPU time and mapped files of a running process are seen, of an ended one not', () => {
  expect(cpuTimeMs([process.pid])).toBeGreaterThan(0)
  expect(mappedFiles([process.pid], /libc\.so/)).toHaveLength(1)
  const ended = 2 ** 30
  expect(cpuTimeMs([ended])).toBe(0)
  expect(mappedFiles([ended], /libc/)).toEqual([])
})
