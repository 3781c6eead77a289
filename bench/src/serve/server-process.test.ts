import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { ServerFailedError } from './completion-client.ts'
import { ServerProcess } from './server-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-bench-process-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const start = (script: string, onLine?: (line: string) => void) =>
  new ServerProcess({
    ...{ name: 'sample', file: process.execPath, args: ['-e', script] },
    ...{ logFile: join(folder, 'sample.log'), ...(onLine && { onLine }) },
  })

test('a server that says it is ready runs until it is stopped', async () => {
  let said: (line: string) => void
  const line = new Promise<string>((resolve) => {
    said = resolve
  })
  const server = start('console.log("up"); setInterval(() => {}, 1000)', (text) => said(text))
  expect(await server.whenReady(line)).toBe('up')
  expect(server.pids().length).toBeGreaterThan(0)
  await server.stop()
  const [pid] = server.pids()
  expect(() => process.kill(pid!, 0)).toThrow()
})

test('a server that ends before it is ready is an error with its last words', async () => {
  const server = start('console.error("no such model"); process.exit(3)')
  const never = new Promise<never>(() => undefined)
  const failed = server.whenReady(never)
  await expect(failed).rejects.toThrow(ServerFailedError)
  await expect(failed).rejects.toThrow(/sample ended with code 3: no such model/)
})

test('a program that is not there is an error too', async () => {
  const server = new ServerProcess({
    ...{ name: 'missing', file: join(folder, 'missing'), args: [] },
    logFile: join(folder, 'missing.log'),
  })
  await expect(server.whenReady(new Promise<never>(() => undefined))).rejects.toThrow('ENOENT')
  await server.stop()
})
