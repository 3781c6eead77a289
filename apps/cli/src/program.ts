import { type ActivationCoding, activationCodings } from '@deos/domain'
import type { KvType } from '@deos/engine/kv-type'
import { Command, CommanderError, Option } from 'commander'
import { EXIT_USAGE } from './cli-error.ts'
import type { ServeOptions } from './commands/serve.ts'
import { readAccount } from './control/account.ts'
import { collect, namedPath, number, oneOf, size, wholeNumber, wholeNumberOr } from './option-parsers.ts'
import { Output } from './output.ts'
import { embeddedModel, version } from './package-root.ts'
import { addControl, addModelRegistry } from './program/control.ts'
import { type CommonFlags, examples, jsonOption, perform } from './program/parts.ts'
import { addPlanning } from './program/planning.ts'
import { addProcesses } from './program/processes.ts'
import type { AdapterFile } from './ring/serving-settings.ts'

// Commands are imported when they run: `--help` must not wait for the tensor library.

interface ServerFlags extends CommonFlags {
  readonly url?: string
  readonly model?: string
  readonly apiKey?: string
  readonly maxTokens?: number
  readonly temperature?: number
  readonly topP?: number
  readonly seed?: number
  readonly stop: readonly string[]
}

interface UpFlags extends CommonFlags {
  readonly model: string
  readonly name?: string
  readonly machines: number
  readonly even?: true
  readonly host: string
  readonly controlPort: number
  readonly port: number
  readonly context?: number
  readonly sessions: number
  readonly weights: string
  readonly threads: number
  readonly ephemeral?: true
  readonly wan?: string
}

interface ServeFlags extends CommonFlags {
  readonly model: string
  readonly name?: string
  readonly workers: number
  readonly plan?: string
  readonly replica?: number
  readonly even?: true
  readonly host: string
  readonly port: number
  readonly apiKey?: string
  readonly context?: number
  readonly weights?: string
  readonly kv: KvType | 'auto'
  readonly kvMemory?: number
  readonly threads: number
  readonly device?: string
  readonly maxSessions?: number
  readonly maxQueued: number
  readonly prefixCache: boolean
  readonly prefillChunk: number | 'auto'
  readonly lora: readonly AdapterFile[]
  readonly activations: ActivationCoding
}

interface CalibrateFlags extends CommonFlags {
  readonly text?: string
  readonly out: string
  readonly tokens: number
  readonly threads: number
}

const CALIBRATE_EXAMPLE = 'deos model calibrate models/deos-7m -o deos-7m.kv'
const DEFAULT_PORT = 8000
const DEFAULT_CONTROL_PORT = 7000
const DEFAULT_URL = `http://127.0.0.1:${DEFAULT_PORT}`

function addUp(program: Command): void {
  program
    .command('up')
    .summary('run everything on this computer: console, API, machines and a model')
    .description(
      'Starts a control plane with its console, a gateway, and machines that differ in speed and memory on purpose;\n' +
        'they join, are measured, and serve a model together, as machines of a real fleet do.',
    )
    .addOption(
      new Option('--model <path>', 'GGUF file or Hugging Face folder')
        .env('DEOS_MODEL')
        .default(embeddedModel, 'the embedded deos-7m'),
    )
    .option('--name <id>', 'name of the model (default: its file or folder)')
    .option('--machines <n>', 'how many machines this computer plays', wholeNumber(1, 32), 4)
    .option('--even', 'machines that are all alike')
    .addOption(
      new Option('--host <address>', 'address of console and APIs').env('DEOS_HOST').default('127.0.0.1'),
    )
    .addOption(
      new Option('--port <n>', 'port where models answer; 0 takes any free one')
        .env('DEOS_PORT')
        .argParser(wholeNumber(0, 65_535))
        .default(DEFAULT_PORT),
    )
    .addOption(
      new Option('--control-port <n>', 'port of console and control plane; 0 takes any free one')
        .env('DEOS_CONTROL_PORT')
        .argParser(wholeNumber(0, 65_535))
        .default(DEFAULT_CONTROL_PORT),
    )
    .option('--context <tokens>', "longest session (default: the model's, at most 8192)", wholeNumber(1))
    .option('--sessions <n>', 'of that length at once on one replica', wholeNumber(1, 1024), 4)
    .option('--weights <type>', 'convert matrices at load: native, F16, Q8_0, Q4_K, …', 'native')
    .option('--threads <n>', 'threads per machine', wholeNumber(1, 512), 1)
    .option('--ephemeral', 'keep nothing: no database, no identities')
    .option('--wan <profile>', 'emulate a network between machines: aws-4-regions, homes, …, or a JSON file')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['deos up', 'the embedded model on 4 machines; the console at http://127.0.0.1:7000'],
        ['deos up --model ~/models/qwen3-0.6b --weights Q8_0', 'your own model'],
        ['deos up --ephemeral', 'nothing stays'],
        ['deos up --wan aws-4-regions', 'machines in four regions, as far apart as those are'],
      ),
    )
    .action((flags: UpFlags) =>
      perform(flags, async (output, interrupts) => {
        const { checkWeightType } = await import('./commands/weight-type.ts')
        const { up } = await import('./commands/up.ts')
        await up(
          {
            model: flags.model,
            name: flags.name ?? null,
            machines: flags.machines,
            even: flags.even === true,
            host: flags.host,
            controlPort: flags.controlPort,
            gatewayPort: flags.port,
            contextTokens: flags.context ?? null,
            sessions: flags.sessions,
            precision: checkWeightType(flags.weights),
            threads: flags.threads,
            ephemeral: flags.ephemeral === true,
            databaseUrl: process.env.DATABASE_URL || null,
            wan: flags.wan ?? null,
          },
          output,
          interrupts,
        )
      }),
    )
}

function addServe(program: Command): void {
  program
    .command('serve')
    .summary('serve one model over worker processes of this machine, with nothing else')
    .description(
      'Starts worker processes that together hold one model, none of them all of it, and in front of them\n' +
        'APIs as OpenAI, Anthropic and Ollama have them. Workers differ in speed and memory on purpose, as machines of a real fleet do.',
    )
    .addOption(
      new Option('--model <path>', 'GGUF file or Hugging Face folder')
        .env('DEOS_MODEL')
        .default(embeddedModel, 'the embedded deos-7m'),
    )
    .option('--name <id>', 'name under which the API offers the model (default: its file or folder)')
    .option('--workers <n>', 'how many workers share the layers', wholeNumber(1, 64), 4)
    .option(
      '--plan <file>',
      'stages and their ranks from a file, in place of --workers: what "deos plan serve --json" printed, or stages alone',
    )
    .option(
      '--replica <n>',
      'only this replica of the plan, counted from 0 (default: all)',
      wholeNumber(0, 1_000_000),
    )
    .option('--even', 'workers that are all alike and use all their speed')
    .addOption(
      new Option('--port <n>', 'port of the API; 0 takes any free one')
        .env('DEOS_PORT')
        .argParser(wholeNumber(0, 65_535))
        .default(DEFAULT_PORT),
    )
    .addOption(new Option('--host <address>', 'address of the API').env('DEOS_HOST').default('127.0.0.1'))
    .addOption(
      new Option('--api-key <key>', 'key that clients must send (default: none)').env('DEOS_API_KEY'),
    )
    .option('--context <tokens>', "longest sequence (default: the model's, at most 8192)", wholeNumber(1))
    .option(
      '--weights <type>',
      "convert matrices at load: native, F16, Q8_0, Q4_K, … (default: native, or the plan's)",
    )
    .option(
      '--kv <type>',
      'type of the KV cache: auto, F16, F32, Q8_0, Q4_0',
      oneOf(['auto', 'F16', 'F32', 'Q8_0', 'Q4_0']),
      'auto',
    )
    .option(
      '--kv-memory <size>',
      'KV memory of all workers together, such as 512M (default: by the context)',
      size,
    )
    .option(
      '--threads <n>',
      'threads per worker; more than there are free cores slows everything',
      wholeNumber(1, 512),
      1,
    )
    .option('--device <name>', 'compute device as "deos doctor" names it (default: CPU)')
    .option('--no-prefix-cache', 'forget the KV of a session when it ends')
    .option(
      '--prefill-chunk <tokens>',
      'most prompt tokens in one step; auto measures what running answers bear',
      wholeNumberOr('auto', 1),
      'auto',
    )
    .option(
      '--lora <name=path>',
      'LoRA adapter offered as a model of that name; several times',
      namedPath,
      [],
    )
    .option(
      '--activations <coding>',
      'hidden states between stages: f32, lossless (same answers, fewer bytes), int8 or int4h (answers change)',
      oneOf(activationCodings),
      'f32',
    )
    .option(
      '--max-sessions <n>',
      "answers worked on at once (default: 64, or as the plan's batch says)",
      wholeNumber(1, 65_536),
    )
    .option(
      '--max-queued <n>',
      'requests that wait for their turn; more get status 429',
      wholeNumber(0, 65_536),
      256,
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['deos serve', 'the embedded model over 4 workers at http://127.0.0.1:8000'],
        ['deos serve --workers 2 --port 9000', 'two workers, another port'],
        ['deos serve --model ~/models/qwen3-0.6b --weights Q8_0 --even', 'your own model at full speed'],
      ),
    )
    .action((flags: ServeFlags) =>
      perform(flags, async (output, interrupts) => {
        const { checkWeightType } = await import('./commands/weight-type.ts')
        const { serve } = await import('./commands/serve.ts')
        const weightType = flags.weights === undefined ? null : checkWeightType(flags.weights)
        await serve(serveOptions(flags, weightType), output, interrupts)
      }),
    )
}

function serveOptions(flags: ServeFlags, weightType: string | null): ServeOptions {
  return {
    model: flags.model,
    name: flags.name ?? null,
    workers: flags.workers,
    plan: flags.plan ?? null,
    replica: flags.replica ?? null,
    even: flags.even === true,
    host: flags.host,
    port: flags.port,
    apiKey: flags.apiKey || null,
    contextLength: flags.context ?? null,
    weightType,
    kvType: flags.kv,
    kvBytes: flags.kvMemory ?? null,
    threads: flags.threads,
    device: flags.device ?? null,
    maxSessions: flags.maxSessions ?? null,
    maxQueued: flags.maxQueued,
    serving: {
      prefixCache: flags.prefixCache,
      prefillChunkTokens: flags.prefillChunk,
      adapters: flags.lora,
      activations: flags.activations,
    },
  }
}

/** Flags of commands that ask a server. */
function addServerOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--url <url>',
        'address of the server (default: the one of "deos up" or "deos login", else http://127.0.0.1:8000)',
      ).env('DEOS_GATEWAY_URL'),
    )
    .option(
      '--model <name>',
      "name of a model there (default: its first), or a model's path: then it is served just for this command",
    )
    .addOption(new Option('--api-key <key>', 'key of the server').env('DEOS_API_KEY'))
    .option('--max-tokens <n>', 'longest answer', wholeNumber(1))
    .option('--temperature <t>', '0 always takes the likeliest token', number(0, 2))
    .option(
      '--top-p <p>',
      'sample from the likeliest tokens that together have this probability',
      number(0, 1),
    )
    .option('--seed <n>', 'the same seed gives the same answer', wholeNumber(0))
    .option('--stop <text>', 'end before this text; up to four times', collect, [])
}

/** Without a flag, the gateway that belongs to the account; its key goes nowhere else. */
function serverOf({ url, apiKey }: ServerFlags): { readonly url: string; readonly apiKey: string | null } {
  if (url !== undefined) return { url, apiKey: apiKey || null }
  const account = readAccount()
  const known = account?.gatewayUrl ?? null
  return { url: known ?? DEFAULT_URL, apiKey: apiKey || (known === null ? null : account!.key) }
}

const serverOptions = (flags: ServerFlags) => ({
  ...serverOf(flags),
  model: flags.model ?? null,
  maxTokens: flags.maxTokens ?? null,
  temperature: flags.temperature ?? null,
  topP: flags.topP ?? null,
  seed: flags.seed ?? null,
  stop: flags.stop,
})

const DEFAULT_ANSWER_TOKENS = 128

function addRun(program: Command): void {
  addServerOptions(
    program
      .command('run')
      .summary('generate one answer')
      .description('Sends a prompt to a running server and writes the answer as it comes.')
      .argument('[prompt]', 'text to continue; - or nothing reads standard input'),
  )
    .option('--chat', "put the prompt through the model's chat template")
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['deos run "Ownership in Rust means that"', 'continue a text'],
        ['deos run --chat "Why is the sky blue?"', 'ask an instruct model'],
        ['deos run --model ./models/deos-1m "fn main() {"', 'serve a model just for this prompt'],
        ['echo "Once upon a time" | deos run --json', 'prompt from a pipe, text and timings as JSON'],
      ),
    )
    .action((prompt: string | undefined, flags: ServerFlags & { readonly chat?: true }) =>
      perform(flags, async (output, interrupts) => {
        const { run } = await import('./commands/run.ts')
        const options = serverOptions(flags)
        const maxTokens = options.maxTokens ?? DEFAULT_ANSWER_TOKENS
        await run(prompt ?? null, { ...options, maxTokens, chat: flags.chat ?? null }, output, interrupts)
      }),
    )
}

function addChat(program: Command): void {
  addServerOptions(
    program
      .command('chat')
      .summary('talk with a model')
      .description('A conversation in the terminal. Piped input is taken line by line, each line one turn.'),
  )
    .option('--system <text>', 'instruction that precedes the conversation')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['deos chat', 'talk with the model at http://127.0.0.1:8000'],
        ['deos chat --url http://10.0.0.7:8000 --system "Answer briefly."', 'another server, an instruction'],
        ['printf "Hello\\nAnd you?\\n" | deos chat --json', 'two turns from a pipe'],
      ),
    )
    .action((flags: ServerFlags & { readonly system?: string }) =>
      perform(flags, async (output, interrupts) => {
        const { chat } = await import('./commands/chat.ts')
        await chat({ ...serverOptions(flags), system: flags.system ?? null }, output, interrupts)
      }),
    )
}

function addModel(program: Command): Command {
  const model = program
    .command('model')
    .summary('register models; look into model files and convert them')
    .description('Models of the control plane, and model files.')
  model
    .command('inspect')
    .summary('layers, parameters, bytes and FLOPs of a model')
    .description('Reads a model without loading its weights and prints what it is made of.')
    .argument('<path>', 'GGUF file or Hugging Face folder')
    .addOption(jsonOption())
    .addHelpText('after', examples(['deos model inspect models/deos-7m', 'the embedded model']))
    .action((path: string, flags: CommonFlags) =>
      perform(flags, async (output) => {
        const { inspect } = await import('./commands/inspect.ts')
        await inspect(path, output)
      }),
    )
  model
    .command('convert')
    .summary('write a model as one GGUF file')
    .description('Converts a GGUF file or a Hugging Face folder to one GGUF file, which llama.cpp loads too.')
    .argument('<path>', 'GGUF file or Hugging Face folder')
    .requiredOption(
      '--type <type>',
      'type of the matrices: native, F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q4_K, …',
    )
    .requiredOption('-o, --output <file>', 'GGUF file to write')
    .option('--force', 'replace the file if it exists')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(['deos model convert models/deos-7m --type Q8_0 -o deos-7m-q8.gguf', 'eight bits per weight']),
    )
    .action((path: string, flags: CommonFlags & { type: string; output: string; force?: true }) =>
      perform(flags, async (output, interrupts) => {
        const { checkWeightType } = await import('./commands/weight-type.ts')
        const { convert } = await import('./commands/convert.ts')
        const type = checkWeightType(flags.type)
        await convert(path, { type, output: flags.output, force: flags.force === true }, output, interrupts)
      }),
    )
  model
    .command('calibrate')
    .summary('learn how a model’s KV can be made small for hand-overs between rings')
    .description(
      'Runs a model over a text and writes one file that workers of both rings take as "calibration":\n' +
        'with it KV travels in fewer bytes without loss, and in far fewer with a loss that is measured.',
    )
    .argument('<path>', 'GGUF file or Hugging Face folder')
    .option('--text <file>', 'text like what the model will read (default: one that comes with DeOS)')
    .option('-o, --out <file>', 'file to write', 'kv-calibration.bin')
    .option('--tokens <n>', 'tokens of the text to read', wholeNumber(2048), 65_536)
    .option('--threads <n>', 'threads to compute with', wholeNumber(1, 512), 2)
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples([CALIBRATE_EXAMPLE, 'the embedded model, with the text that comes with it']),
    )
    .action((path: string, flags: CalibrateFlags) =>
      perform(flags, async (output, interrupts) => {
        const { calibrate } = await import('./commands/calibrate.ts')
        const { text, out, tokens, threads } = flags
        await calibrate(path, { text: text ?? null, output: out, tokens, threads }, output, interrupts)
      }),
    )
  return model
}

function addDoctor(program: Command): void {
  program
    .command('doctor')
    .summary('check whether this machine has what DeOS needs')
    .description(
      'Looks at Node, the tensor library and its devices, memory, disk, models and the port, with a remedy for each problem.',
    )
    .option('--port <n>', 'port to look at', wholeNumber(0, 65_535), DEFAULT_PORT)
    .option('--host <address>', 'address of that port', '127.0.0.1')
    .addOption(jsonOption())
    .addHelpText('after', examples(['deos doctor', 'all checks'], ['deos doctor --json', 'for a bug report']))
    .action((flags: CommonFlags & { readonly port: number; readonly host: string }) =>
      perform(flags, async (output) => {
        const { doctor } = await import('./commands/doctor.ts')
        await doctor({ host: flags.host, port: flags.port }, output)
      }),
    )
}

function addBench(program: Command): void {
  program
    .command('bench')
    .summary('measure, beside what else is there')
    .description(
      'Runs a benchmark. Flags after the name are its own; see "deos bench engine --help".\n' +
        'Without a name it lists them; "all" runs every one and writes bench/results/<date>.json.',
    )
    .argument('[name]', 'which, or all')
    .argument('[flags...]', 'flags of the benchmark, such as --quick and --json')
    .passThroughOptions()
    .allowUnknownOption()
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        ['deos bench', 'list them'],
        ['deos bench engine --quick', 'the engine beside llama.cpp, in about a minute'],
        ['deos bench all --quick --json', 'everything, as JSON'],
      ),
    )
    .action(async (name: string | undefined, flags: readonly string[], own: CommonFlags) => {
      const { bench } = await import('./commands/bench.ts')
      const json = own.json === true || (name === 'all' && flags.includes('--json'))
      const rest = name === 'all' ? flags.filter((flag) => flag !== '--json') : flags
      // A bench answers signals itself; this process only waits for it.
      process.on('SIGINT', () => undefined)
      await bench(name ?? null, rest, new Output(json))
    })
}

/** The whole command line. */
export function createProgram(): Command {
  const program = new Command('deos')
    .description('DeOS serves large models over many machines as if they were one.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .enablePositionalOptions()
    .configureHelp({ showGlobalOptions: false, sortSubcommands: false })
    .configureOutput({ outputError: () => undefined })
    .exitOverride()
  addUp(program)
  addServe(program)
  addRun(program)
  addChat(program)
  addProcesses(program)
  addControl(program)
  addModelRegistry(addModel(program))
  addPlanning(program)
  addDoctor(program)
  addBench(program)
  program.addHelpText(
    'after',
    examples(
      ['deos up', 'start everything'],
      ['deos run "Ownership in Rust means that"', 'then, in another terminal'],
      ['deos help up', 'everything about a command'],
    ),
  )
  return program
}

/** What a wrong command line is told; `null` if it only asked for help or the version. */
export function usageMessage(error: CommanderError): string | null {
  // Help asked for, or printed because a subcommand is missing.
  if (error.exitCode === 0 || error.code === 'commander.help') return null
  return error.message
    .replace(/^error: /, '')
    .replace(/^./, (first) => first.toUpperCase())
    .replace(/\n\((.*)\)$/, '. $1')
}

export { CommanderError, EXIT_USAGE }
