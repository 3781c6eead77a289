import type { Problem } from '../http/problem.ts'

/** An error in the shape every OpenAI client parses. */
export function errorBody(problem: Problem) {
  return {
    error: {
      message: problem.hint ? `${problem.message} ${problem.hint}` : problem.message,
      type: problem.type,
      param: problem.param,
      code: problem.publicCode,
    },
  }
}
