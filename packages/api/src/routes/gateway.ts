import { byteStream, empty, json, stream } from '../contract/answer.ts'
import { defineRoute } from '../contract/route.ts'
import {
  accessGrantSchema,
  accessRequestSchema,
  answeredBatchSchema,
  gatewayReportAnswerSchema,
  gatewayReportSchema,
  reservationRequestSchema,
  reservationSchema,
  routingStateSchema,
} from '../schemas/gateway.ts'
import { blobPiecesSchema } from '../schemas/model.ts'
import { digestSchema } from '../schemas/text.ts'

/** What gateways call, with the token that the operator gave them. */
export const gatewayRoutes = {
  followRouting: defineRoute({
    method: 'GET',
    path: '/gateway/routing/stream',
    answer: stream(routingStateSchema),
    permission: 'gateway:use',
    summary: 'All that is routed to, whenever it changes; ids are versions.',
  }),
  access: defineRoute({
    method: 'POST',
    path: '/gateway/access',
    body: accessRequestSchema,
    answer: json(accessGrantSchema),
    permission: 'gateway:use',
    errors: ['unauthenticated'],
    summary: 'What a secret allows; one that is unknown, expired or revoked is answered with 401.',
  }),
  reserve: defineRoute({
    method: 'POST',
    path: '/gateway/reservations',
    body: reservationRequestSchema,
    answer: json(reservationSchema),
    permission: 'gateway:use',
    errors: ['budget-exhausted', 'conflict'],
    summary: 'Hold the most a request can cost; the request id makes it happen once.',
  }),
  record: defineRoute({
    method: 'POST',
    path: '/gateway/requests',
    body: answeredBatchSchema,
    answer: empty,
    permission: 'gateway:use',
    summary: 'Hand over answered requests: they are charged, counted and logged once each.',
  }),
  report: defineRoute({
    method: 'PUT',
    path: '/gateway/report',
    body: gatewayReportSchema,
    answer: json(gatewayReportAnswerSchema),
    permission: 'gateway:use',
    summary: 'Say what the gateway does now.',
  }),
  pieces: defineRoute({
    method: 'GET',
    path: '/gateway/blobs/{digest}/pieces',
    params: { digest: digestSchema },
    answer: json(blobPiecesSchema),
    permission: 'gateway:use',
    summary: 'Digests of the pieces of a blob.',
  }),
  blob: defineRoute({
    method: 'GET',
    path: '/gateway/blobs/{digest}',
    params: { digest: digestSchema },
    answer: byteStream('application/octet-stream'),
    permission: 'gateway:use',
    summary: 'Bytes of a model, or the part of them that a range header names.',
  }),
}
