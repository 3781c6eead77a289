import { type Clock, machineId, machinesAt, usd } from './mock-fleet.ts'

const GiB = 1024 ** 3
const digest = `sha256:${'4be1'.repeat(16)}`

export const organisation = { id: 'org-nordlys', slug: 'nordlys', name: 'Nordlys Research' }
const otherOrganisation = { id: 'org-attic', slug: 'attic', name: 'The Attic' }

const free = { requestsPerMinute: null, tokensPerMinute: null }

/** A small company’s installation on a good afternoon, with some trouble in it. */
export function mockData(clock: Clock) {
  const { ago, ahead } = clock
  const machines = machinesAt(clock)
  const reason = (message: string, minutes: number) => ({ message, since: ago(minutes) })
  const user = {
    id: 'user-ada',
    name: 'Ada Lindqvist',
    email: 'ada@nordlys.example',
    createdAt: ago(60 * 24 * 90),
  }

  const shape = {
    architecture: 'qwen3',
    parameters: 8_190_000_000,
    layers: 36,
    contextTokens: 32_768,
    vocabulary: 151_936,
    weightTypes: ['Q8_0', 'F32'],
    kvBytesPerToken: 147_456,
  }
  const models = [
    {
      id: 'model-qwen',
      name: 'Qwen/Qwen3-8B:q8_0',
      source: {
        kind: 'huggingface' as const,
        repository: 'Qwen/Qwen3-8B-GGUF',
        revision: 'main',
        file: 'Qwen3-8B-Q8_0.gguf',
        hubUrl: null,
      },
      state: 'ready' as const,
      reason: reason('All bytes are here and were checked.', 60 * 30),
      progress: null,
      shape,
      sizeBytes: Math.round(8.11 * GiB),
      digest,
      deployments: ['deployment-chat', 'deployment-batch'],
      createdAt: ago(60 * 31),
    },
    {
      id: 'model-llama',
      name: 'meta/Llama-3.3-70B-Instruct:q4_k',
      source: {
        kind: 'huggingface' as const,
        repository: 'meta-llama/Llama-3.3-70B-Instruct-GGUF',
        revision: 'main',
        file: null,
        hubUrl: null,
      },
      state: 'downloading' as const,
      reason: reason('Part 2 of 3 is on its way.', 14),
      progress: {
        doneBytes: Math.round(23.4 * GiB),
        totalBytes: Math.round(39.6 * GiB),
        bytesPerSecond: 112 * 1024 ** 2,
      },
      shape: {
        ...shape,
        architecture: 'llama',
        parameters: 70_600_000_000,
        layers: 80,
        contextTokens: 131_072,
      },
      sizeBytes: Math.round(39.6 * GiB),
      digest: null,
      deployments: [],
      createdAt: ago(15),
    },
    {
      id: 'model-broken',
      name: 'mistral-small',
      source: { kind: 'path' as const, path: '/models/mistral-small-3.2-24b-instruct-2506-q8_0.gguf' },
      state: 'failed' as const,
      reason: reason('The file ends after 4.1 of 23.3 GiB: copy it again, then try again.', 220),
      progress: null,
      shape: null,
      sizeBytes: null,
      digest: null,
      deployments: [],
      createdAt: ago(240),
    },
    {
      id: 'model-nano',
      name: 'nano-chat',
      source: { kind: 'path' as const, path: '/models/nano-chat.gguf' },
      state: 'ready' as const,
      reason: reason('All bytes are here and were checked.', 60 * 24 * 9),
      progress: null,
      shape: {
        ...shape,
        architecture: 'llama',
        parameters: 134_500_000,
        layers: 30,
        contextTokens: 8192,
        kvBytesPerToken: 11_520,
      },
      sizeBytes: 145 * 1024 ** 2,
      digest,
      deployments: ['deployment-nano'],
      createdAt: ago(60 * 24 * 9),
    },
  ]

  const spec = {
    modelId: 'model-qwen',
    contextTokens: 16_384,
    sessions: 8,
    precision: 'native',
    activations: 'f32' as const,
    target: { ttftMs: 400, tpotMs: 45 },
    replicas: { min: 1, max: 4 },
    policy: { regions: null, providers: null },
    split: { prefillReplicas: 1, kvQuality: 'lossless' as const },
  }
  const deployments = [
    {
      id: 'deployment-chat',
      projectId: 'project-support',
      name: 'chat',
      servedAs: 'qwen3-8b',
      state: 'progressing' as const,
      reason: reason('Replica 2 of 2 is loading its layers, 64% are there.', 3),
      spec,
      revision: 4,
      replicas: { wanted: 2, ready: 1, updated: 1, starting: 1, draining: 0 },
      prefillReplicas: { wanted: 1, ready: 1 },
      pricePerHour: usd(1.66),
      createdBy: user.id,
      createdAt: ago(60 * 24 * 6),
      updatedAt: ago(3),
    },
    {
      id: 'deployment-nano',
      projectId: 'project-default',
      name: 'nano',
      servedAs: 'nano-chat',
      state: 'ready' as const,
      reason: reason('All replicas that are wished for answer.', 60 * 20),
      spec: {
        ...spec,
        modelId: 'model-nano',
        contextTokens: null,
        target: {},
        replicas: { min: 0, max: 2 },
        split: null,
      },
      revision: 1,
      replicas: { wanted: 1, ready: 1, updated: 1, starting: 0, draining: 0 },
      prefillReplicas: { wanted: 0, ready: 0 },
      pricePerHour: usd(0.22),
      createdBy: 'user-grace',
      createdAt: ago(60 * 24 * 9),
      updatedAt: ago(60 * 20),
    },
    {
      id: 'deployment-batch',
      projectId: 'project-support',
      name: 'nightly-batch',
      servedAs: 'qwen3-batch',
      state: 'lacking' as const,
      reason: reason('No place for replica 1: 21.4 GiB are needed in us-west, 9.2 GiB are free there.', 34),
      spec: {
        ...spec,
        policy: { regions: ['us-west'], providers: null },
        target: { pricePerMillionTokens: usd(0.08) },
        split: null,
      },
      revision: 2,
      replicas: { wanted: 1, ready: 0, updated: 0, starting: 0, draining: 0 },
      prefillReplicas: { wanted: 0, ready: 0 },
      pricePerHour: null,
      createdBy: null,
      createdAt: ago(60 * 52),
      updatedAt: ago(34),
    },
    {
      id: 'deployment-old',
      projectId: 'project-default',
      name: 'translate',
      servedAs: 'translate',
      state: 'paused' as const,
      reason: reason('Paused by Grace Okafor: quarter is over.', 60 * 70),
      spec,
      revision: 7,
      replicas: { wanted: 0, ready: 0, updated: 0, starting: 0, draining: 0 },
      prefillReplicas: { wanted: 0, ready: 0 },
      pricePerHour: usd(0),
      createdBy: 'user-grace',
      createdAt: ago(60 * 24 * 40),
      updatedAt: ago(60 * 70),
    },
  ]

  const stage = (
    replica: string,
    position: number,
    machine: string,
    first: number,
    end: number,
    state: 'loaded' | 'loading' | 'assigned',
    loadedFraction: number | null,
  ) => {
    const found = machines.find(({ name }) => name === machine)!
    return {
      id: `stage-${replica}-${position}`,
      position,
      machineId: machineId(machine),
      machineName: machine,
      device: 'CUDA0',
      location: found.location,
      layers: { first, end },
      weightBytes: Math.round((end - first) * 0.225 * GiB),
      kvBytes: Math.round((end - first) * 0.0625 * GiB),
      state,
      reason: reason(state === 'loaded' ? 'Its layers are in memory.' : 'Layers come from hel-rack-1.', 2),
      loadedFraction,
    }
  }
  const replicas = [
    {
      id: 'replica-chat-1',
      deploymentId: 'deployment-chat',
      role: 'decode' as const,
      revision: 4,
      generation: 3,
      state: 'ready' as const,
      reason: reason('It generated a token end to end and takes requests.', 180),
      stages: [
        stage('chat-1', 0, 'hel-rack-1', 0, 10, 'loaded', null),
        stage('chat-1', 1, 'hel-rack-2', 10, 20, 'loaded', null),
        stage('chat-1', 2, 'sto-a6000', 20, 31, 'loaded', null),
        stage('chat-1', 3, 'mum-3090', 31, 36, 'loaded', null),
      ],
      placementReasons: [
        'Four stages are the fewest that hold 8.1 GiB of weights and 8 sessions of 16,384 tokens beside what runs there.',
        'hel-rack-1, hel-rack-2 and sto-a6000 are within 1.4 ms of one another.',
        'mum-3090 is 122 ms away, but fra-l40s drains and vir-a100 is offline.',
      ],
      predictedTokenMs: 142,
      predicted: { ttftMs: 410, tpotMs: 150, tokensPerSecond: 26, handOverMs: null },
      pricePerHour: usd(1.66),
      createdAt: ago(190),
      readyAt: ago(180),
      lastTokenAt: ago(0),
    },
    {
      id: 'replica-chat-2',
      deploymentId: 'deployment-chat',
      role: 'decode' as const,
      revision: 4,
      generation: 1,
      state: 'loading' as const,
      reason: reason('2 of 2 stages are loading.', 2),
      stages: [
        stage('chat-2', 0, 'ore-h100', 0, 30, 'loading', 0.64),
        stage('chat-2', 1, 'sto-a6000', 30, 36, 'loaded', null),
      ],
      placementReasons: ['ore-h100 holds 30 of 36 layers; the rest fits beside what sto-a6000 holds.'],
      predictedTokenMs: 38,
      predicted: null,
      pricePerHour: usd(2.81),
      createdAt: ago(3),
      readyAt: null,
      lastTokenAt: null,
    },
    {
      id: 'replica-chat-3',
      deploymentId: 'deployment-chat',
      role: 'prefill' as const,
      revision: 4,
      generation: 1,
      state: 'ready' as const,
      reason: reason('It computes prompts for those that answer.', 60),
      stages: [stage('chat-3', 0, 'fra-l40s', 0, 36, 'loaded', null)],
      placementReasons: ['fra-l40s multiplies fastest of those that hold all 36 layers.'],
      predictedTokenMs: 31,
      predicted: { ttftMs: 230, tpotMs: null, tokensPerSecond: 2600, handOverMs: 34 },
      pricePerHour: usd(1.1),
      createdAt: ago(66),
      readyAt: ago(60),
      lastTokenAt: ago(0),
    },
  ]

  const revisions = [4, 3, 2, 1].map((number) => ({
    deploymentId: 'deployment-chat',
    number,
    spec: { ...spec, sessions: number >= 3 ? 8 : 4, contextTokens: number >= 2 ? 16_384 : 8192 },
    active: number === 4,
    createdBy: number % 2 === 0 ? user.id : 'user-grace',
    createdAt: ago((5 - number) * 1500),
  }))

  const projects = [
    {
      id: 'project-default',
      organisationId: organisation.id,
      name: 'default',
      title: 'Default',
      budget: null,
      rateLimit: free,
      spent: usd(4.1),
      deployments: 2,
      keys: 1,
      createdAt: ago(60 * 24 * 90),
    },
    {
      id: 'project-support',
      organisationId: organisation.id,
      name: 'support-desk',
      title: 'Support desk',
      budget: { limit: usd(250), period: 'month' as const },
      rateLimit: { requestsPerMinute: 600, tokensPerMinute: 400_000 },
      spent: usd(187.42),
      deployments: 2,
      keys: 2,
      createdAt: ago(60 * 24 * 60),
    },
    {
      id: 'project-lab',
      organisationId: organisation.id,
      name: 'lab',
      title: 'Lab',
      budget: { limit: usd(20), period: 'week' as const },
      rateLimit: free,
      spent: usd(0),
      deployments: 0,
      keys: 0,
      createdAt: ago(60 * 24 * 4),
    },
  ]

  const keys = [
    {
      id: 'key-desk',
      name: 'support-desk-production',
      prefix: 'deos_k_Zq3f',
      scopes: ['inference' as const],
      projectId: 'project-support',
      budget: { limit: usd(200), period: 'month' as const },
      rateLimit: { requestsPerMinute: 300, tokensPerMinute: null },
      spent: usd(171.9),
      createdBy: user.id,
      createdAt: ago(60 * 24 * 58),
      expiresAt: ahead(60 * 24 * 30),
      lastUsedAt: ago(0),
      revokedAt: null,
    },
    {
      id: 'key-ci',
      name: 'ci',
      prefix: 'deos_k_b81T',
      scopes: ['manage' as const, 'read' as const],
      projectId: 'project-default',
      budget: null,
      rateLimit: free,
      spent: usd(0),
      createdBy: 'user-grace',
      createdAt: ago(60 * 24 * 20),
      expiresAt: null,
      lastUsedAt: ago(190),
      revokedAt: null,
    },
    {
      id: 'key-lab',
      name: 'notebooks',
      prefix: 'deos_k_Lm0x',
      scopes: ['inference' as const],
      projectId: 'project-support',
      budget: { limit: usd(5), period: 'day' as const },
      rateLimit: free,
      spent: usd(0.0412),
      createdBy: user.id,
      createdAt: ago(60 * 24 * 2),
      expiresAt: ahead(60 * 24 * 5),
      lastUsedAt: null,
      revokedAt: null,
    },
  ]

  const members = [
    {
      userId: user.id,
      name: user.name,
      email: user.email,
      role: 'owner' as const,
      joinedAt: ago(60 * 24 * 90),
      lastSeenAt: ago(0),
    },
    {
      userId: 'user-grace',
      name: 'Grace Okafor',
      email: 'grace@nordlys.example',
      role: 'admin' as const,
      joinedAt: ago(60 * 24 * 80),
      lastSeenAt: ago(70),
    },
    {
      userId: 'user-teo',
      name: 'Teo Marín',
      email: 'teo.marin@nordlys.example',
      role: 'developer' as const,
      joinedAt: ago(60 * 24 * 30),
      lastSeenAt: ago(60 * 24 * 2),
    },
    {
      userId: 'user-mum',
      name: 'Rack Partner Mumbai',
      email: 'ops@rackpartner.example',
      role: 'supplier' as const,
      joinedAt: ago(60 * 24 * 12),
      lastSeenAt: null,
    },
  ]

  const invitations = [
    {
      id: 'invitation-1',
      email: 'linnea@nordlys.example',
      role: 'developer' as const,
      state: 'pending' as const,
      invitedBy: user.id,
      createdAt: ago(200),
      expiresAt: ahead(60 * 24 * 6),
    },
    {
      id: 'invitation-2',
      email: 'intern-2025@nordlys.example',
      role: 'viewer' as const,
      state: 'expired' as const,
      invitedBy: 'user-grace',
      createdAt: ago(60 * 24 * 40),
      expiresAt: ago(60 * 24 * 33),
    },
  ]

  const joinTokens = [
    {
      id: 'join-1',
      name: 'Mumbai partner',
      prefix: 'deos_j_p4Ht',
      location: { region: 'ap-south', provider: 'spotmarket' },
      maxMachines: 4,
      joinedMachines: 1,
      createdAt: ago(60 * 30),
      expiresAt: ahead(60 * 40),
      revokedAt: null,
      status: 'usable' as const,
    },
  ]

  const aliases = [{ name: 'default', deploymentId: 'deployment-chat', updatedAt: ago(60 * 24) }]

  const settings = {
    budget: { limit: usd(400), period: 'month' as const },
    tokenPrices: {
      promptPerMillion: usd(0.1),
      cachedPromptPerMillion: usd(0.02),
      completionPerMillion: usd(0.4),
    },
    placementPolicy: { regions: null, providers: null },
    hubUrl: null,
    requestLogDays: 30,
    eventDays: 365,
    currency: 'USD',
    updatedAt: ago(60 * 24 * 3),
  }

  const decisions = [
    {
      id: 'decision-2',
      at: ago(3),
      kind: 'placement' as const,
      deploymentId: 'deployment-chat',
      replicaId: 'replica-chat-2',
      summary: 'Replica 2 goes to ore-h100 and sto-a6000.',
      reasons: [
        'Two stages are the fewest that fit.',
        '38 ms a token are predicted, within the target of 45 ms.',
      ],
      rejected: [
        { option: 'hel-rack-1, hel-rack-2, sto-a6000', reason: 'Three stages where two are enough.' },
        { option: 'ore-h100 alone', reason: 'Lacks 3.2 GiB for 8 sessions of 16,384 tokens.' },
      ],
    },
    {
      id: 'decision-1',
      at: ago(185),
      kind: 'healing' as const,
      deploymentId: 'deployment-chat',
      replicaId: 'replica-chat-1',
      summary: 'Layers 31–35 move from vir-a100 to mum-3090.',
      reasons: ['vir-a100 stopped sending heartbeats.', 'mum-3090 had the layers on its disk already.'],
      rejected: [{ option: 'fra-l40s', reason: 'It drains.' }],
    },
  ]

  return {
    user,
    organisation,
    otherOrganisation,
    machines,
    models,
    deployments,
    replicas,
    revisions,
    projects,
    keys,
    members,
    invitations,
    joinTokens,
    aliases,
    settings,
    decisions,
  }
}

export type MockData = ReturnType<typeof mockData>
