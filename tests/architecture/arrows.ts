/**
 * Who may import whom among packages and apps; the table in docs/architecture.md says the same. Everything may import
 * `domain`. Apps that run the whole machine are imported by nothing.
 */
export const arrows: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  planner: [],
  simulator: ['planner', 'protocol', 'codec'],
  codec: [],
  protocol: [],
  ledger: [],
  fleet: [],
  engine: ['codec'],
  transport: ['protocol'],
  api: [],
  sdk: ['api'],
  service: [],
  'control-plane': [
    'planner',
    'simulator',
    'codec',
    'protocol',
    'ledger',
    'fleet',
    'transport',
    'api',
    'service',
  ],
  gateway: ['protocol', 'transport', 'sdk', 'service', 'engine'],
  worker: ['protocol', 'transport', 'codec', 'engine', 'service'],
  cli: ['planner', 'simulator', 'engine', 'sdk', 'service'],
  console: ['api', 'sdk'],
  bench: [
    'planner',
    'simulator',
    'codec',
    'protocol',
    'ledger',
    'fleet',
    'engine',
    'transport',
    'api',
    'sdk',
    'service',
  ],
}

/** Entry points to which an arrow is narrowed. The gateway turns text into tokens, checks grammars, and computes nothing. */
export const narrowed: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  gateway: {
    engine: [
      '@deos/engine/grammar-spec',
      '@deos/engine/tokenizer',
      '@deos/engine/weights',
      '@deos/engine/weights/open-model',
    ],
  },
}

/** No clock, network, disk, environment or chance: those are handed in. */
export const purePackages: readonly string[] = [
  'domain',
  'planner',
  'simulator',
  'codec',
  'protocol',
  'ledger',
  'fleet',
]

/** Globals that pure code does not touch. */
export const impureGlobals: readonly string[] = [
  'Date',
  'process',
  'fetch',
  'console',
  'performance',
  'crypto',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'Worker',
  'WebSocket',
  'XMLHttpRequest',
  'localStorage',
  'require',
  '__dirname',
  '__filename',
]
