import { anthropicError } from '../anthropic/error-shape.ts'
import { ollamaError } from '../ollama/error-shape.ts'
import { errorBody } from '../openai/error-body.ts'
import type { Problem } from './problem.ts'

/** How the API under a path writes its errors. */
export interface ErrorShape {
  /** A path, and all paths below it. */
  readonly prefix: string
  body(problem: Problem): unknown
}

/** Shapes of their own; every other path answers as OpenAI does. */
const errorShapes: readonly ErrorShape[] = [
  { prefix: '/v1/messages', body: anthropicError },
  { prefix: '/api', body: ollamaError },
]

const isUnder = (path: string, prefix: string): boolean => path === prefix || path.startsWith(`${prefix}/`)

/** @param url - path of the request, with or without its query */
export function errorBodyFor(url: string, problem: Problem): unknown {
  const path = url.split('?', 1)[0]!
  return (errorShapes.find(({ prefix }) => isUnder(path, prefix))?.body ?? errorBody)(problem)
}
