import { PGlite } from '@electric-sql/pglite'

/**
 * A process that serves a laptop needs neither the memory nor the files that a server of its own would take. No fsync:
 * the engine cannot, so what is committed survives the death of the process, but not a power cut.
 */
const startParams = [...PGlite.defaultStartParams, '-c', 'shared_buffers=16MB']
const initDbStartParams = ['--wal-segsize=1']

/**
 * PostgreSQL in WebAssembly; blocks its thread while it works.
 *
 * @param folder - where its files lie; null keeps everything in memory
 * @param image - what a database in memory begins with
 */
export const openEngine = (folder: string | null, image: Blob | null = null): Promise<PGlite> =>
  PGlite.create({
    ...(folder === null ? {} : { dataDir: `file://${folder}` }),
    ...(image === null ? {} : { loadDataDir: image }),
    startParams,
    initDbStartParams,
  })
