import { expect, test } from 'vitest'
import { Metrics, measureProcess } from './metrics.ts'

test('refuses names without a unit', () => {
  const metrics = new Metrics()
  expect(() => metrics.counter({ name: 'requests', help: '' })).toThrow(/_total/)
  expect(() => metrics.histogram({ name: 'latency', help: '' }, [1])).toThrow(/_seconds/)
  expect(() => metrics.gauge({ name: 'Queue_tokens', help: '' })).toThrow(/snake_case/)
})

test('shows counts, distributions and values read at the scrape', async () => {
  const metrics = new Metrics()
  metrics.counter({ name: 'requests_total', help: 'All.', labels: ['route'] }).inc({ route: '/' }, 2)
  metrics.histogram({ name: 'wait_seconds', help: 'Waits.' }, [0.1, 1]).observe(0.5)
  let ready = 0
  metrics.gauge({ name: 'ring_ready', help: 'Ready.' }, (gauge) => gauge.set(ready))
  ready = 1
  const text = await metrics.text()
  expect(text).toContain('deos_requests_total{route="/"} 2')
  expect(text).toContain('deos_wait_seconds_bucket{le="1"} 1')
  expect(text).toContain('deos_ring_ready 1')
})

test('measures the process', async () => {
  const metrics = new Metrics()
  const stop = measureProcess(metrics)
  const text = await metrics.text()
  stop()
  expect(text).toMatch(/deos_process_resident_bytes [1-9]\d+/)
  expect(text).toContain('deos_event_loop_lag_seconds{quantile="0.99"}')
})
