import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus } from 'node:os'
import type { Machine } from './contract.ts'

/** @param gpu - name of the device a bench computed on, if not the CPU */
export function describeMachine(gpu: string | null = null): Machine {
  return { cpu: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism(), gpu }
}

/** Commit of the checkout this file lies in, `+changes` if it was edited since; `unknown` outside a checkout. */
export function currentCommit(): string {
  try {
    const commit = git('rev-parse', '--short=12', 'HEAD')
    return git('status', '--porcelain', '--untracked-files=no') === '' ? commit : `${commit}+changes`
  } catch {
    return 'unknown'
  }
}

function git(...args: string[]): string {
  const cwd = import.meta.dirname
  return execFileSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
}
