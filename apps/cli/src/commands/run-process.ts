import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { builtScript } from '../package-root.ts'

const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Runs a process of the product in the foreground: it has this terminal, gets the signals, and its end is this
 * command's.
 *
 * @param env - added to ours; secrets travel here, since arguments show in every process list
 * @param nodeFlags - for Node itself
 * @throws CommandError if the build is missing
 */
export async function runProcess(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  nodeFlags: readonly string[] = [],
): Promise<void> {
  const child = spawn(process.execPath, [...nodeFlags, builtScript(name), ...args], {
    env: { ...process.env, ...env },
    // Not our standard input: a pipe there would look like a supervisor's.
    stdio: ['ignore', 'inherit', 'inherit'],
    // A terminal's Ctrl-C reaches this process alone, which passes it on once.
    detached: process.platform !== 'win32',
  })
  const passOn = (signal: NodeJS.Signals) => child.kill(signal)
  for (const signal of passedOn) process.on(signal, passOn)
  const onExit = () => child.kill('SIGKILL')
  process.on('exit', onExit)
  await new Promise<void>((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      process.exitCode = code ?? (signal === null ? 1 : 128 + constants.signals[signal])
      resolve()
    })
  })
  for (const signal of passedOn) process.off(signal, passOn)
  process.off('exit', onExit)
}
