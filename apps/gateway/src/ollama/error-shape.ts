import type { Problem } from '../http/problem.ts'
import { problemText } from '../http/problem-text.ts'

/** An error as Ollama writes it. */
export const ollamaError = (problem: Problem) => ({ error: problemText(problem) })
