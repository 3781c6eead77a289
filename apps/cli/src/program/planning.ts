import { type Command, Option } from 'commander'
import { type MachineLoss, machineLoss, wholeNumber } from '../option-parsers.ts'
import { type CommonFlags, examples, jsonOption, perform } from './parts.ts'

interface PlanFlags extends CommonFlags {
  readonly fleet: string
  readonly model: string
  readonly workload: string
  readonly html?: string
  readonly seed: number
}

const withFiles = (command: Command): Command =>
  command
    .requiredOption('--fleet <file>', 'machines and links, as YAML or JSON')
    .requiredOption('--model <path>', 'config.json, a folder with one, or a GGUF file')
    .requiredOption('--workload <file>', 'what is asked of them, as YAML or JSON')
    .option('--seed <n>', 'of what is drawn; the same gives the same', wholeNumber(0, 2 ** 31), 1)
    .addOption(jsonOption())

const htmlOption = () =>
  new Option('--html <file>', 'write a report with pictures, one file that needs no other')

const files = '--fleet examples/planner/fleet.yaml --model examples/planner/llama-2-70b.json'

/** Plans for fleets that need not exist. */
export function addPlanning(program: Command): void {
  const plan = program
    .command('plan')
    .summary('plan how a fleet serves or trains a model, and why so')
    .description(
      'Reads what machines there are, what model, and what is asked of them; prints the plan, what it is predicted to do,\n' +
        'what binds it, what was rejected, and how far it is from what is possible at all.',
    )
  withFiles(
    plan.command('serve').summary('for answering requests').description('Plans a model for requests.'),
  )
    .addOption(htmlOption())
    .option('--no-simulate', 'let the cost model alone decide, without playing the best plans')
    .addHelpText(
      'after',
      examples(
        [`deos plan serve ${files} --workload examples/planner/chat.yaml`, 'as a table'],
        [
          `deos plan serve ${files} --workload examples/planner/chat.yaml --html plan.html`,
          'and with pictures',
        ],
      ),
    )
    .action((flags: PlanFlags & { readonly simulate: boolean }) =>
      perform(flags, async (output) => {
        const { planServe } = await import('../commands/plan-serve.ts')
        await planServe({ ...flags, html: flags.html ?? null }, output)
      }),
    )
  withFiles(plan.command('train').summary('for training').description('Plans the training of a model.'))
    .addOption(htmlOption())
    .addHelpText(
      'after',
      examples([
        'deos plan train --fleet examples/planner/four-regions.yaml --model examples/planner/gpt3-xl.json --workload examples/planner/pretrain.yaml',
        '64 accelerators in four regions',
      ]),
    )
    .action((flags: PlanFlags) =>
      perform(flags, async (output) => {
        const { planTrain } = await import('../commands/plan-train.ts')
        await planTrain({ ...flags, html: flags.html ?? null }, output)
      }),
    )
  withFiles(
    plan
      .command('compare')
      .summary('beside published methods')
      .description(
        'Serving: equal split, Petals, SWARM, separate pipelines and the largest flow (Helix), each simulated at the rate\n' +
          'with the most goodput. Training: ZeRO-3, Megatron and DT-FM, each played for a step.',
      ),
  )
    .addHelpText(
      'after',
      examples([`deos plan compare ${files} --workload examples/planner/chat.yaml`, 'who serves more']),
    )
    .action((flags: PlanFlags) =>
      perform(flags, async (output) => {
        const { planCompare } = await import('../commands/plan-compare.ts')
        await planCompare(flags, output)
      }),
    )
  program
    .command('simulate')
    .summary('play a plan under its workload, or under another')
    .description(
      'Plays requests through a plan for serving, or a step of a plan for training, event by event, in time of its own.',
    )
    .requiredOption('--plan <file>', 'what "deos plan serve --json" or "deos plan train --json" wrote')
    .option('--workload <file>', 'another workload than the one it was planned for')
    .option('--seed <n>', 'of requests that are drawn', wholeNumber(0, 2 ** 31), 1)
    .option(
      '--requests <n>',
      'how many are played, the first third only to warm up (default: 1000, or six times those under way at once)',
      wholeNumber(3, 1_000_000),
    )
    .option(
      '--lose <machine@s[+s]>',
      'lose a machine after so many seconds, for so many or for good; may be given again',
      machineLoss,
      [],
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        [
          `deos plan serve ${files} --workload examples/planner/chat.yaml --json > plan.json`,
          'first, a plan',
        ],
        ['deos simulate --plan plan.json --seed 7', 'then play it'],
        ['deos simulate --plan plan.json --lose a100-1@120+60', 'without a machine for a minute'],
      ),
    )
    .action(
      (
        flags: CommonFlags & {
          readonly plan: string
          readonly workload?: string
          readonly seed: number
          readonly requests?: number
          readonly lose: readonly MachineLoss[]
        },
      ) =>
        perform(flags, async (output) => {
          const { simulate } = await import('../commands/simulate.ts')
          await simulate(
            {
              ...flags,
              workload: flags.workload ?? null,
              requests: flags.requests ?? null,
              faults: flags.lose,
            },
            output,
          )
        }),
    )
}
