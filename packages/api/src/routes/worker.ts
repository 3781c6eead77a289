import { byteStream, empty, json, stream } from '../contract/answer.ts'
import { defineRoute } from '../contract/route.ts'
import { blobPiecesSchema } from '../schemas/model.ts'
import { digestSchema } from '../schemas/text.ts'
import {
  assignmentsSchema,
  benchmarkReportSchema,
  challengeRequestSchema,
  challengeSchema,
  heartbeatAnswerSchema,
  heartbeatSchema,
  inventoryReportSchema,
  joinedSchema,
  joinSchema,
  leaveSchema,
  linksReportSchema,
  peersSchema,
  workerLogSchema,
} from '../schemas/worker.ts'

const reported = { answer: empty, permission: 'worker:use', errors: ['stale-incarnation'] } as const

/** What machines call; all of it outwards, so that a NAT is no hindrance. */
export const workerRoutes = {
  challenge: defineRoute({
    method: 'POST',
    path: '/worker/challenges',
    body: challengeRequestSchema,
    answer: json(challengeSchema),
    permission: 'public',
    summary: 'A challenge for a machine to sign, which proves that it holds its key.',
  }),
  join: defineRoute({
    method: 'POST',
    path: '/worker/join',
    body: joinSchema,
    answer: json(joinedSchema),
    permission: 'public',
    errors: ['unauthenticated', 'gone', 'version-unsupported'],
    summary: 'Join with a token, or come back with a known key; starts a new incarnation.',
    description:
      'The same key is always the same machine. Credentials of earlier incarnations stop working, so of two processes with one key the later one stays.',
  }),
  heartbeat: defineRoute({
    method: 'POST',
    path: '/worker/heartbeats',
    body: heartbeatSchema,
    answer: json(heartbeatAnswerSchema),
    permission: 'worker:use',
    errors: ['stale-incarnation'],
    summary: 'Say that the machine lives and what its stages do; prolongs the lease.',
  }),
  inventory: defineRoute({
    ...reported,
    method: 'PUT',
    path: '/worker/inventory',
    body: inventoryReportSchema,
    summary: 'Say what the machine consists of.',
  }),
  benchmark: defineRoute({
    ...reported,
    method: 'PUT',
    path: '/worker/benchmark',
    body: benchmarkReportSchema,
    summary: 'Say what was measured of the machine.',
  }),
  peers: defineRoute({
    method: 'GET',
    path: '/worker/peers',
    answer: json(peersSchema),
    permission: 'worker:use',
    summary: 'Machines to which links are to be measured.',
  }),
  links: defineRoute({
    ...reported,
    method: 'PUT',
    path: '/worker/links',
    body: linksReportSchema,
    summary: 'Say what was measured of links to other machines.',
  }),
  assignments: defineRoute({
    method: 'GET',
    path: '/worker/assignments',
    answer: json(assignmentsSchema),
    permission: 'worker:use',
    errors: ['stale-incarnation'],
    summary: 'All stages that the machine is to hold.',
  }),
  followAssignments: defineRoute({
    method: 'GET',
    path: '/worker/assignments/stream',
    answer: stream(assignmentsSchema),
    permission: 'worker:use',
    errors: ['stale-incarnation'],
    summary: 'The same whenever it changes; ids are versions.',
  }),
  logs: defineRoute({
    ...reported,
    method: 'POST',
    path: '/worker/logs',
    body: workerLogSchema,
    idempotencyKey: true,
    summary: 'Hand over log lines of stages.',
  }),
  leave: defineRoute({
    ...reported,
    method: 'POST',
    path: '/worker/leave',
    body: leaveSchema,
    summary: 'Say goodbye: the machine is offline at once, and may come back.',
  }),
  pieces: defineRoute({
    method: 'GET',
    path: '/worker/blobs/{digest}/pieces',
    params: { digest: digestSchema },
    answer: json(blobPiecesSchema),
    permission: 'worker:use',
    summary: 'Digests of the pieces of a blob.',
  }),
  blob: defineRoute({
    method: 'GET',
    path: '/worker/blobs/{digest}',
    params: { digest: digestSchema },
    answer: byteStream('application/octet-stream'),
    permission: 'worker:use',
    summary: 'Bytes of a model, or the part of them that a range header names.',
  }),
}
