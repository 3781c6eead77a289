import { expect, test } from 'vitest'
import { eventLoopLagMs, parseExposition } from './exposition.ts'

const text = `# HELP deos_event_loop_lag_seconds How late timers fire.
# TYPE deos_event_loop_lag_seconds gauge
deos_event_loop_lag_seconds{quantile="0.5"} 0.0004
deos_event_loop_lag_seconds{quantile="1"} 1.5e-1
deos_machines{state="a \\"b\\", c",other=""} 3

deos_plain 7
no sample
`

test('samples are read with their labels', () => {
  expect(parseExposition(text)).toEqual([
    { name: 'deos_event_loop_lag_seconds', labels: { quantile: '0.5' }, value: 0.0004 },
    { name: 'deos_event_loop_lag_seconds', labels: { quantile: '1' }, value: 0.15 },
    { name: 'deos_machines', labels: { state: 'a \\"b\\", c', other: '' }, value: 3 },
    { name: 'deos_plain', labels: {}, value: 7 },
  ])
})

test('lag is told in milliseconds by quantile', () => {
  expect(eventLoopLagMs(parseExposition(text))).toEqual({ '0.5': 0.4, '1': 150 })
})
