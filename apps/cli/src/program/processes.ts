import { controlPlaneFlags } from '@deos/service'
import type { Command } from 'commander'
import { UsageError } from '../cli-error.ts'
import { examples } from './parts.ts'

/** Commands that are one process of the product each; their flags are the process's own. */
export function addProcesses(program: Command): void {
  const own = (command: Command) =>
    command
      .argument('[flags...]', 'flags of the process; see "--help" after "--"')
      .passThroughOptions()
      .allowUnknownOption()
  own(
    program
      .command('join')
      .summary('let this machine join a control plane')
      .description(
        'Measures this machine, joins, and holds whatever stages it is given, until it is stopped: Ctrl-C moves its\n' +
          'stages elsewhere first. Only outgoing connections are needed to be listed; "deos join -- --help" lists flags.',
      )
      .argument('[url]', 'control plane (or DEOS_URL); the token goes into --token or DEOS_TOKEN'),
  )
    .addHelpText(
      'after',
      examples(
        ['deos join https://deos.example.org --token deos_j_…', 'as the console shows it'],
        ['DEOS_TOKEN=deos_j_… deos join https://deos.example.org', 'the token out of process lists'],
      ),
    )
    .action(async (url: string | undefined, flags: readonly string[]) => {
      const { runProcess } = await import('../commands/run-process.ts')
      const { args, env } = joinWords(url === undefined ? flags : [url, ...flags])
      if (
        process.env.DEOS_URL === undefined &&
        !args.some((word) => /^(--url(=|$)|--help$|-h$)/.test(word))
      ) {
        throw new UsageError(
          'It is not said which control plane to join.',
          'Copy the command that the console shows under Machines, Add machine: deos join <url> --token <token>.',
        )
      }
      await runProcess('agent', args, env)
    })
  own(
    program
      .command('server')
      .summary('run a control plane')
      .description(
        'Console, API and reconciler; any number of them may run over one PostgreSQL (DATABASE_URL). "deos server -- --help" lists flags.',
      ),
  ).action(async (flags: readonly string[]) => {
    const { runProcess } = await import('../commands/run-process.ts')
    await runProcess('control-plane', flags, {}, controlPlaneFlags)
  })
  own(
    program
      .command('wan')
      .summary('emulate a wide-area network on this computer')
      .description(
        'A proxy for each site of a profile: what goes through them is as late and as slow as between real regions\n' +
          'and lines. "deos up --wan PROFILE" starts one by itself; "deos wan -- --help" lists flags.',
      )
      .argument('[profile]', 'aws-4-regions, aws-8-cities, clouds-12, homes, lan, zero, or a JSON file'),
  ).action(async (profile: string | undefined, flags: readonly string[]) => {
    const { runProcess } = await import('../commands/run-process.ts')
    const named = profile === undefined || profile.startsWith('-')
    const given = profile === undefined ? [] : [profile]
    await runProcess('wan', named ? [...given, ...flags] : ['--profile', profile, ...flags])
  })
  own(
    program
      .command('gateway')
      .summary('run a gateway')
      .description(
        'Answers model requests, for a control plane or one ring. "deos gateway -- --help" lists flags.',
      ),
  ).action(async (flags: readonly string[]) => {
    const { runProcess } = await import('../commands/run-process.ts')
    await runProcess('gateway', flags)
  })
}

/** What follows `deos join` as the agent takes it: a flag in front of the address, and the token in its environment. */
export function joinWords(words: readonly string[]): {
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
} {
  const at = words.findIndex((word) => word === '--token' || word.startsWith('--token='))
  const given = at < 0 ? undefined : words[at]
  const token = given === '--token' ? words[at + 1] : given?.slice('--token='.length)
  // Without a word after it the agent says what is wrong.
  const isGiven = token !== undefined
  const rest = isGiven ? words.toSpliced(at, given === '--token' ? 2 : 1) : words
  const [first] = rest
  const named = first === undefined || first.startsWith('-') ? rest : ['--url', ...rest]
  return { args: named, env: isGiven ? { DEOS_TOKEN: token } : {} }
}
