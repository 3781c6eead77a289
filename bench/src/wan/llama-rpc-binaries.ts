import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { BenchUsageError } from '../run-bench.ts'

/** llama.cpp's server, and its server of one machine's backends to others. */
export interface LlamaRpcBinaries {
  readonly server: string
  readonly rpcServer: string
}

/** Newer and older name. */
const rpcNames = ['ggml-rpc-server', 'rpc-server']

/**
 * @param path - folder of both programs, or one of them
 * @throws BenchUsageError if one is missing
 */
export function findLlamaRpc(path: string): LlamaRpcBinaries {
  const folder = existsSync(path) && statSync(path).isFile() ? dirname(path) : path
  const server = join(folder, 'llama-server')
  const rpcServer = rpcNames.map((name) => join(folder, name)).find(existsSync)
  if (rpcServer === undefined || !existsSync(server)) {
    throw new BenchUsageError(
      `--peer-llama ${path}: ${folder} has no ${rpcServer === undefined ? rpcNames.join(' or ') : 'llama-server'}.`,
      'Build both: cmake -DGGML_RPC=ON …, targets llama-server and ggml-rpc-server.',
    )
  }
  return { server, rpcServer }
}
