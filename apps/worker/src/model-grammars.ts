import { Worker } from 'node:worker_threads'
import { DomainError } from '@deos/domain'
import { GrammarHost, type GrammarVocabulary } from '@deos/engine/grammar'
import type { GrammarService } from './constrained-engine.ts'

export interface ModelGrammarsOptions {
  readonly modelPath: string
  /** Built entry of the thread that follows grammars. */
  readonly grammarEntry: string
  /** Built entry of the thread that reads the vocabulary. */
  readonly vocabularyEntry: string
}

/** Nothing can be constrained: what the tokens of this model write is not known. */
export class NoVocabularyError extends DomainError {
  readonly code = 'NO_VOCABULARY'
  readonly retriable = false
}

/** The grammars of one model. Its vocabulary is read, and the thread started, when the first is asked for. */
export class ModelGrammars implements GrammarService {
  private starting: Promise<GrammarHost> | null = null
  private host: GrammarHost | null = null

  constructor(private readonly options: ModelGrammarsOptions) {}

  /** @throws NoVocabularyError if the model has no tokenizer; those of `GrammarHost.prepare` */
  async prepare(specText: string, maxTokens: number): Promise<void> {
    this.starting ??= this.start()
    await (await this.starting).prepare(specText, maxTokens)
  }

  async open(key: number, specText: string, generated: Int32Array, maxTokens: number): Promise<void> {
    await this.running().open(key, specText, generated, maxTokens)
  }

  async mask(key: number): Promise<Uint32Array> {
    return this.running().mask(key)
  }

  accept(key: number, token: number): void {
    this.running().accept(key, token)
  }

  close(key: number): void {
    this.host?.close(key)
  }

  async stop(): Promise<void> {
    await this.host?.stop()
  }

  private running(): GrammarHost {
    if (!this.host) throw new Error('A grammar is prepared before it is used.')
    return this.host
  }

  private async start(): Promise<GrammarHost> {
    const { modelPath, grammarEntry, vocabularyEntry } = this.options
    try {
      const vocabulary = await readOnThread(vocabularyEntry, modelPath)
      this.host = new GrammarHost(vocabulary, { threadEntry: grammarEntry })
      return this.host
    } catch (cause) {
      this.starting = null
      throw new NoVocabularyError(
        `The vocabulary of ${modelPath} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
        'Give a model with its tokenizer; without one the output cannot be constrained.',
        { cause },
      )
    }
  }
}

function readOnThread(entry: string, modelPath: string): Promise<GrammarVocabulary> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(entry, { workerData: modelPath })
    thread.once('message', resolve)
    thread.once('error', reject)
    thread.once('exit', (code) => reject(new Error(`the thread that reads it ended with code ${code}`)))
  })
}
