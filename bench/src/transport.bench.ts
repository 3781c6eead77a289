import { runBench } from './run-bench.ts'
import { measureTransports } from './transport/measure-transports.ts'

await runBench({
  name: 'transport',
  options: {},
  usage: `What links cost beside plain TCP on loopback: time of one hop of a small message, and bytes per CPU second of
both ends together with messages of 1 MiB. Rounds take every transport in turn.`,
  run: ({ quick, progress }) => measureTransports(quick, progress),
})
