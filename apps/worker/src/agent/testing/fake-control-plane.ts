import { createHmac, createPublicKey, randomBytes, verify } from 'node:crypto'
import { open, readdir, stat } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type BlobPieces, cutBlob } from '@deos/blobs'
import { openModel } from '@deos/engine/weights'
import {
  type ApiClient,
  apiPrefix,
  everyRoute,
  matchPath,
  ProblemError,
  problemFor,
  problemMediaType,
  readRequest,
  routes,
  streamPreamble,
  writeAnswer,
  writeEvent,
} from '@deos/sdk'
import type { StageAssignment } from '../stages/stage-assignment.ts'

type Worker = ApiClient['worker']
type Body<Name extends 'challenge' | 'join' | 'heartbeat' | 'logs' | 'links' | 'benchmark' | 'inventory'> =
  Parameters<Worker[Name]>[0] extends { readonly body: infer B } ? B : never
export type Heartbeat = Body<'heartbeat'>

interface Member {
  readonly machineId: string
  incarnation: number
  process: string
  credential: string
  readonly peerSecret: Buffer
  challenge: string
  linkAddress: string | null
}

const soon = () => new Date(Date.now() + 60_000).toISOString()
const heartbeatMs = 100
const workerRoutes = everyRoute({ worker: routes.worker })

/** The routes for machines as a control plane has them, with everything that was said kept for a test to look at. */
export class FakeControlPlane {
  readonly token = 'deos_j_'.padEnd(30, 'j')
  /** By public key. */
  readonly members = new Map<string, Member>()
  readonly heartbeats: Heartbeat[] = []
  readonly joins: Body<'join'>[] = []
  readonly lines: Body<'logs'>['lines'][number][] = []
  readonly links: Body<'links'>['links'][number][] = []
  readonly left: string[] = []
  inventory: Body<'inventory'>['inventory'] | null = null
  benchmark: Body<'benchmark'>['benchmark'] | null = null
  missing: 'inventory' | 'benchmark' | null = null
  released = false
  peers: Awaited<ReturnType<Worker['peers']>>['peers'] = []
  /** Given to every call with a credential, instead of an answer. */
  refusal: ProblemError | null = null
  blobReads = 0
  #version = 0
  #assignments: readonly StageAssignment[] = []
  readonly #streams = new Set<ServerResponse>()
  readonly #files = new Map<string, { readonly path: string; readonly pieces: BlobPieces }>()
  #server: Server | null = null
  #port = 0

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** At the address it had before, if it had one. */
  async start(): Promise<void> {
    this.#server = createServer((request, response) => void this.#serve(request, response))
    await new Promise<void>((resolve) => this.#server!.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (this.#server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server?.close(resolve))
    this.#server?.closeAllConnections()
    await closed
  }

  assign(assignments: readonly StageAssignment[]): void {
    this.#version += 1
    this.#assignments = assignments
    for (const stream of this.#streams) this.#sendAssignments(stream)
  }

  /** A model's files as blobs, and a stage of it. */
  async offer(folder: string): Promise<StageAssignment['model']> {
    const files: StageAssignment['model']['files'][number][] = []
    for (const name of (await readdir(folder)).filter((each) => each !== 'reference.json')) {
      const path = join(folder, name)
      const pieces = await cutBlob(path)
      this.#files.set(pieces.digest, { path, pieces })
      files.push({ name, digest: pieces.digest, sizeBytes: (await stat(path)).size as never })
    }
    const { fingerprint } = await openModel(folder, { vocabulary: false })
    return { id: 'model-1' as never, name: 'tiny', fingerprint, files }
  }

  ticketFor(machineId: string, peerSecret: Buffer) {
    const ticket = `machine-of-test.${machineId}.${Date.now() + 60_000}`
    return { ticket, ticketKey: createHmac('sha256', peerSecret).update(ticket).digest('hex') }
  }

  async heartbeatWith(matches: (heartbeat: Heartbeat) => boolean, limitMs = 30_000): Promise<Heartbeat> {
    const from = this.heartbeats.length
    for (const startMs = performance.now(); performance.now() - startMs < limitMs; await sleep(20)) {
      const found = this.heartbeats.slice(from).find(matches)
      if (found !== undefined) return found
    }
    throw new Error(`No such heartbeat; the last was ${JSON.stringify(this.heartbeats.at(-1))}.`)
  }

  #sendAssignments(response: ServerResponse): void {
    const data = { version: this.#version, assignments: this.#assignments }
    response.write(writeEvent(routes.worker.followAssignments, String(this.#version), data))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      await this.#answer(request, Buffer.concat(chunks).toString(), response)
    } catch (error) {
      const problem = problemFor(error, {}, null)
      response.writeHead(problem.status, { 'content-type': problemMediaType })
      response.end(JSON.stringify(problem))
    }
  }

  async #answer(request: IncomingMessage, text: string, response: ServerResponse): Promise<void> {
    const path = request.url!.slice(apiPrefix.length)
    for (const { name, route } of workerRoutes) {
      const params = route.method === request.method ? matchPath(route.path, path) : null
      if (params === null) continue
      const body: unknown = text === '' ? undefined : JSON.parse(text)
      const { headers } = request as { headers: Record<string, string> }
      const read = readRequest(route, { params, query: {}, body, headers }) as MemberRequest
      if (name === 'challenge')
        return sendJson(response, route, this.#challenge(read.body as Body<'challenge'>))
      if (name === 'join') return sendJson(response, route, this.#join(read.body as Body<'join'>))
      const member = this.#memberOf(headers.authorization)
      return await this.#member(name, read, member, response, headers)
    }
    throw new ProblemError('not-found', `There is no ${request.method} ${path}.`)
  }

  #memberOf(authorization: string | undefined): Member {
    if (this.refusal !== null) throw this.refusal
    const credential = authorization?.slice('Bearer '.length)
    const member = [...this.members.values()].find((each) => each.credential === credential)
    if (member === undefined) throw new ProblemError('unauthenticated', 'This credential is not known.')
    return member
  }

  #challenge({ publicKey }: Body<'challenge'>) {
    const challenge = randomBytes(24).toString('base64url')
    const known = this.members.get(publicKey)
    this.#challenges.set(publicKey, challenge)
    return { challenge, expiresAt: soon(), incarnation: known?.incarnation ?? 0, relay: null }
  }

  readonly #challenges = new Map<string, string>()

  #join(body: Body<'join'>) {
    this.joins.push(body)
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: body.publicKey }, format: 'jwk' })
    const signature = Buffer.from(body.signature, 'base64url')
    const isOwn = this.#challenges.get(body.publicKey) === body.challenge
    if (!isOwn || !verify(null, Buffer.from(body.challenge), key, signature)) {
      throw new ProblemError('unauthenticated', 'The signature is wrong.')
    }
    let member = this.members.get(body.publicKey)
    if (member === undefined) {
      if (body.token !== this.token) throw new ProblemError('gone', 'The token cannot be used.')
      member = {
        machineId: `machine-${this.members.size + 1}`,
        ...{ incarnation: 0, process: '', credential: '', challenge: '', linkAddress: null },
        peerSecret: randomBytes(32),
      }
      this.members.set(body.publicKey, member)
    }
    if (member.process !== body.process) member.incarnation += 1
    member.process = body.process
    member.credential = `deos_m_${randomBytes(18).toString('base64url')}`
    member.linkAddress = body.linkAddress ?? null
    return {
      ...{ machineId: member.machineId, name: body.name ?? 'machine', incarnation: member.incarnation },
      ...{ credential: member.credential, peerSecret: member.peerSecret.toString('hex'), protocol: 2 },
      lease: this.#lease(),
      missingReport: this.missing,
    }
  }

  #lease() {
    return { expiresAt: soon(), durationMs: 4_000, heartbeatMs }
  }

  async #member(
    name: string,
    { params, body }: MemberRequest,
    { machineId }: Member,
    response: ServerResponse,
    headers: Record<string, string>,
  ): Promise<void> {
    const empty = () => response.writeHead(204).end()
    switch (name) {
      case 'heartbeat':
        this.heartbeats.push(body as Heartbeat)
        return sendJson(response, routes.worker.heartbeat, {
          ...{ lease: this.#lease(), assignmentsVersion: this.#version },
          ...{ missingReport: this.missing, released: this.released && (body as Heartbeat).leaving === true },
        })
      case 'inventory':
        this.inventory = (body as Body<'inventory'>).inventory
        this.missing = 'benchmark'
        empty()
        return
      case 'benchmark':
        this.benchmark = (body as Body<'benchmark'>).benchmark
        this.missing = null
        empty()
        return
      case 'peers':
        return sendJson(response, routes.worker.peers, { peers: this.peers })
      case 'links':
        this.links.push(...(body as Body<'links'>).links)
        empty()
        return
      case 'logs':
        this.lines.push(...(body as Body<'logs'>).lines)
        empty()
        return
      case 'leave':
        this.left.push(machineId)
        empty()
        return
      case 'assignments': {
        const assignments = { version: this.#version, assignments: this.#assignments }
        return sendJson(response, routes.worker.assignments, assignments)
      }
      case 'followAssignments':
        response.writeHead(200, { 'content-type': 'text/event-stream' }).write(streamPreamble)
        this.#streams.add(response)
        response.once('close', () => this.#streams.delete(response))
        this.#sendAssignments(response)
        return
      case 'pieces':
        return sendJson(response, routes.worker.pieces, this.#files.get(params.digest!)!.pieces)
      case 'blob':
        return this.#blob(params.digest!, headers.range, response)
    }
  }

  async #blob(digest: string, range: string | undefined, response: ServerResponse): Promise<void> {
    this.blobReads += 1
    const { path, pieces } = this.#files.get(digest)!
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? `bytes=0-${pieces.sizeBytes - 1}`)!
    const bytes = Buffer.alloc(Number(last) + 1 - Number(first))
    const file = await open(path)
    await file.read(bytes, 0, bytes.length, Number(first))
    await file.close()
    response
      .writeHead(range === undefined ? 200 : 206, { 'content-type': 'application/octet-stream' })
      .end(bytes)
  }
}

interface MemberRequest {
  readonly params: Readonly<Record<string, string | undefined>>
  readonly body: unknown
}

type AnyRoute = (typeof workerRoutes)[number]['route']

function sendJson(response: ServerResponse, route: AnyRoute, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(writeAnswer(route, value))
}
