import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Call } from '../http/answering.ts'
import type { ApiServices } from '../http/api-services.ts'
import { prepareChat } from '../inference/chat/chat-call.ts'
import type { ChatEvent } from '../inference/chat/chat-events.ts'
import { type ChatRequest, plainChat } from '../inference/chat/chat-request.ts'
import type { TextModel } from '../inference/text-model.ts'
import { findModel, samplingFor, wellFormed } from '../openai/common-fields.ts'
import { parseRequest } from '../openai/parse-request.ts'
import {
  type CountRequest,
  chatMessages,
  chatTools,
  countRequest,
  messageRequest,
  outputFormat,
  reasoningOf,
  refuseUnsupported,
  toolChoice,
} from './message-request.ts'
import { type MessageFacts, MessageStream, messageBody } from './message-response.ts'

function chatRequest(
  fields: CountRequest,
  model: TextModel,
  request: FastifyRequest,
  services: ApiServices,
): ChatRequest {
  const { temperature, top_p, top_k } = fields
  return {
    ...plainChat,
    id: services.ids.next('msg'),
    tenant: request.visit.caller.tenant,
    priority: 0,
    messages: chatMessages(fields),
    tools: chatTools(fields),
    toolChoice: toolChoice(fields),
    parallelToolCalls: fields.tool_choice?.disable_parallel_tool_use !== true,
    output: outputFormat(fields),
    reasoning: reasoningOf(fields),
    sampling: [samplingFor({ model: fields.model, temperature, top_p, top_k }, model, null)(0)],
    maxTokens: fields.max_tokens ?? null,
    stopStrings: (fields.stop_sequences ?? []).map(wellFormed),
    deadlineMs: services.answering.limits.requestTimeoutMs,
  }
}

async function prepareMessage(
  services: ApiServices,
  request: FastifyRequest,
  signal: AbortSignal,
): Promise<Call<ChatEvent>> {
  const fields = parseRequest(messageRequest, request.body)
  refuseUnsupported(fields)
  const model = findModel(services.models, request.visit, fields.model)
  const chat = chatRequest(fields, model, request, services)
  const prepared = await prepareChat(model, chat, signal)
  const facts: MessageFacts = {
    id: chat.id,
    model: model.id,
    promptTokens: prepared.promptTokens,
    maxTokens: fields.max_tokens,
    showThoughts: fields.thinking?.display !== 'omitted',
  }
  return {
    ...prepared,
    stream: fields.stream ? new MessageStream(facts) : null,
    body: (events) => messageBody(facts, events),
  }
}

async function countTokens(
  services: ApiServices,
  request: FastifyRequest,
  signal: AbortSignal,
): Promise<unknown> {
  const fields = parseRequest(countRequest, request.body)
  const model = findModel(services.models, request.visit, fields.model)
  const { promptTokens } = await prepareChat(model, chatRequest(fields, model, request, services), signal)
  return { input_tokens: promptTokens }
}

/** `/v1/messages` and `/v1/messages/count_tokens` as Anthropic documents them. */
export function registerAnthropic(app: FastifyInstance, services: ApiServices): void {
  const { answering } = services
  app.register(async (api) => {
    api.addHook('onRequest', async (request, reply) => {
      reply.header('request-id', request.id)
    })
    api.post('/v1/messages', (request, reply) =>
      answering.answer(request, reply, (signal) => prepareMessage(services, request, signal)),
    )
    api.post('/v1/messages/count_tokens', (request, reply) =>
      answering.run(request, reply, (signal) => countTokens(services, request, signal)),
    )
  })
}
