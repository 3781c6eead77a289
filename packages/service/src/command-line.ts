import { fstatSync } from 'node:fs'
import { describeError } from '@deos/domain'

/** What shells report of words that a program cannot use. */
const EXIT_USAGE = 2

/**
 * The configuration of a process by its command line and environment. Help that was asked for, and what is wrong with
 * the words, is printed, and the process ends.
 *
 * @param help - written whole to standard output for `--help` or `-h`
 * @param read - throws what {@link describeError} tells a person
 */
export function readCommandLine<Config>(
  help: string,
  read: (words: readonly string[], env: NodeJS.ProcessEnv) => Config,
): Config {
  const words = process.argv.slice(2)
  if (words.includes('--help') || words.includes('-h')) {
    process.stdout.write(help)
    process.exit(0)
  }
  try {
    return read(words, process.env)
  } catch (error) {
    process.stderr.write(`${describeError(error)}\n`)
    process.exit(EXIT_USAGE)
  }
}

/** A pipe on standard input is a supervisor's: when it ends, the supervisor is gone. */
export function isSupervised(): boolean {
  try {
    const input = fstatSync(0)
    return input.isFIFO() || input.isSocket()
  } catch {
    return false
  }
}
