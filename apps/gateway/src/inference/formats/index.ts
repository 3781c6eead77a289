import type { Conversation } from '@deos/engine/tokenizer'
import type { ChatFormat, FormatName, ReasoningMarkers, ToolFormat } from './chat-format.ts'
import { deepseek, deepseekPlain } from './deepseek.ts'
import { gemma } from './gemma.ts'
import { generic } from './generic.ts'
import { glm } from './glm.ts'
import { harmony } from './harmony.ts'
import { hermes } from './hermes.ts'
import { llama } from './llama.ts'
import { mistral, mistralNamed } from './mistral.ts'
import { phi } from './phi.ts'
import { qwenCoder } from './qwen-coder.ts'
import { probeTemplate } from './template-probe.ts'

/** In this order: a format stands before those that its templates could be mistaken for. */
const toolFormats: readonly ToolFormat[] = [
  harmony,
  deepseekPlain,
  deepseek,
  mistralNamed,
  mistral,
  qwenCoder,
  glm,
  hermes,
  phi,
  llama,
  gemma,
  generic,
]

const reasoningMarkers: readonly ReasoningMarkers[] = [
  { open: '<think>', close: '</think>' },
  { open: '[THINK]', close: '[/THINK]' },
]

/** What is known of a model's chat template. */
export interface TemplateFacts {
  /** Text of all templates of the model, one after another; empty if it has none. */
  readonly text: string
  /** @throws Error if the template refuses the conversation */
  render(conversation: Conversation): string
}

/** How to speak with a model, read from its chat template. @param name - the format, if a person knows better */
export function detectFormat(template: TemplateFacts, name: FormatName | null): ChatFormat {
  const tools = toolFormats.find((format) =>
    name === null ? format.matches(template.text) : format.name === name,
  )!
  const markers = reasoningMarkers.find(
    ({ open, close }) => template.text.includes(open) || template.text.includes(close),
  )
  return {
    tools,
    reasoning: tools.marksAll ? null : (markers ?? null),
    abilities: probeTemplate((conversation) =>
      template.render(tools.arrange?.(conversation) ?? conversation),
    ),
  }
}

/** The format of a name; for tests and models without a template. */
export const toolFormat = (name: FormatName): ToolFormat =>
  toolFormats.find((format) => format.name === name)!
