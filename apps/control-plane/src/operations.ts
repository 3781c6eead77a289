import { type Metrics, measureProcess } from '@deos/service'
import type { FastifyInstance } from 'fastify'
import type { Health } from './deployments/index.ts'

export interface OperationsParts {
  readonly metrics: Metrics
  readonly healthOf: () => Health
  readonly machinesByState: () => ReadonlyMap<string, number>
  readonly deploymentsByState: () => ReadonlyMap<string, number>
}

/**
 * `/live` while the process runs, `/health` (200 or 503) if a real token was generated recently, and `/metrics` for
 * Prometheus.
 *
 * @returns adds the routes, and stops measuring
 */
export function operations(parts: OperationsParts): {
  readonly register: (app: FastifyInstance) => void
  readonly stop: () => void
} {
  const { metrics, healthOf, machinesByState, deploymentsByState } = parts
  const stop = measureProcess(metrics)
  const byState = (name: string, help: string, read: () => ReadonlyMap<string, number>) =>
    metrics.gauge({ name, help, labels: ['state'] }, (gauge) => {
      gauge.reset()
      for (const [state, count] of read()) gauge.set({ state }, count)
    })
  byState('machines', 'Machines by state.', machinesByState)
  byState('deployments', 'Deployments by state.', deploymentsByState)
  metrics.gauge({ name: 'control_plane_ready', help: '1 if a real token was generated recently.' }, (gauge) =>
    gauge.set(healthOf().ok ? 1 : 0),
  )
  return {
    stop,
    register: (app) => {
      app.get('/live', async () => ({ alive: true }))
      app.get('/health', async (_request, reply) => {
        const { ok, lastTokenAt, reasons } = healthOf()
        return reply
          .code(ok ? 200 : 503)
          .header('cache-control', 'no-store')
          .send({ ok, lastTokenAt: lastTokenAt?.toISOString() ?? null, reasons })
      })
      app.get('/metrics', async (_request, reply) =>
        reply.header('content-type', metrics.contentType).send(await metrics.text()),
      )
    },
  }
}
