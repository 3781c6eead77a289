import { unixSeconds } from '@deos/service'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Call } from '../http/answering.ts'
import type { ApiServices } from '../http/api-services.ts'
import { collectChats, collectTexts } from '../inference/answers.ts'
import { prepareChat } from '../inference/chat/chat-call.ts'
import type { ChatEvent } from '../inference/chat/chat-events.ts'
import { outputGrammar } from '../inference/chat/constraint.ts'
import { promptTokens } from '../inference/prompt.ts'
import { generateText, mostTokens, type TextEvent, type TextRequest } from '../inference/text-generation.ts'
import type { ModelSummary } from '../inference/text-model.ts'
import type { CallFacts } from './call-facts.ts'
import { chatRequest, readChat, refuseUnsupported as refuseUnsupportedChat } from './chat-request.ts'
import { ChatStream, chatBody } from './chat-response.ts'
import { findModel, modelNotFound, priorityOf, samplingFor, stopStrings } from './common-fields.ts'
import {
  completionRequest,
  defaultMaxTokens,
  prompts,
  promptText,
  refuseUnsupported as refuseUnsupportedCompletion,
} from './completion-request.ts'
import { CompletionStream, completionBody } from './completion-response.ts'
import { outputFormat } from './output-format.ts'
import { parseRequest } from './parse-request.ts'

const modelObject = (model: ModelSummary) => ({
  id: model.id,
  object: 'model',
  created: model.createdSeconds,
  owned_by: 'deos',
  parent: model.parent,
  context_length: model.contextLength,
})

async function chatCall(
  services: ApiServices,
  { body, visit }: FastifyRequest,
  signal: AbortSignal,
): Promise<Call<ChatEvent>> {
  const fields = parseRequest(chatRequest, body)
  refuseUnsupportedChat(fields)
  const model = findModel(services.models, visit, fields.model)
  const id = services.ids.next('chatcmpl')
  const request = readChat(fields, {
    id,
    tenant: visit.caller.tenant,
    deadlineMs: services.answering.limits.requestTimeoutMs,
    sampling: samplingFor(fields, model, fields.logprobs ? (fields.top_logprobs ?? 0) : null),
  })
  const prepared = await prepareChat(model, request, signal)
  const answers = prepared.answers.length
  const facts: CallFacts = {
    id,
    createdSeconds: unixSeconds(),
    model,
    promptTokens: prepared.promptTokens,
    answers,
    answersPerPrompt: answers,
    logprobs: fields.logprobs === true,
    includeUsage: fields.stream_options?.include_usage === true,
  }
  return {
    ...prepared,
    stream: fields.stream ? new ChatStream(facts) : null,
    body: async (events) => chatBody(facts, await collectChats(events, answers)),
  }
}

async function completionCall(
  services: ApiServices,
  { body, visit }: FastifyRequest,
  signal: AbortSignal,
): Promise<Call<TextEvent>> {
  const fields = parseRequest(completionRequest, body)
  refuseUnsupportedCompletion(fields)
  const model = findModel(services.models, visit, fields.model)
  const sampling = samplingFor(fields, model, fields.logprobs ?? null)
  const n = fields.n ?? 1
  const list = prompts(fields)
  const grammar = outputGrammar(outputFormat(fields), fields.ignore_eos === true)
  const encoded = await Promise.all(list.map((prompt) => promptTokens(prompt, 'prompt', model, signal)))
  const echoes = list.flatMap((prompt) => Array<string>(n).fill(fields.echo ? promptText(prompt, model) : ''))
  const facts: CallFacts = {
    id: services.ids.next('cmpl'),
    createdSeconds: unixSeconds(),
    model,
    promptTokens: encoded.reduce((sum, { length }) => sum + length, 0),
    answers: list.length * n,
    answersPerPrompt: n,
    logprobs: fields.logprobs != null,
    includeUsage: fields.stream_options?.include_usage === true,
  }
  const maxTokens = fields.max_tokens ?? defaultMaxTokens
  const requests = encoded.flatMap((prompt, promptIndex) =>
    Array.from(
      { length: n },
      (_, choice): TextRequest => ({
        id: `${facts.id}.${promptIndex * n + choice}`,
        prompt,
        maxTokens,
        stopStrings: stopStrings(fields.stop),
        ignoreEos: fields.ignore_eos === true,
        visibleTokens: [],
        grammar,
        sampling: sampling(choice),
        deadlineMs: services.answering.limits.requestTimeoutMs,
        tenant: visit.caller.tenant,
        priority: priorityOf(fields),
      }),
    ),
  )
  return {
    model,
    operation: 'text_completion',
    promptTokens: facts.promptTokens,
    mostTokens: requests.reduce((sum, { prompt }) => sum + mostTokens(prompt.length, maxTokens, model), 0),
    bounded: maxTokens !== null,
    constrained: grammar !== null,
    answers: requests.map((request) => (signal) => generateText(model, request, signal)),
    stream: fields.stream ? new CompletionStream(facts, echoes) : null,
    body: async (events) => completionBody(facts, await collectTexts(events, facts.answers), echoes),
  }
}

/** `/v1/models`, `/v1/chat/completions` and `/v1/completions` as OpenAI documents them. */
export function registerOpenAi(app: FastifyInstance, services: ApiServices): void {
  const { models, answering } = services
  app.get('/v1/models', async ({ visit }) => ({
    object: 'list',
    data: models.list(visit).map(modelObject),
  }))
  // Names may hold slashes, written plainly or as %2F.
  app.get<{ Params: { '*': string } }>('/v1/models/*', async ({ params, visit }) => {
    const model = models.summary(visit, params['*'])
    if (model === null) throw modelNotFound(models, visit, params['*'])
    return modelObject(model)
  })
  app.post('/v1/chat/completions', (request, reply) =>
    answering.answer(request, reply, (signal) => chatCall(services, request, signal)),
  )
  app.post('/v1/completions', (request, reply) =>
    answering.answer(request, reply, (signal) => completionCall(services, request, signal)),
  )
}
