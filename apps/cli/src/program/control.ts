import { type EventType, eventTypes, type KeyScope, keyScopes } from '@deos/api'
import { activationCodings } from '@deos/domain'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { ControlFlags } from '../control/connection.ts'
import type { DeployFlags } from '../control/deployments.ts'
import type { CreateJoinTokenFlags } from '../control/join-tokens.ts'
import type { CreateKeyFlags } from '../control/keys.ts'
import type { AddModelFlags } from '../control/models.ts'
import { collect, number, oneOf, wholeNumber } from '../option-parsers.ts'
import { examples, jsonOption, perform } from './parts.ts'

const DEFAULT_LINES = 50

/** Flags of every command that asks the control plane. */
const asking = (command: Command): Command =>
  command
    .addOption(
      new Option('--control <url>', 'control plane (default: the one of "deos up" or "deos login")').env(
        'DEOS_URL',
      ),
    )
    .addOption(new Option('--api-key <key>', 'key for it; better in the environment').env('DEOS_API_KEY'))
    .addOption(jsonOption())

type Why = ControlFlags & { readonly reason?: string }

/** Commands over the control plane's API. */
export function addControl(program: Command): void {
  addStatus(program)
  addNode(program)
  addDeploy(program)
  addDeployment(program)
  addKey(program)
  addJoinToken(program)
  addEvents(program)
  addLogin(program)
}

function addStatus(program: Command): void {
  asking(program.command('status').summary('health, throughput and spend at a glance')).action(
    (flags: ControlFlags) =>
      perform(flags, async (output) => {
        const { showStatus } = await import('../control/observe.ts')
        await showStatus(flags, output)
      }),
  )
}

function addNode(program: Command): void {
  const node = program.command('node').summary('machines: list, show, drain, remove').description('Machines.')
  asking(node.command('ls').summary('list machines')).action((flags: ControlFlags) =>
    perform(flags, async (output) => {
      const { listNodes } = await import('../control/nodes.ts')
      await listNodes(flags, output)
    }),
  )
  asking(node.command('show').summary('everything about a machine').argument('<name>', 'name or id')).action(
    (name: string, flags: ControlFlags) =>
      perform(flags, async (output) => {
        const { showNode } = await import('../control/nodes.ts')
        await showNode(name, flags, output)
      }),
  )
  const actions = {
    drain: 'move everything off a machine and keep it empty',
    cordon: 'keep new stages away from a machine',
    uncordon: 'let a cordoned or drained machine take stages again',
    quarantine: 'take stages off a machine that is not to be trusted',
    release: 'end the quarantines of a machine',
  } as const
  for (const [action, summary] of Object.entries(actions) as [keyof typeof actions, string][]) {
    asking(node.command(action).summary(summary).argument('<name>', 'name or id'))
      .option('--reason <text>', 'why, for other people')
      .action((name: string, flags: Why) =>
        perform(flags, async (output) => {
          const { changeNode } = await import('../control/nodes.ts')
          await changeNode(action, name, flags, output)
        }),
      )
  }
  asking(node.command('rm').summary('remove a machine for good').argument('<name>', 'name or id'))
    .option('--force', 'even if stages run there; they are placed elsewhere')
    .option('--reason <text>', 'why, for other people')
    .action((name: string, flags: Why & { readonly force?: true }) =>
      perform(flags, async (output) => {
        const { removeNode } = await import('../control/nodes.ts')
        await removeNode(name, flags, output)
      }),
    )
}

/** Adds what concerns registered models to the command that looks into files. */
export function addModelRegistry(model: Command): void {
  asking(
    model
      .command('add')
      .summary('register a model from a path or the Hugging Face hub')
      .argument('<source>', "path on the control plane's machine, or owner/name on the hub"),
  )
    .option('--name <name>', 'name of the model (default: what the source states)')
    .option('--file <file>', 'one file of the repository, such as a GGUF file')
    .option('--revision <name>', 'branch, tag or commit')
    .option('--no-wait', 'return at once; the download goes on')
    .addHelpText(
      'after',
      examples(
        ['deos model add ./models/deos-7m', 'a folder of this machine'],
        ['deos model add Qwen/Qwen3-0.6B-GGUF --file Qwen3-0.6B-Q8_0.gguf', 'from the hub'],
      ),
    )
    .action((source: string, flags: AddModelFlags) =>
      perform(flags, async (output, { signal }) => {
        const { addModel } = await import('../control/models.ts')
        await addModel(source, flags, output, signal)
      }),
    )
  asking(model.command('ls').summary('list registered models')).action((flags: ControlFlags) =>
    perform(flags, async (output) => {
      const { listModels } = await import('../control/models.ts')
      await listModels(flags, output)
    }),
  )
  asking(
    model.command('retry').summary('go on with a registration that failed').argument('<name>', 'name or id'),
  ).action((name: string, flags: ControlFlags) =>
    perform(flags, async (output) => {
      const { retryModel } = await import('../control/models.ts')
      await retryModel(name, flags, output)
    }),
  )
  asking(
    model.command('rm').summary('remove a model that nothing uses').argument('<name>', 'name or id'),
  ).action((name: string, flags: ControlFlags) =>
    perform(flags, async (output) => {
      const { removeModel } = await import('../control/models.ts')
      await removeModel(name, flags, output)
    }),
  )
}

function addDeploy(program: Command): void {
  asking(
    program
      .command('deploy')
      .summary('keep a model running')
      .description('Deploys a registered model: the control plane places it and keeps it running.')
      .argument('<model>', 'name or id of a registered model'),
  )
    .option('--name <name>', "name of the deployment (default: after the model's)")
    .option('--served-as <name>', "the model's name in requests")
    .option('--context <tokens>', "longest session (default: the model's)", wholeNumber(1))
    .option('--sessions <n>', 'of that length at once on one replica', wholeNumber(1))
    .option('--precision <type>', 'native, or a weight type such as Q8_0')
    .addOption(
      new Option(
        '--activations <coding>',
        'hidden states between stages: as they are, in fewer bytes, or rounded, which changes answers',
      ).choices(activationCodings),
    )
    .option('--replicas <n>', 'to begin with', wholeNumber(0, 1000))
    .option('--min <n>', 'fewest replicas', wholeNumber(0, 1000))
    .option('--max <n>', 'most replicas', wholeNumber(1, 1000))
    .option('--prefill-replicas <n>', 'besides, for prompts only; they hand KV over', wholeNumber(0, 1000))
    .addOption(
      new Option(
        '--kv-quality <word>',
        'KV on its way from these: exact; smaller and checked; or so, and better copies behind',
      ).choices(['lossless', 'guarded', 'refined']),
    )
    .option('--region <name>', 'only there; several times', collect, [])
    .option('--provider <name>', 'only by them; several times', collect, [])
    .option('--ttft <ms>', 'wished time to the first token', number(0.1, 600_000))
    .option('--tpot <ms>', 'wished time per token', number(0.1, 600_000))
    .option('--dry-run', 'show where it would be placed and what it would cost')
    .option('--no-wait', 'return at once')
    .addHelpText(
      'after',
      examples(
        ['deos deploy deos-7m --dry-run', 'where it would run'],
        ['deos deploy qwen3-8b --precision Q8_0 --min 1 --max 3 --region eu-north', 'in one region'],
        ['deos deploy qwen3-8b --prefill-replicas 1', 'prompts on the machines that multiply fastest'],
      ),
    )
    .action((model: string, flags: DeployFlags) =>
      perform(flags, async (output, { signal }) => {
        const { deploy } = await import('../control/deployments.ts')
        await deploy(model, flags, output, signal)
      }),
    )
}

function addDeployment(program: Command): void {
  const deployment = program
    .command('deployment')
    .summary('deployments: list, show, scale, rollback, logs, remove')
    .description('Deployments.')
  const named = (command: Command) => asking(command.argument('<name>', 'name or id'))
  asking(deployment.command('ls').summary('list deployments')).action((flags: ControlFlags) =>
    perform(flags, async (output) => {
      const { listDeployments } = await import('../control/deployments.ts')
      await listDeployments(flags, output)
    }),
  )
  named(deployment.command('show').summary('a deployment with replicas and stages')).action(
    (name: string, flags: ControlFlags) =>
      perform(flags, async (output) => {
        const { showDeployment } = await import('../control/deployments.ts')
        await showDeployment(name, flags, output)
      }),
  )
  named(deployment.command('scale').summary('change the number of replicas'))
    .argument('<replicas>', 'how many', wholeNumber(0, 1000))
    .action((name: string, replicas: number, flags: ControlFlags) =>
      perform(flags, async (output) => {
        const { scaleDeployment } = await import('../control/deployments.ts')
        await scaleDeployment(name, replicas, flags, output)
      }),
    )
  named(deployment.command('rollback').summary('go back to an earlier revision'))
    .option('--to <revision>', 'which (default: the one before)', wholeNumber(1))
    .action((name: string, flags: ControlFlags & { readonly to?: number }) =>
      perform(flags, async (output) => {
        const { rollbackDeployment } = await import('../control/deployments.ts')
        await rollbackDeployment(name, flags, output)
      }),
    )
  named(deployment.command('pause').summary('free its machines and keep the wish'))
    .option('--reason <text>', 'why, for other people')
    .action((name: string, flags: Why) =>
      perform(flags, async (output) => {
        const { pauseDeployment } = await import('../control/deployments.ts')
        await pauseDeployment(name, flags, output)
      }),
    )
  named(deployment.command('resume').summary('start a paused deployment again')).action(
    (name: string, flags: ControlFlags) =>
      perform(flags, async (output) => {
        const { resumeDeployment } = await import('../control/deployments.ts')
        await resumeDeployment(name, flags, output)
      }),
  )
  named(deployment.command('logs').summary('log lines of its stages'))
    .option('-f, --follow', 'go on as lines are written')
    .option('-n, --lines <n>', 'how many of the past', wholeNumber(1, 200), DEFAULT_LINES)
    .action((name: string, flags: ControlFlags & { readonly follow?: true; readonly lines: number }) =>
      perform(flags, async (output, { signal }) => {
        const { showLogs } = await import('../control/deployments.ts')
        await showLogs(name, flags, output, signal)
      }),
    )
  named(deployment.command('rm').summary('let sessions finish, then remove it'))
    .option('--reason <text>', 'why, for other people')
    .action((name: string, flags: Why) =>
      perform(flags, async (output) => {
        const { removeDeployment } = await import('../control/deployments.ts')
        await removeDeployment(name, flags, output)
      }),
    )
}

const periods = ['day', 'week', 'month', 'total'] as const

/** `12.50 USD/month`. */
function budget(text: string): CreateKeyFlags['budget'] {
  const match = /^(\d{1,9})(?:\.(\d{1,6}))? ?([A-Z][A-Z0-9]{2,7})\/(\w+)$/.exec(text)
  const period = periods.find((each) => each === match?.[4])
  if (!match || period === undefined) {
    throw new InvalidArgumentError(
      `It must be an amount for a ${periods.join(', ')}, such as 12.50USD/month.`,
    )
  }
  const [, whole, decimals = '', currency] = match
  const microUnits = String(BigInt(`${whole}${decimals.padEnd(6, '0')}`))
  return { limit: { currency: currency!, microUnits }, period }
}

const oneOfAll =
  <const T extends string>(names: readonly T[]) =>
  (text: string, before: readonly T[]): readonly T[] => [...before, oneOf(names)(text)]

function addKey(program: Command): void {
  const key = program.command('key').summary('API keys: create, list, revoke').description('API keys.')
  asking(
    key
      .command('create')
      .summary('create a key and print it, this once')
      .argument('<name>', 'what it is for'),
  )
    .option(
      '--scope <scope>',
      `${keyScopes.join(', ')}; several times (default: inference)`,
      oneOfAll<KeyScope>(keyScopes),
      [],
    )
    .option('--expires <days>', 'after so many days', wholeNumber(1, 3650))
    .option('--budget <amount>', 'most it may spend, such as 12.50USD/month', budget)
    .option('--requests-per-minute <n>', 'limit', wholeNumber(1))
    .option('--tokens-per-minute <n>', 'limit', wholeNumber(1))
    .action((name: string, flags: CreateKeyFlags) =>
      perform(flags, async (output) => {
        const { createKey } = await import('../control/keys.ts')
        await createKey(name, flags, output)
      }),
    )
  asking(key.command('ls').summary('list keys'))
    .option('--all', 'also revoked and expired ones')
    .action((flags: ControlFlags & { readonly all?: true }) =>
      perform(flags, async (output) => {
        const { listKeys } = await import('../control/keys.ts')
        await listKeys(flags, output)
      }),
    )
  asking(
    key.command('revoke').summary('revoke a key at once and for good').argument('<name>', 'name or id'),
  ).action((name: string, flags: ControlFlags) =>
    perform(flags, async (output) => {
      const { revokeKey } = await import('../control/keys.ts')
      await revokeKey(name, flags, output)
    }),
  )
}

function addJoinToken(program: Command): void {
  const token = program
    .command('join-token')
    .summary('what machines join with: create, list, revoke')
    .description('Join tokens.')
  asking(
    token
      .command('create')
      .summary('create a token and print the line to paste on machines')
      .argument('<name>', 'what it is for'),
  )
    .option('--machines <n>', 'how many may join with it (default: any number)', wholeNumber(1, 100_000))
    .option('--hours <n>', 'how long it works', wholeNumber(1, 8760), 24)
    .option('--region <name>', 'where machines stand that do not say so themselves')
    .option('--provider <name>', 'who runs them')
    .action((name: string, flags: CreateJoinTokenFlags) =>
      perform(flags, async (output) => {
        const { createJoinToken } = await import('../control/join-tokens.ts')
        await createJoinToken(name, flags, output)
      }),
    )
  asking(token.command('ls').summary('list join tokens'))
    .option('--all', 'also those that no longer work')
    .action((flags: ControlFlags & { readonly all?: true }) =>
      perform(flags, async (output) => {
        const { listJoinTokens } = await import('../control/join-tokens.ts')
        await listJoinTokens(flags, output)
      }),
    )
  asking(
    token
      .command('revoke')
      .summary('revoke a token; machines that joined stay')
      .argument('<name>', 'name or id'),
  ).action((name: string, flags: ControlFlags) =>
    perform(flags, async (output) => {
      const { revokeJoinToken } = await import('../control/join-tokens.ts')
      await revokeJoinToken(name, flags, output)
    }),
  )
}

function addEvents(program: Command): void {
  asking(program.command('events').summary('what happened to machines, deployments and settings'))
    .option('-f, --follow', 'go on as things happen')
    .option('-n, --lines <n>', 'how many of the past', wholeNumber(1, 200), DEFAULT_LINES)
    .option(
      '--type <type>',
      'only this, such as machine.joined; several times',
      oneOfAll<EventType>(eventTypes),
      [],
    )
    .action(
      (
        flags: ControlFlags & {
          readonly follow?: true
          readonly lines: number
          readonly type: readonly EventType[]
        },
      ) =>
        perform(flags, async (output, { signal }) => {
          const { showEvents } = await import('../control/observe.ts')
          await showEvents(flags, output, signal)
        }),
    )
}

function addLogin(program: Command): void {
  program
    .command('login')
    .summary('remember a control plane and a key for it')
    .description('Asks for an API key, tries it, and remembers both in ~/.deos/account.json.')
    .argument('<url>', 'control plane, such as https://deos.example.org')
    .addOption(new Option('--api-key <key>', 'key; better in the environment').env('DEOS_API_KEY'))
    .addOption(jsonOption())
    .action((url: string, flags: ControlFlags) =>
      perform(flags, async (output) => {
        const { login } = await import('../control/login.ts')
        await login(url, flags.apiKey, output)
      }),
    )
  program
    .command('logout')
    .summary('forget them')
    .addOption(jsonOption())
    .action((flags: ControlFlags) =>
      perform(flags, async (output) => {
        const { logout } = await import('../control/login.ts')
        logout(output)
      }),
    )
}
