import { Option } from 'commander'
import { Interrupts } from '../interrupts.ts'
import { Output } from '../output.ts'

export interface CommonFlags {
  readonly json?: true
}

export const jsonOption = () =>
  new Option('--json', 'print JSON on standard output; everything else goes to standard error')

export const examples = (...lines: readonly (readonly [command: string, what: string])[]): string => {
  const width = Math.max(...lines.map(([command]) => command.length))
  const shown = lines.map(([command, what]) => `  $ ${command.padEnd(width)}  ${what}`.trimEnd())
  return `\nExamples:\n${shown.join('\n')}\n`
}

/** Runs a command with its voice and with signals it can answer. */
export async function perform(
  flags: CommonFlags,
  work: (output: Output, interrupts: Interrupts) => Promise<void>,
): Promise<void> {
  const interrupts = new Interrupts()
  try {
    await work(new Output(flags.json === true), interrupts)
  } finally {
    interrupts.dispose()
  }
}
