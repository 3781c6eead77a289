import { readFile } from 'node:fs/promises'
import { DomainError, describeError } from '@deos/domain'
import { type Document, LineCounter, parseDocument, visit } from 'yaml'
import type { z } from 'zod'
import { closest } from '../text/closest.ts'

/** A fleet, workload or plan file that cannot be used; says where. */
export class PlanFileError extends DomainError {
  readonly code = 'PLAN_FILE_INVALID'
  readonly retriable = false

  constructor(
    readonly file: string,
    /** From 1; `null` if the file as a whole is meant. */
    readonly line: number | null,
    /** `machines[1].count`; empty if the file as a whole is meant. */
    readonly field: string,
    what: string,
    hint: string,
  ) {
    super(`${file}${line === null ? '' : `:${line}`}: ${field === '' ? '' : `${field}: `}${what}`, hint)
  }
}

type Path = readonly PropertyKey[]

/** A YAML or JSON file whose fields know their lines. */
export class PlanFile {
  readonly #lines = new LineCounter()
  readonly #document: Document.Parsed
  readonly value: unknown

  /** @throws PlanFileError if it is no YAML; JSON is */
  constructor(
    readonly path: string,
    text: string,
  ) {
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, merge: true })
    const [error] = this.#document.errors
    if (error !== undefined) {
      const { line } = this.#lines.linePos(error.pos[0])
      throw new PlanFileError(path, line, '', error.message, 'Write YAML or JSON.')
    }
    visit(this.#document, {
      Alias: (_, node) => {
        if (node.resolve(this.#document) !== undefined) return
        const line = node.range ? this.#lines.linePos(node.range[0]).line : null
        throw new PlanFileError(path, line, '', `Nothing is named &${node.source}.`, 'Name it before *.')
      },
    })
    try {
      this.value = this.#document.toJS({ maxAliasCount: 100 })
    } catch (cause) {
      throw new PlanFileError(path, null, '', describeError(cause), 'Write YAML or JSON without loops.')
    }
  }

  /** @throws PlanFileError if it cannot be read */
  static async read(path: string): Promise<PlanFile> {
    let text: string
    try {
      text = await readFile(path, 'utf8')
    } catch (cause) {
      throw new PlanFileError(path, null, '', describeError(cause), 'Give a file that can be read.')
    }
    return new PlanFile(path, text)
  }

  /** @throws PlanFileError for the first field that is wrong */
  parse<T>(schema: z.ZodType<T>): T {
    const parsed = schema.safeParse(this.value)
    if (parsed.success) return parsed.data
    const issue = parsed.error.issues[0]!
    if (issue.code === 'unrecognized_keys') {
      const key = issue.keys[0]!
      const near = closest(key, knownKeys(schema, issue.path))
      const path = [...issue.path, key]
      throw this.error(
        path,
        'There is no such field.',
        near === null ? 'Leave it out.' : `Did you mean "${near}"?`,
      )
    }
    throw this.error(issue.path, `${issue.message}.`, 'See docs/planner.md for what the file contains.')
  }

  error(path: Path, what: string, hint: string): PlanFileError {
    return new PlanFileError(this.path, this.lineOf(path), fieldOf(path), what, hint)
  }

  /** Of the field, or of the nearest around it that is there. */
  lineOf(path: Path): number | null {
    const keys = path.map((key) => (typeof key === 'symbol' ? String(key) : key))
    for (let length = keys.length; length >= 0; length -= 1) {
      const offset = offsetOf(this.#document.getIn(keys.slice(0, length), true))
      if (offset !== null) return this.#lines.linePos(offset).line
    }
    return null
  }
}

function offsetOf(node: unknown): number | null {
  if (typeof node !== 'object' || node === null || !('range' in node)) return null
  const { range } = node
  return Array.isArray(range) && typeof range[0] === 'number' ? range[0] : null
}

export const fieldOf = (path: Path): string =>
  path.reduce<string>(
    (text, key) =>
      typeof key === 'number' ? `${text}[${key}]` : text === '' ? String(key) : `${text}.${String(key)}`,
    '',
  )

/** Names of the fields that the schema has at a path; none where several kinds are possible. */
function knownKeys(schema: z.ZodType, path: Path): readonly string[] {
  let here: unknown = schema
  for (const key of path) {
    here = inner(here)
    if (!isRecord(here)) return []
    here = typeof key === 'number' ? here.element : isRecord(here.shape) ? here.shape[String(key)] : undefined
  }
  here = inner(here)
  return isRecord(here) && isRecord(here.shape) ? Object.keys(here.shape) : []
}

/** Without what says that it may be missing. */
function inner(schema: unknown): unknown {
  let here = schema
  while (isRecord(here) && isRecord(here.def) && 'innerType' in here.def) here = here.def.innerType
  return here
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null
