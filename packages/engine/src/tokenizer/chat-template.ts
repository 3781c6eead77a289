import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja'
import { type ChatMessage, templateMessage } from './chat-message.ts'
import { ChatTemplateError } from './errors.ts'
import { strftime } from './strftime.ts'

export interface ChatTemplateOptions {
  /** Jinja source; `null` uses {@link PLAIN_TEMPLATE}. */
  readonly template: string | null
  /** Used instead when tools are offered; `null` if one template serves both. */
  readonly toolTemplate: string | null
  readonly bosToken: string | null
  readonly eosToken: string | null
  /** Today, for templates that state the date. */
  readonly now: () => Date
}

export interface Conversation {
  readonly messages: readonly ChatMessage[]
  /** Functions the model may call, as OpenAI writes them. */
  readonly tools?: readonly object[]
  /** How templates get the arguments of calls that messages hold as JSON text: as values, or as they are. */
  readonly argumentsAs?: 'values' | 'text'
  /** Whether the text ends where the assistant is to speak. Default true. */
  readonly addGenerationPrompt?: boolean
  /** Further variables a template knows, such as `enable_thinking`; they do not replace the ones above. */
  readonly variables?: Readonly<Record<string, unknown>>
}

/**
 * For models that bring no template: the contents, an empty line between them. A base model continues that as text. An
 * instruction model needs the template it was trained with, and answers badly without.
 */
export const PLAIN_TEMPLATE =
  "{% for message in messages %}{{ message.content }}{{ '' if loop.last else '\\n\\n' }}{% endfor %}"

export const MAX_TEMPLATE_LENGTH = 256 * 1024

/** Nodes of the template's syntax tree, and turns of its loops, that one rendering may take. */
const MAX_STEPS = 500_000
const MAX_RENDER_MS = 2_000
/** How many steps pass between looks at the clock. */
const CLOCK_STEPS = 64
const MAX_RANGE = 10_000
const MAX_LIST_LENGTH = 100_000
const MAX_STRING_LENGTH = 8 * 1024 * 1024

type Program = ReturnType<typeof parse>
type Value = ReturnType<Interpreter['evaluate']>
type Statement = NonNullable<Parameters<Interpreter['evaluate']>[0]>
type For = Statement & { readonly iterable: Statement }

/**
 * A model's chat template. The rendered text holds control tokens as text: encode it with `parseSpecial` and without
 * `addSpecial`, as vLLM and transformers do. As there, a message that spells out a control token then becomes that
 * token; a gateway that must not allow this refuses such messages.
 *
 * A template comes with a model and is code, but can reach nothing outside its variables. Rendering is bounded by
 * steps, time, `range` and the size of single values; what remains is that a hostile template may hold its thread for
 * some seconds and take some hundred megabytes before a bound stops it.
 */
export class ChatTemplate {
  readonly #options: ChatTemplateOptions
  readonly #program: Program
  readonly #toolProgram: Program | null

  /** @throws ChatTemplateError if a template is too long or no Jinja */
  constructor(options: ChatTemplateOptions) {
    this.#options = options
    this.#program = parseTemplate(options.template ?? PLAIN_TEMPLATE)
    this.#toolProgram = options.toolTemplate === null ? null : parseTemplate(options.toolTemplate)
  }

  /** @throws ChatTemplateError with what the template says against the conversation */
  render(conversation: Conversation): string {
    const { messages, tools, argumentsAs = 'values', addGenerationPrompt = true, variables } = conversation
    const offersTools = tools !== undefined && tools.length > 0
    const environment = this.#environment({
      ...variables,
      messages: messages.map((message, index) => templateMessage(message, index, argumentsAs)),
      tools: offersTools ? tools : null,
      documents: null,
      add_generation_prompt: addGenerationPrompt,
      bos_token: this.#options.bosToken ?? '',
      eos_token: this.#options.eosToken ?? '',
    })
    const program = offersTools && this.#toolProgram !== null ? this.#toolProgram : this.#program
    try {
      const { value } = new BoundedInterpreter(environment).run(program)
      if (typeof value === 'string') return value
    } catch (error) {
      throw renderingError(error)
    }
    throw new ChatTemplateError('gave no text.', 'Check the template of the model.')
  }

  #environment(variables: Readonly<Record<string, unknown>>): Environment {
    const environment = new Environment()
    const globals: Record<string, unknown> = {
      ...variables,
      true: true,
      True: true,
      false: false,
      False: false,
      none: null,
      None: null,
      range: boundedRange,
      strftime_now: (format: unknown) => strftime(this.#options.now(), String(format)),
      raise_exception: (message: unknown) => {
        throw new TemplateRefusal(String(message))
      },
    }
    for (const [name, value] of Object.entries(globals)) {
      if (name !== 'namespace') environment.set(name, value)
    }
    return environment
  }
}

/** What a template says by `raise_exception`. */
class TemplateRefusal extends Error {}

class LimitExceeded extends Error {}

/** Counts what it evaluates: every statement and expression passes through `evaluate`. */
class BoundedInterpreter extends Interpreter {
  readonly #deadline = performance.now() + MAX_RENDER_MS
  /** Expressions that loops run over. */
  readonly #loopedOver = new WeakSet<Statement>()
  #steps = 0
  #nextLook = CLOCK_STEPS

  override evaluate(statement: Statement | undefined, environment: Environment): Value {
    this.#count()
    if (statement?.type === 'For') this.#loopedOver.add((statement as For).iterable)
    const result = super.evaluate(statement, environment)
    const value: unknown = result.value
    if (typeof value === 'string' && value.length > MAX_STRING_LENGTH) {
      throw new LimitExceeded(`builds a text of ${value.length} characters`)
    }
    if (Array.isArray(value)) {
      if (value.length > MAX_LIST_LENGTH) throw new LimitExceeded(`builds a list of ${value.length} entries`)
      if (statement !== undefined && this.#loopedOver.has(statement)) this.#steps += value.length
    }
    return result
  }

  #count(): void {
    this.#steps += 1
    if (this.#steps > MAX_STEPS) throw new LimitExceeded(`takes more than ${MAX_STEPS} steps`)
    if (this.#steps < this.#nextLook) return
    this.#nextLook = this.#steps + CLOCK_STEPS
    if (performance.now() > this.#deadline) throw new LimitExceeded(`takes longer than ${MAX_RENDER_MS} ms`)
  }
}

function parseTemplate(template: string): Program {
  if (template.length > MAX_TEMPLATE_LENGTH) {
    throw new ChatTemplateError(
      `has ${template.length} characters; at most ${MAX_TEMPLATE_LENGTH} are allowed.`,
      'Use another template for this model.',
    )
  }
  try {
    return parse(tokenize(template, { lstrip_blocks: true, trim_blocks: true }))
  } catch (error) {
    throw new ChatTemplateError(
      `cannot be read: ${messageOf(error)}`,
      'Check the template of the model; it must be Jinja as Hugging Face uses it.',
      error,
    )
  }
}

function renderingError(error: unknown): ChatTemplateError {
  if (error instanceof TemplateRefusal) {
    return new ChatTemplateError(
      `refused the messages: ${error.message}`,
      'Change the messages to what the model expects.',
    )
  }
  const reason = error instanceof RangeError ? 'nests too deeply or grows too large' : messageOf(error)
  return new ChatTemplateError(
    `failed on the messages: ${reason}`,
    'Change the messages, or check the template of the model.',
    error,
  )
}

function boundedRange(start: number, stop?: number, step = 1): number[] {
  const [first, end] = stop === undefined || stop === null ? [0, start] : [start, stop]
  const length = Math.max(0, Math.ceil((end - first) / step))
  if (!(length <= MAX_RANGE)) throw new LimitExceeded(`asks for a range of ${length} numbers`)
  return Array.from({ length }, (_, i) => first + i * step)
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
