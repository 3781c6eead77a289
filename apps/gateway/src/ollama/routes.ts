import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Call } from '../http/answering.ts'
import type { ApiServices } from '../http/api-services.ts'
import { parseJsonBody } from '../http/json-body.ts'
import { badRequest } from '../http/problem.ts'
import type { AnswerSource } from '../inference/answers.ts'
import { type PreparedChat, prepareChat } from '../inference/chat/chat-call.ts'
import type { ChatEvent } from '../inference/chat/chat-events.ts'
import { type ChatMessage, type ChatRequest, plainChat } from '../inference/chat/chat-request.ts'
import { outputGrammar } from '../inference/chat/constraint.ts'
import { promptTokens } from '../inference/prompt.ts'
import { generateText, mostTokens } from '../inference/text-generation.ts'
import type { TextModel } from '../inference/text-model.ts'
import { samplingFor, wellFormed } from '../openai/common-fields.ts'
import { parseRequest } from '../openai/parse-request.ts'
import { chatMessages, chatRequest, chatTools } from './chat-request.ts'
import {
  AnswerFacts,
  chatShape,
  generateShape,
  LineStream,
  loadedBody,
  type Shape,
  Stopwatch,
  wholeBody,
} from './chat-response.ts'
import {
  type CommonRequest,
  limitsOf,
  modelNamed,
  outputFormat,
  reasoningOf,
  refuseCommon,
  samplingFields,
} from './common-request.ts'
import { embed, embedOne } from './embed.ts'
import {
  type GenerateRequest,
  generateMessages,
  generateRequest,
  refuseGenerate,
} from './generate-request.ts'
import { modelBody, runningBody, showBody, showRequest } from './models.ts'

/** What chats, prompts and raw prompts have in common. */
function generation(services: ApiServices, { visit }: FastifyRequest, fields: CommonRequest) {
  return {
    ...limitsOf(fields),
    id: services.ids.next('ollama'),
    tenant: visit.caller.tenant,
    priority: 0,
    ignoreEos: false,
    deadlineMs: services.answering.limits.requestTimeoutMs,
  }
}

function conversation(
  services: ApiServices,
  request: FastifyRequest,
  fields: CommonRequest,
  model: TextModel,
  messages: readonly ChatMessage[],
): ChatRequest {
  return {
    ...plainChat,
    ...generation(services, request, fields),
    messages,
    output: outputFormat(fields),
    reasoning: reasoningOf(fields),
    sampling: [samplingFor(samplingFields(fields), model, null)(0)],
  }
}

/** Continues the prompt as it stands, without a template. */
async function prepareRaw(
  services: ApiServices,
  request: FastifyRequest,
  fields: GenerateRequest,
  model: TextModel,
  signal: AbortSignal,
): Promise<PreparedChat> {
  const grammar = outputGrammar(outputFormat(fields), false)
  const prompt = await promptTokens(wellFormed(fields.prompt), 'prompt', model, signal)
  const text = {
    ...generation(services, request, fields),
    prompt,
    visibleTokens: [],
    grammar,
    sampling: samplingFor(samplingFields(fields), model, null)(0),
  }
  const answer: AnswerSource<ChatEvent> = async function* (stop) {
    for await (const event of generateText(model, text, stop)) {
      yield event.type === 'delta' ? { type: 'content', text: event.text, tokens: event.tokens } : event
    }
  }
  return {
    model,
    operation: 'text_completion',
    promptTokens: prompt.length,
    mostTokens: mostTokens(prompt.length, text.maxTokens, model),
    bounded: text.maxTokens !== null,
    constrained: grammar !== null,
    answers: [answer],
  }
}

/** Ollama streams unless told not to. */
function respond(
  services: ApiServices,
  request: FastifyRequest,
  reply: FastifyReply,
  fields: CommonRequest,
  shape: Shape,
  prepare: (signal: AbortSignal) => Promise<PreparedChat>,
): Promise<unknown> {
  const watch = new Stopwatch()
  return services.answering.answer(request, reply, async (signal): Promise<Call<ChatEvent>> => {
    const prepared = await prepare(signal)
    const facts = new AnswerFacts(fields.model, prepared.promptTokens, watch)
    return {
      ...prepared,
      stream: fields.stream === false ? null : new LineStream(facts, shape),
      body: (events) => wholeBody(facts, shape, events),
    }
  })
}

async function chat(services: ApiServices, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const fields = parseRequest(chatRequest, request.body)
  refuseCommon(fields)
  const model = modelNamed(services.models, request.visit, fields.model)
  if (!fields.messages?.length) return loadedBody(model, fields.model, chatShape)
  const asked = conversation(services, request, fields, model, chatMessages(fields.messages))
  return respond(services, request, reply, fields, chatShape, (signal) =>
    prepareChat(model, { ...asked, tools: chatTools(fields) }, signal),
  )
}

async function generate(
  services: ApiServices,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const fields = parseRequest(generateRequest, request.body)
  refuseCommon(fields)
  refuseGenerate(fields)
  const model = modelNamed(services.models, request.visit, fields.model)
  if (!fields.prompt) return loadedBody(model, fields.model, generateShape)
  const given: GenerateRequest = { ...fields, prompt: fields.prompt }
  return respond(services, request, reply, fields, generateShape, (signal) =>
    fields.raw
      ? prepareRaw(services, request, given, model, signal)
      : prepareChat(model, conversation(services, request, fields, model, generateMessages(given)), signal),
  )
}

/** The release of Ollama whose API this is; clients look at it before they use what is newer. */
const OLLAMA_API_VERSION = '0.12.0'

/**
 * Ollama reads JSON whatever the header says, and its documentation sends it without. Browsers could then send it from any
 * page without asking first, so they must still name the type.
 */
function readAnyType(api: FastifyInstance): void {
  api.addContentTypeParser('*', { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) => {
    if (request.headers.origin === undefined) return parseJsonBody(body)
    throw badRequest('The request body must be JSON.', {
      status: 415,
      code: 'unsupported_media_type',
      hint: 'Send the header "content-type: application/json".',
    })
  })
}

/** Ollama's `/api`: chat, generate, embed, and what there is to talk to. */
export function registerOllama(app: FastifyInstance, services: ApiServices): void {
  const { answering, models } = services
  app.register(async (api) => {
    readAnyType(api)
    api.get('/api/version', async () => ({ version: OLLAMA_API_VERSION }))
    api.get('/api/tags', async ({ visit }) => ({ models: models.list(visit).map(modelBody) }))
    api.get('/api/ps', async ({ visit }) => ({ models: models.list(visit).map(runningBody) }))
    api.post('/api/show', async ({ body, visit }) =>
      showBody(modelNamed(models, visit, parseRequest(showRequest, body))),
    )
    api.post('/api/chat', (request, reply) => chat(services, request, reply))
    api.post('/api/generate', (request, reply) => generate(services, request, reply))
    api.post('/api/embed', (request, reply) =>
      answering.run(request, reply, (signal) => embed(services, request, signal)),
    )
    api.post('/api/embeddings', (request, reply) =>
      answering.run(request, reply, (signal) => embedOne(services, request, signal)),
    )
  })
}
