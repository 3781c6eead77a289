import { z } from 'zod'
import { unsupported } from '../http/problem.ts'
import type { ChatMessage } from '../inference/chat/chat-request.ts'
import { wellFormed } from '../openai/common-fields.ts'
import { commonFields, refuseImages } from './common-request.ts'

/** The body of `/api/generate`. */
export const generateRequest = z.object({
  ...commonFields,
  prompt: z.string().nullish(),
  system: z.string().nullish(),
  raw: z.boolean().nullish(),
  suffix: z.string().nullish(),
  images: z.array(z.unknown()).nullish(),
  context: z.array(z.number()).nullish(),
})

/** With something to say. */
export type GenerateRequest = z.infer<typeof generateRequest> & { readonly prompt: string }

/** @throws Problem naming the first parameter this server does not offer */
export function refuseGenerate({ images, suffix, context }: z.infer<typeof generateRequest>): void {
  refuseImages(images, 'images')
  if (suffix) throw unsupported('suffix', "Insertion before a 'suffix' is")
  if (context?.length) {
    throw unsupported('context', "Going on from a 'context' is", 'Send the conversation to /api/chat.')
  }
}

/** The conversation as every API has it. */
export function generateMessages({ system, prompt }: GenerateRequest): readonly ChatMessage[] {
  const said: ChatMessage = { role: 'user', content: wellFormed(prompt) }
  return system ? [{ role: 'system', content: wellFormed(system) }, said] : [said]
}
