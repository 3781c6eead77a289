import type { IdSource } from '@deos/domain'
import { unixSeconds } from '@deos/service'
import type { FastifyInstance } from 'fastify'
import type { Answering, Call } from '../http/answering.ts'
import type { ModelCatalog, TextModel } from '../inference/text-model.ts'
import type { CallFacts } from './call-facts.ts'
import { chatMessages, chatRequest, refuseUnsupported as refuseUnsupportedChat } from './chat-request.ts'
import { ChatStream, chatBody } from './chat-response.ts'
import { findModel, samplingFor, stopStrings } from './common-fields.ts'
import {
  completionRequest,
  defaultMaxTokens,
  prompts,
  promptText,
  promptTokens,
  refuseUnsupported as refuseUnsupportedCompletion,
} from './completion-request.ts'
import { CompletionStream, completionBody } from './completion-response.ts'
import { parseRequest } from './parse-request.ts'

export interface OpenAiServices {
  readonly models: ModelCatalog
  readonly answering: Answering
  readonly ids: IdSource
}

const modelObject = (model: TextModel) => ({
  id: model.id,
  object: 'model',
  created: model.createdSeconds,
  owned_by: 'deos',
  context_length: model.contextLength,
})

async function prepareChat(services: OpenAiServices, body: unknown, signal: AbortSignal): Promise<Call> {
  const fields = parseRequest(chatRequest, body)
  refuseUnsupportedChat(fields)
  const model = findModel(services.models, fields.model)
  const sampling = samplingFor(fields, model, fields.logprobs ? (fields.top_logprobs ?? 0) : null)
  const prompt = await model.encode(model.renderChat(chatMessages(fields)), 'template', signal)
  const facts: CallFacts = {
    id: services.ids.next('chatcmpl'),
    createdSeconds: unixSeconds(),
    model,
    promptTokens: prompt.length,
    answers: fields.n ?? 1,
    logprobs: fields.logprobs === true,
    includeUsage: fields.stream_options?.include_usage === true,
  }
  const answers = Array.from({ length: facts.answers }, (_, index) => ({
    id: `${facts.id}.${index}`,
    prompt,
    maxTokens: fields.max_completion_tokens ?? fields.max_tokens ?? null,
    stopStrings: stopStrings(fields.stop),
    ignoreEos: fields.ignore_eos === true,
    sampling: sampling(index),
    deadlineMs: services.answering.limits.requestTimeoutMs,
  }))
  return {
    request: { model, answers },
    promptTokens: facts.promptTokens,
    stream: fields.stream ? new ChatStream(facts) : null,
    body: (answers) => chatBody(facts, answers),
  }
}

async function prepareCompletion(
  services: OpenAiServices,
  body: unknown,
  signal: AbortSignal,
): Promise<Call> {
  const fields = parseRequest(completionRequest, body)
  refuseUnsupportedCompletion(fields)
  const model = findModel(services.models, fields.model)
  const sampling = samplingFor(fields, model, fields.logprobs ?? null)
  const n = fields.n ?? 1
  const list = prompts(fields)
  const encoded = await Promise.all(list.map((prompt) => promptTokens(prompt, model, signal)))
  const echoes = list.flatMap((prompt) => Array<string>(n).fill(fields.echo ? promptText(prompt, model) : ''))
  const facts: CallFacts = {
    id: services.ids.next('cmpl'),
    createdSeconds: unixSeconds(),
    model,
    promptTokens: encoded.reduce((sum, { length }) => sum + length, 0),
    answers: list.length * n,
    logprobs: fields.logprobs != null,
    includeUsage: fields.stream_options?.include_usage === true,
  }
  const answers = encoded.flatMap((prompt, promptIndex) =>
    Array.from({ length: n }, (_, choice) => ({
      id: `${facts.id}.${promptIndex * n + choice}`,
      prompt,
      maxTokens: fields.max_tokens ?? defaultMaxTokens,
      stopStrings: stopStrings(fields.stop),
      ignoreEos: fields.ignore_eos === true,
      sampling: sampling(choice),
      deadlineMs: services.answering.limits.requestTimeoutMs,
    })),
  )
  return {
    request: { model, answers },
    promptTokens: facts.promptTokens,
    stream: fields.stream ? new CompletionStream(facts, echoes) : null,
    body: (answers) => completionBody(facts, answers, echoes),
  }
}

/** `/v1/models`, `/v1/chat/completions` and `/v1/completions` as OpenAI documents them. */
export function registerOpenAi(app: FastifyInstance, services: OpenAiServices): void {
  const { models, answering } = services
  app.get('/v1/models', async () => ({ object: 'list', data: [...models.values()].map(modelObject) }))
  // Names may hold slashes, written plainly or as %2F.
  app.get<{ Params: { '*': string } }>('/v1/models/*', async ({ params }) =>
    modelObject(findModel(models, params['*'])),
  )
  app.post('/v1/chat/completions', (request, reply) =>
    answering.answer(request, reply, (signal) => prepareChat(services, request.body, signal)),
  )
  app.post('/v1/completions', (request, reply) =>
    answering.answer(request, reply, (signal) => prepareCompletion(services, request.body, signal)),
  )
}
