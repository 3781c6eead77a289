import type { Handlers, Routes } from '@deos/api'
import { missingReport } from '@deos/fleet'
import { type Caller, organisationOf } from '../http/caller.ts'
import { askingMachine } from './handler-tools.ts'
import type { MachineService } from './machine-service.ts'

type WorkerHandlers = Handlers<Routes, Caller>['worker']

export const workerHandlers = (
  service: MachineService,
  /** Of machines that nobody can dial. */
  relay: () => string | null = () => null,
): Omit<WorkerHandlers, 'assignments' | 'followAssignments' | 'pieces' | 'blob'> => ({
  challenge: ({ body }) => ({ ...service.desk.challenge(body.publicKey), relay: relay() }),
  async join({ body }) {
    const { machine, name, credential, peerSecret } = await service.desk.join(body)
    return {
      machineId: machine.id,
      name,
      incarnation: machine.incarnation,
      credential,
      peerSecret,
      protocol: machine.protocol!,
      lease: service.leaseTerms(machine),
      missingReport: missingReport(machine),
    }
  },
  heartbeat: ({ body }, caller) =>
    service.heartbeat(askingMachine(caller, body.incarnation), caller.cause, body),
  async inventory({ body: { incarnation, inventory } }, caller) {
    const machine = askingMachine(caller, incarnation)
    await service.log.execute(caller.cause, { type: 'reportInventory', machine, incarnation, inventory })
    return undefined
  },
  async benchmark({ body: { incarnation, benchmark } }, caller) {
    const machine = askingMachine(caller, incarnation)
    await service.log.execute(caller.cause, { type: 'reportBenchmark', machine, incarnation, benchmark })
    return undefined
  },
  peers: (_, caller) => service.peersOf(caller.machine!.id),
  async links({ body: { incarnation, links } }, caller) {
    service.linksMeasured(askingMachine(caller, incarnation), links)
    return undefined
  },
  async logs({ body: { incarnation, lines } }, caller) {
    const machine = askingMachine(caller, incarnation)
    await service.logIntake.write(organisationOf(caller), machine, lines, service.log.nowMs)
    return undefined
  },
  async leave({ body: { incarnation, reason = 'its process was stopped' } }, caller) {
    const machine = askingMachine(caller, incarnation)
    await service.log.execute(caller.cause, { type: 'leave', machine, incarnation, reason })
    return undefined
  },
})
