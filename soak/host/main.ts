/** A process that holds planes. It runs the workload on them, follows commands, and reports what it saw. */
import { NodeRuntime } from "@effect/platform-node"
import {
  Cause,
  Clock,
  type Context,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Metric,
  Option,
  Queue,
  Random,
  Result,
  Schema,
  Scope
} from "effect"
import { Config, TenantId, TenantManager, withTenant } from "effect-systemplane"
import * as Keys from "../Keys.ts"
import type { Answer, Command, Final, HostSettings, Seen } from "../Messages.ts"
import type { Client } from "../workload/Client.ts"
import * as Lifecycle from "../workload/Lifecycle.ts"
import * as Readers from "../workload/Readers.ts"
import * as Recorder from "../workload/Recorder.ts"
import * as Strangers from "../workload/Strangers.ts"
import * as Subscribers from "../workload/Subscribers.ts"
import * as Writers from "../workload/Writers.ts"
import { lastStamp } from "../world/Remaking.ts"
import * as JumpingClock from "./JumpingClock.ts"
import * as LogCheck from "./LogCheck.ts"
import * as Plane from "./Plane.ts"
import * as ThrowingCode from "./ThrowingCode.ts"

/** How often records are sent, in milliseconds. */
const sendEvery = 200

class NoParent extends Schema.TaggedError<NoParent>()("NoParent", {}) {
  override get message() {
    return "this is a part of the soak; start it with: npm run soak"
  }
}

interface RunningPlane {
  readonly client: Client
  readonly heard: Subscribers.Heard
  readonly context: Context.Context<Config | TenantManager>
}

const tell = (answer: Answer) =>
  Effect.callback<void>((resume) => {
    process.send?.(answer, () => resume(Effect.void))
  })

/** The heap in use, garbage collected, in bytes. */
const heap = Effect.sync(() => {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
})

const commands = Effect.gen(function* () {
  if (process.send === undefined) return yield* new NoParent()
  const queue = yield* Queue.unbounded<Command>()
  const push = (command: Command) => Queue.offerUnsafe(queue, command)
  yield* Effect.acquireRelease(
    Effect.sync(() => process.on("message", push)),
    () =>
      Effect.sync(() => {
        process.off("message", push)
        process.disconnect?.()
      })
  )
  return queue
})

/** Counts the fibers that run. */
const fiberCount = () => {
  let running = 0
  return {
    running: () => running,
    count: Effect.provideService(Metric.FiberRuntimeMetrics, {
      recordFiberStart: () => void running++,
      recordFiberEnd: () => void running--
    })
  }
}

const openPlane = (
  recorder: Recorder.Recorder,
  settings: HostSettings,
  logger: Logger.Logger<unknown, unknown>,
  planeSettings: HostSettings["planes"][number]
) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(Plane.make(planeSettings, settings, logger))
    const client = { plane: planeSettings.name, tenants: settings.tenants, recorder }
    const heard: Subscribers.Heard = new Map()
    yield* Effect.provide(Subscribers.subscribe(client, heard), context)
    yield* Effect.provide(allLive(settings.tenants), context)
    return { client, heard, context } satisfies RunningPlane
  })

const allLive = (tenants: ReadonlyArray<string>) =>
  TenantManager.use((manager) =>
    Effect.forEach(tenants, (tenant) => manager.awaitLive(tenant), { concurrency: "unbounded", discard: true })
  )

const everyPlane = <A, E>(
  planes: ReadonlyArray<RunningPlane>,
  act: (plane: RunningPlane) => Effect.Effect<A, E, Config | TenantManager>
) => Effect.forEach(planes, (plane) => Effect.provide(act(plane), plane.context), { concurrency: "unbounded" })

/** Everything that live tenants show, and which tenants are not live. */
const readAll = (planes: ReadonlyArray<RunningPlane>, remade: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const entries: Array<Final> = []
    const notLive: Array<string> = []
    yield* everyPlane(planes, ({ client, heard }) =>
      Effect.forEach(
        client.tenants,
        (tenant) =>
          Effect.gen(function* () {
            const status = Option.getOrUndefined(yield* TenantManager.use((manager) => manager.status(tenant)))
            if (status?.state === "live") return entries.push(...(yield* readTenant(client, heard, tenant)))
            const why = status?.lastError?.message ?? "no error"
            return notLive.push(`${tenant} on ${client.plane} is ${status?.state ?? "unknown"}: ${why}`)
          }),
        { concurrency: "unbounded", discard: true }
      )
    )
    yield* everyPlane(planes, ({ client }) =>
      Effect.forEach(remade, (tenant) =>
        Effect.gen(function* () {
          const read = yield* Effect.result(Config.get(Keys.Plain).pipe(withTenant(tenant)))
          const shown = Result.isSuccess(read) ? (read.success as Seen).stamp : read.failure.message
          if (shown !== lastStamp) notLive.push(`${tenant}, made anew, on ${client.plane}: ${shown}`)
        })
      )
    )
    return { _tag: "All", entries, notLive } as const
  })

const readTenant = ({ plane }: Client, heard: Subscribers.Heard, tenant: string) =>
  Effect.forEach(Keys.all, (key) =>
    Effect.map(Effect.result(Config.entry(key)), (read): ReadonlyArray<Final> => {
      if (Result.isFailure(read)) return []
      const { revision, stale, value } = read.success
      const name = Keys.nameOf(key)
      const { stamp } = value as Seen
      return [{ plane, tenant, key: name, stamp, revision, stale, heard: heard.get(`${tenant}/${name}`) }]
    })
  ).pipe(
    Effect.map((entries) => entries.flat()),
    withTenant(TenantId.make(tenant))
  )

const sockets = () => process.getActiveResourcesInfo().filter((resource) => resource === "TCPSocketWrap").length

const main = Effect.gen(function* () {
  const queue = yield* commands
  const first = yield* Queue.take(queue)
  if (first._tag !== "Start") return
  const jumping = yield* JumpingClock.make
  const recorder = Recorder.make(jumping.ahead)
  const host = first.settings.planes.map(({ name }) => name).join(" and ")
  const logger = LogCheck.make(host, recorder)
  yield* hold(queue, recorder, first.settings, jumping, logger).pipe(
    Effect.provide(Logger.layer([logger])),
    Effect.provideService(Clock.Clock, jumping.clock)
  )
}).pipe(Effect.scoped)

/** Holds planes until it is told to close them. */
const hold = Effect.fnUntraced(function* (
  queue: Queue.Dequeue<Command>,
  recorder: Recorder.Recorder,
  settings: HostSettings,
  jumping: JumpingClock.JumpingClock,
  logger: Logger.Logger<unknown, unknown>
) {
  const flush = Effect.suspend(() => tell({ _tag: "Reports", ...recorder.take() }))
  const fibers = fiberCount()

  const scope = yield* Scope.make()
  const planes = yield* Effect.forEach(settings.planes, (plane) => openPlane(recorder, settings, logger, plane), {
    concurrency: "unbounded"
  }).pipe(Scope.provide(scope), fibers.count)
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(sendEvery), flush)))
  yield* tell({ _tag: "Started", heap: yield* heap })

  const seeded = (name: string) => Random.withSeed(`${settings.seed}/${name}`)
  const { pauses } = settings
  const reading = yield* Effect.forkChild(
    everyPlane(planes, ({ client }) => seeded(`${client.plane} reads`)(Readers.run(client, pauses.reads)))
  )
  const acting = yield* Effect.forkChild(
    everyPlane(planes, ({ client }) =>
      Effect.all(
        [
          seeded(`${client.plane} writes`)(Writers.run(client, pauses.writes)),
          seeded(`${client.plane} lives`)(Lifecycle.run(client, pauses.lifecycle)),
          seeded(`${client.plane} strangers`)(Strangers.run(client, pauses.strangers)),
          ...(settings.jumping ? [seeded(`${client.plane} clock`)(jumping.run)] : []),
          ThrowingCode.metricReader
        ],
        { concurrency: "unbounded", discard: true }
      )
    )
  )

  const died = Effect.flatMap(Effect.raceFirst(Fiber.await(reading), Fiber.await(acting)), (exit) =>
    Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause) ? Effect.failCause(exit.cause) : Effect.never
  )

  while (true) {
    // No part of the workload ends by itself: a defect of a plane would end it, and the soak with it.
    const command = yield* Effect.raceFirst(Queue.take(queue), died)
    switch (command._tag) {
      case "Start":
        break
      case "StopWriting": {
        yield* Fiber.interrupt(acting)
        // Not awaited: ReadAll reports a tenant that does not come back.
        yield* Effect.forkScoped(
          everyPlane(planes, ({ client }) =>
            Effect.forEach(
              client.tenants,
              (tenant) => Effect.ignore(TenantManager.use((manager) => manager.activate(tenant))),
              { concurrency: "unbounded", discard: true }
            ).pipe(
              Effect.catchDefect((defect) =>
                Recorder.broken(recorder, client.plane, "brokeCalm", `an activation died: ${defect}`)
              )
            )
          )
        )
        yield* flush
        yield* tell({ _tag: "Quiet", heap: yield* heap })
        break
      }
      case "ReadAll":
        yield* tell(yield* readAll(planes, settings.remade))
        break
      case "Close": {
        yield* Fiber.interrupt(reading)
        yield* Scope.close(scope, Exit.void)
        yield* Effect.sleep("100 millis")
        yield* flush
        yield* tell({ _tag: "Closed", heap: yield* heap, sockets: sockets(), fibers: fibers.running() })
        return
      }
    }
  }
})

NodeRuntime.runMain(main)
