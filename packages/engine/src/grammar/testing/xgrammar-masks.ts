import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import vm from 'node:vm'
import { byteToCharacter } from '../../tokenizer/byte-alphabet.ts'
import type { GrammarVocabulary } from '../vocabulary.ts'

type Library = typeof import('@mlc-ai/web-xgrammar')

/** Its file is CommonJS inside a package that says it is not, so it is evaluated as what it is. */
function loadLibrary(): Library {
  const require = createRequire(import.meta.url)
  const path = require.resolve('@mlc-ai/web-xgrammar')
  const evaluate = vm.compileFunction(
    readFileSync(path, 'utf8'),
    ['exports', 'module', 'require', '__filename'],
    { filename: path, importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER },
  )
  const module = { exports: {} }
  evaluate(module.exports, module, require, path)
  return module.exports as Library
}

/** Masks of XGrammar, which shares no code with ours. */
export class XGrammarMasks {
  readonly #matcher: import('@mlc-ai/web-xgrammar').GrammarMatcher

  private constructor(matcher: import('@mlc-ai/web-xgrammar').GrammarMatcher) {
    this.#matcher = matcher
  }

  static async compile(grammar: string, vocabulary: GrammarVocabulary): Promise<XGrammarMasks> {
    const { TokenizerInfo, GrammarCompiler, GrammarMatcher } = loadLibrary()
    const { size, bytes, offsets, stopTokens } = vocabulary
    const tokens = Array.from({ length: size }, (_, id) =>
      Array.from(bytes.subarray(offsets[id], offsets[id + 1]), (byte) => byteToCharacter[byte]!).join(''),
    )
    const info = await TokenizerInfo.createTokenizerInfo(tokens, 'byte_level', false, size, [...stopTokens])
    const compiler = await GrammarCompiler.createGrammarCompiler(info, false)
    const compiled = await compiler.compileGrammar(grammar)
    return new XGrammarMasks(await GrammarMatcher.createGrammarMatcher(compiled))
  }

  async mask(): Promise<Uint32Array> {
    return Uint32Array.from(await this.#matcher.getNextTokenBitmask())
  }

  accept(token: number): boolean {
    return this.#matcher.acceptToken(token)
  }
}
