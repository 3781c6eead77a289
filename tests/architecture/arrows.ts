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
  blobs: [],
  service: [],
  wan: [],
  report: [],
  'control-plane': [
    'planner',
    'simulator',
    'codec',
    'protocol',
    'ledger',
    'fleet',
    'transport',
    'api',
    'blobs',
    'engine',
    'service',
  ],
  gateway: ['planner', 'codec', 'protocol', 'transport', 'api', 'sdk', 'blobs', 'service', 'engine'],
  worker: ['protocol', 'transport', 'codec', 'engine', 'api', 'sdk', 'blobs', 'service'],
  cli: ['planner', 'simulator', 'codec', 'engine', 'api', 'sdk', 'service', 'wan', 'report'],
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
    'blobs',
    'service',
    'wan',
    'report',
  ],
}

/** Entry points to which an arrow is narrowed. The gateway turns text into tokens and checks grammars, the control plane reads what
 * model files say of themselves; neither computes anything. */
export const narrowed: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'control-plane': { engine: ['@deos/engine/weights', '@deos/engine/weights/open-model'] },
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
