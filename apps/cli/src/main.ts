#!/usr/bin/env node
import { DomainError } from '@deos/domain'
import type { Command } from 'commander'
import { EXIT_USAGE, errorReport, exitCodeOf, remedyOf, UsageError } from './cli-error.ts'
import { CommanderError, createProgram, usageMessage } from './program.ts'

/** Tells what went wrong, on standard error for people and with `--json` on standard output for programs. */
function report(error: unknown, json: boolean): void {
  if (json) process.stdout.write(`${JSON.stringify(errorReport(error))}\n`)
  if (error instanceof DomainError) {
    const hint = remedyOf(error)
    process.stderr.write(`deos: ${error.message}\n${hint === '' ? '' : `      ${hint}\n`}`)
  } else {
    process.stderr.write(`deos: ${error instanceof Error ? error.stack : String(error)}\n`)
  }
}

/** The help of the command that was meant, as far as its words name one. */
function helpOf(program: Command, words: readonly string[]): string {
  const named = ['deos']
  let commands = program.commands
  for (const word of words) {
    const next = commands.find((each) => each.name() === word)
    if (next === undefined) break
    named.push(word)
    commands = next.commands
  }
  return [...named, '--help'].join(' ')
}

async function main(words: readonly string[]): Promise<void> {
  const program = createProgram()
  if (words.length === 0) {
    program.outputHelp()
    return
  }
  const json = words.includes('--json')
  try {
    await program.parseAsync(words, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) {
      const message = usageMessage(error)
      if (message !== null) report(new UsageError(message, `See "${helpOf(program, words)}".`), json)
      process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE
      return
    }
    report(error, json)
    process.exitCode = exitCodeOf(error)
  }
}

// A closed pipe (`deos run … | head -1`) is a reader that has enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit()
  throw error
})

await main(process.argv.slice(2))
