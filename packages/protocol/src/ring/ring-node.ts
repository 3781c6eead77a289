import type { GatewayToLeader, Message, RingMessage } from '../messages.ts'
import type { RingEffect, RingEvent, StageIdentity } from './ring-events.ts'
import { type LeaderEffect, type LeaderSnapshot, RingLeader } from './ring-leader.ts'
import type { RingLeaderOptions } from './ring-options.ts'
import { RingStage, type StageEffect } from './ring-stage.ts'

export interface RingSnapshot {
  readonly epoch: number
  readonly sessions: number
  readonly pagesHeld: number
  readonly pendingSteps: number
  /** Only where the leader is. */
  readonly leader: LeaderSnapshot | null
}

/**
 * All decisions of one worker in one ring: its stage and, at stage 0, the leader. In a ring of one stage the two
 * talk to each other; otherwise the last stage's messages reach the leader over stage 0's upstream link.
 */
export class RingNode {
  readonly #stage: RingStage
  readonly #leader: RingLeader | null
  #leaderOut: LeaderEffect[] = []
  #stageOut: StageEffect[] = []

  /**
   * @param leader - for stage 0, and only there
   * @throws RangeError if identity and leader options contradict each other or make no sense
   */
  constructor(
    private readonly identity: StageIdentity,
    leader: RingLeaderOptions | null,
  ) {
    checkIdentity(identity)
    if ((leader !== null) !== (identity.stage === 0)) {
      throw new RangeError(
        `Stage ${identity.stage} ${leader === null ? 'needs' : 'cannot have'} leader options.`,
      )
    }
    if (leader !== null && leader.stages !== identity.stages) {
      throw new RangeError(`The leader counts ${leader.stages} stages, the stage counts ${identity.stages}.`)
    }
    this.#stage = new RingStage(identity)
    this.#leader = leader === null ? null : new RingLeader(leader)
  }

  /** @param nowMs - monotonic; never less than in the event before */
  onEvent(event: RingEvent, nowMs: number): readonly RingEffect[] {
    const out: RingEffect[] = []
    this.#dispatch(event, nowMs, out)
    while (this.#leaderOut.length > 0 || this.#stageOut.length > 0) {
      this.#performLeader(out)
      this.#performStage(nowMs, out)
    }
    return out
  }

  snapshot(): RingSnapshot {
    return {
      epoch: this.#stage.epoch,
      sessions: this.#stage.sessions,
      pagesHeld: this.#stage.pagesHeld,
      pendingSteps: this.#stage.pendingSteps,
      leader: this.#leader?.snapshot() ?? null,
    }
  }

  #dispatch(event: RingEvent, nowMs: number, out: RingEffect[]): void {
    const stage = this.#stage
    const leader = this.#leader
    switch (event.type) {
      case 'upstream-message':
        this.#upstream(event.message, nowMs)
        break
      case 'upstream-lost':
        this.#linkLost(`the link from the previous stage broke (${event.reason})`, nowMs)
        break
      case 'downstream-lost':
        this.#linkLost(`the link to the next stage broke (${event.reason})`, nowMs)
        break
      case 'downstream-connected':
        out.push({
          type: 'note',
          level: 'info',
          text: `Stage ${this.identity.stage} reaches the next stage.`,
        })
        return
      case 'gateway-connected':
        leader?.gatewayConnected(event.gateway, this.#leaderOut)
        break
      case 'gateway-message':
        this.#gateway(event.gateway, event.message, nowMs, out)
        break
      case 'gateway-lost':
        leader?.gatewayLost(event.gateway, nowMs, this.#leaderOut)
        break
      case 'engine-ready':
        stage.engineReady(event.capacity, event.kv ?? null, this.#stageOut)
        break
      case 'engine-lost':
        stage.engineLost(event.reason, this.#stageOut)
        break
      case 'engine-reset-done':
        stage.engineResetDone(this.#stageOut)
        break
      case 'engine-stepped':
        stage.engineStepped(event, this.#stageOut)
        break
      case 'engine-failed':
        stage.engineFailed(event.epoch, event.step, event.reason, this.#stageOut)
        break
      case 'engine-prepared':
        stage.enginePrepared(event.epoch, event.request, event.problem, this.#stageOut)
        break
      case 'drain':
        if (leader === null) out.push({ type: 'drained' })
        else leader.drain(nowMs, this.#leaderOut)
        break
      case 'tick':
        leader?.tick(nowMs, this.#leaderOut)
    }
  }

  #upstream(message: Message, nowMs: number): void {
    if (!isRingMessage(message)) {
      this.#linkLost(`the previous stage sent a ${message.type}`, nowMs)
    } else if (this.#leader === null) {
      this.#stage.receive(message, null, this.#stageOut)
    } else {
      this.#toLeader(this.#leader, message, nowMs)
    }
  }

  #toLeader(leader: RingLeader, message: RingMessage, nowMs: number): void {
    switch (message.type) {
      case 'step-done':
        leader.stepDone(message, nowMs, this.#leaderOut)
        break
      case 'prepare':
        leader.prepared(message, nowMs, this.#leaderOut)
        break
      case 'import':
        leader.imported(message, nowMs, this.#leaderOut)
        break
      case 'probe':
        leader.probeReturned(message, nowMs, this.#leaderOut)
        break
      case 'fault':
        leader.faultReported(message, nowMs, this.#leaderOut)
        break
      default:
        leader.fault(`the last stage sent a ${message.type}`, nowMs, this.#leaderOut)
    }
  }

  /** The leader hears at once of what happens beside it; other stages tell it by a fault around the ring. */
  #linkLost(reason: string, nowMs: number): void {
    if (this.#leader === null) this.#stage.fault(reason, this.#stageOut)
    else this.#leader.linkLost(reason, nowMs, this.#leaderOut)
  }

  #gateway(gateway: string, message: Message, nowMs: number, out: RingEffect[]): void {
    if (this.#leader !== null && isGatewayRequest(message)) {
      this.#leader.gatewayMessage(gateway, message, nowMs, this.#leaderOut)
      return
    }
    const reason = `stage ${this.identity.stage} takes no ${message.type} from a gateway`
    out.push({ type: 'close-gateway', gateway, reason })
  }

  #performLeader(out: RingEffect[]): void {
    const effects = this.#leaderOut
    this.#leaderOut = []
    for (const effect of effects) {
      if (effect.type === 'ring') this.#stage.receive(effect.message, effect.tokens, this.#stageOut)
      else if (effect.type === 'gateway') {
        out.push({ type: 'send-gateway', gateway: effect.gateway, message: effect.message })
      } else out.push(effect)
    }
  }

  #performStage(nowMs: number, out: RingEffect[]): void {
    const effects = this.#stageOut
    this.#stageOut = []
    for (const effect of effects) {
      if (effect.type === 'ring') this.#passOn(effect.message, nowMs, out)
      else if (effect.type === 'deliver') {
        out.push({ type: 'send-gateway', gateway: effect.gateway, message: effect.message })
      } else out.push(effect)
    }
  }

  #passOn(message: RingMessage, nowMs: number, out: RingEffect[]): void {
    const alone = this.identity.stages === 1
    if (this.#leader !== null && (alone || message.type === 'fault'))
      this.#toLeader(this.#leader, message, nowMs)
    else out.push({ type: 'send-downstream', message })
  }
}

function checkIdentity(identity: StageIdentity): void {
  const { stage, stages, layers, hiddenSize } = identity
  if (!Number.isSafeInteger(stages) || stages < 1)
    throw new RangeError(`A ring cannot have ${stages} stages.`)
  if (!Number.isSafeInteger(stage) || stage < 0 || stage >= stages) {
    throw new RangeError(`Stage ${stage} is not one of ${stages}.`)
  }
  if (layers.first < 0 || layers.first >= layers.end) {
    throw new RangeError(`Stage ${stage} holds no layer: [${layers.first}, ${layers.end}).`)
  }
  if (!Number.isSafeInteger(hiddenSize) || hiddenSize < 1) {
    throw new RangeError(`A hidden size of ${hiddenSize} is impossible.`)
  }
}

function isGatewayRequest(message: Message): message is GatewayToLeader {
  switch (message.type) {
    case 'open-request':
    case 'cancel-request':
    case 'import-request':
    case 'import-commit':
    case 'spare-request':
      return true
    default:
      return false
  }
}

function isRingMessage(message: Message): message is RingMessage {
  switch (message.type) {
    case 'open':
    case 'import':
    case 'close':
    case 'step':
    case 'step-done':
    case 'prepare':
    case 'probe':
    case 'fault':
      return true
    default:
      return false
  }
}
