import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { llamaCppAvailability } from '@deos/engine/testing'
import { BenchUsageError } from '../run-bench.ts'

/** How to start llama.cpp's server so that it loads the libraries that our engine computes with. */
export interface SharedLibraries {
  readonly env: Readonly<Record<string, string>>
  /** Where its backends are looked for besides beside it; `null` for wherever this process runs. */
  readonly cwd: string | null
  /** Whether it uses our libraries; the reason if it uses its own. */
  readonly note: string
}

/**
 * llama.cpp's server is not in the packages that our engine's libraries come from, but the sources of their very
 * version are: it is built from them by
 *
 *     npm pack node-llama-cpp@3.21.1 && tar xf node-llama-cpp-3.21.1.tgz
 *     git clone package/llama/gitRelease.bundle llama.cpp && cd llama.cpp
 *     cmake -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=OFF \
 *       -DGGML_BACKEND_DL=ON -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF
 *     ninja -C build llama-server
 *
 * A binary linked dynamically against the same version then finds ours under its names: libggml, libggml-base and
 * libllama through links in a folder of `LD_LIBRARY_PATH`, the CPU backend, of which it takes the best for the
 * processor as we do, in its working folder. Any other binary runs as it is.
 *
 * @param linkFolder - made anew for the links
 * @throws BenchUsageError if the binary does not run
 */
export function shareLibraries(binary: string, linkFolder: string): SharedLibraries {
  const theirs = serverVersion(binary)
  const own = (why: string): SharedLibraries => ({ env: {}, cwd: null, note: `its own libraries: ${why}` })
  const ours = llamaCppAvailability()
  if (!ours.available) return own(ours.reason)
  if (process.platform !== 'linux') return own('they are exchanged on Linux only')
  const version = releaseOf(ours.path)
  if (theirs !== version) return own(`it is version ${theirs}, our engine's ${version}`)
  const needed = neededLibraries(listLibraries(binary))
  if (needed.length === 0) return own('it is not linked against libggml dynamically')
  const folder = dirname(ours.path)
  rmSync(linkFolder, { recursive: true, force: true })
  mkdirSync(linkFolder, { recursive: true })
  for (const { soname, library } of needed) {
    const file = library === 'ggml-base' ? 'libggml-base.so' : `lib${library}.v${version}.so`
    symlinkSync(join(folder, file), join(linkFolder, soname))
  }
  return { env: { LD_LIBRARY_PATH: linkFolder }, cwd: folder, note: `the engine's libraries in ${folder}` }
}

/** `0.4.0` of `libllama.v0.4.0.so`. */
const releaseOf = (path: string): string => /\.v([\d.]+)\.so$/.exec(basename(path))?.[1] ?? 'unknown'

function serverVersion(binary: string): string {
  try {
    // It prints to standard error.
    const text = execFileSync('/bin/sh', ['-c', '"$0" --version 2>&1', binary], { encoding: 'utf8' })
    return parseVersion(text)
  } catch (cause) {
    throw new BenchUsageError(
      `--llama-server ${binary} does not run: ${(cause as Error).message.trim()}`,
      'Give the path of a llama-server that prints its version with --version.',
      { cause },
    )
  }
}

/** `0.4.0` of `version: 0.4.0-dev (build 1, …)`; `unknown` for other words. */
export const parseVersion = (text: string): string =>
  /version:\s+v?(\d+\.\d+\.\d+)/.exec(text)?.[1] ?? 'unknown'

function listLibraries(binary: string): string {
  try {
    return execFileSync('ldd', [binary], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    // Not a dynamic executable, or no ldd: nothing can be exchanged.
    return ''
  }
}

type OurLibrary = 'ggml' | 'ggml-base' | 'llama'

/** Names under which `ldd` shows a binary to want the libraries that our engine has too. */
export function neededLibraries(
  ldd: string,
): readonly { readonly soname: string; readonly library: OurLibrary }[] {
  return [...ldd.matchAll(/^\s*(lib(ggml-base|ggml|llama)\.so(?:\.\d+)*)\s/gm)].map(
    ([, soname, library]) => ({
      soname: soname!,
      library: library as OurLibrary,
    }),
  )
}
